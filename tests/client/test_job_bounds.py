"""What a job may be is told in words before it is sent, and is what its message can carry."""

import msgspec
import pytest

from tinyprof.fleet import Fleet
from tinyprof.fleet_errors import FleetError
from tinyprof.job_bounds import MAX_PRIORITY, MAX_PROMPT, MAX_PROMPTS, MAX_WORD, check_job
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.requests import BoardsReply

JOB = Job(bytes(16), "lab.a1", "host", 1)
AT_THE_BOUND = [
    {"prompts": ["a"] * MAX_PROMPTS},
    {"prompts": ["é" * MAX_PROMPT]},
    {"suite": "s" * MAX_WORD},
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
    with pytest.raises(FleetError) as told:
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
