"""What a job may be is told in words before it is sent, and is what its message can carry."""

import msgspec
import pytest

from tinyprof.commands.profile import command
from tinyprof.fleet import Fleet
from tinyprof.fleet_errors import BadArgument, FleetError
from tinyprof.job_bounds import MAX_PRIORITY, MAX_PROMPT, MAX_PROMPTS, MAX_WORD, check_job
from tinyprof_platforms.suites import MAX_REPETITIONS, MAX_TOKENS
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.requests import BoardsReply

JOB = Job(bytes(16), "lab.a1", "host", 1)
AT_THE_BOUND = [
    {"prompts": ["a"] * MAX_PROMPTS},
    {"prompts": ["é" * MAX_PROMPT]},
    {"suite": "s" * MAX_WORD},
    {"max_tokens": 1},
    {"max_tokens": 4096},
    {"repetitions": 1},
    {"repetitions": 1000},
    {"priority": MAX_PRIORITY},
    {"priority": -MAX_PRIORITY},
]
OVER = [
    ({"prompts": ["a"] * (MAX_PROMPTS + 1)}, "65 prompts are too many for one job: at most 64"),
    ({"prompts": ["a", "é" * (MAX_PROMPT + 1)]}, "prompt 2 has 4,097 characters: at most 4,096"),
    ({"suite": "s" * (MAX_WORD + 1)}, "the suite's name has 65 characters: at most 64"),
    ({"priority": MAX_PRIORITY + 1}, "priority 101 is out of range: from -100 to 100"),
    ({"priority": -MAX_PRIORITY - 1}, "priority -101 is out of range: from -100 to 100"),
]


@pytest.mark.parametrize("terms", AT_THE_BOUND)
def test_a_job_at_a_bound_passes_and_is_carried(terms) -> None:
    job = msgspec.structs.replace(JOB, **terms)
    assert check_job(job) is job
    assert decode(encode(job), Job) == job


@pytest.mark.parametrize(("terms", "says"), OVER)
def test_a_job_over_a_bound_is_told_so_and_could_not_be_carried(terms, says) -> None:
    job = msgspec.structs.replace(JOB, **terms)
    with pytest.raises(BadArgument) as told:
        check_job(job)
    assert str(told.value) == says
    with pytest.raises(BadMessage):
        decode(encode(job), Job)


def test_a_prompt_that_is_too_long_is_not_sent(collector, address) -> None:
    board = BoardSummary("lab.a1", "host", "healthy", [], 1, platform="host")
    fake = collector({"boards": lambda _: [BoardsReply([board], 1)]})
    with Fleet(address) as fleet, pytest.raises(FleetError, match="prompt 1 has 9,000 characters"):
        fleet.submit("host", prompts=["a" * 9000])
    assert "profile" not in [kind for kind, _ in fake.requests]


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"max_tokens": 0}, "max_tokens 0 is out of range: from 1 to 4,096"),
        ({"max_tokens": 2**60}, f"max_tokens {2**60} is out of range: from 1 to 4,096"),
        ({"repetitions": 1001}, "repetitions 1001 is out of range: from 1 to 1,000"),
        ({"within_s": 1e12}, "within_s 1000000000000.0 is out of range: from 0 to 1,000,000,000"),
        ({"max_age_s": -1}, "max_age_s -1 is out of range: from 0 to 1,000,000,000"),
        ({"max_age_s": float("nan")}, "max_age_s nan is out of range: from 0 to 1,000,000,000"),
    ],
)
def test_a_number_out_of_its_range_is_named_with_the_range_and_not_sent(collector, address, terms, says) -> None:
    board = BoardSummary("lab.a1", "host", "healthy", [], 1, platform="host")
    fake = collector({"boards": lambda _: [BoardsReply([board], 1)]})
    with Fleet(address) as fleet:
        for ask in (fleet.submit, fleet.profile):
            with pytest.raises(BadArgument) as told:
                ask("host", **terms)
            assert str(told.value) == says
    assert "profile" not in [kind for kind, _ in fake.requests]


def test_how_much_is_asked_for_at_once_has_a_range(collector, address) -> None:
    fake = collector()
    with Fleet(address) as fleet:
        for ask, says in (
            (lambda: fleet.history("host", "ttft_ms", limit=5001), "limit 5001 is out of range: from 1 to 5,000"),
            (lambda: next(fleet.results("host", page=0)), "page 0 is out of range: from 1 to 256"),
            (lambda: fleet.cache("list", limit=0), "limit 0 is out of range: from 1 to 500"),
            (lambda: fleet.quarantine(limit=0), "limit 0 is out of range: from 1 to 500"),
        ):
            with pytest.raises(BadArgument) as told:
                ask()
            assert str(told.value) == says
    assert fake.requests == []


@pytest.mark.parametrize(
    ("option", "low", "high"),
    [
        ("tokens", 1, MAX_TOKENS),
        ("repeat", 1, MAX_REPETITIONS),
        ("priority", -MAX_PRIORITY, MAX_PRIORITY),
    ],
)
def test_the_command_line_has_the_ranges_of_python(option, low, high) -> None:
    (found,) = (parameter.type for parameter in command.params if parameter.name == option)
    assert (found.min, found.max) == (low, high)
