"""Which requests are equal: what an agent says of its board and its suites, against what a result says of itself."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from tinyprof_agent.profiling.emulated import suite_for_counts
from tinyprof_collector.cache.key import KnownKeys, key_of_job, key_of_result
from tinyprof_platforms.suites import Suite, adapt, offered, shipped_suites, suite_terms
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.presence import BoardPresence
from tinyprof_protocol.records import Build, ClockReport, Conditions, Result

SUITE = Suite(prompts=("One day",), max_tokens=24, gate=("One day",))
BUILD = Build(
    "rp2040", "c", "1", "stories260k", "0" * 64, "Q8_0", "f32", "float32", 256, "device", firmware="own 1",
    firmware_build="abcd",
)  # fmt: skip
TICK_HZ = 133_000_000
NODE, OTHER = "lab.pi", "attic.pi"


def board_of(build: Build = BUILD, tick_hz: int = TICK_HZ, governor: str | None = None) -> BoardPresence:
    return BoardPresence(
        "one", "probe", "idle", build.platform, build.model, emulated=build.emulated,
        build=build_fingerprint(build), clock_mode=clock_mode(tick_hz, governor),
    )  # fmt: skip


def job(**asked: object) -> Job:
    return Job(b"j" * 16, NODE, "one", 10**18, suite="s", **asked)  # type: ignore[arg-type]


def run_of(asked: Job, suite: Suite = SUITE, build: Build = BUILD, tick_hz: int = TICK_HZ) -> Result:
    """What a run of the job gives, as far as keys go."""
    own = adapt(suite, prompts=tuple(asked.prompts), max_tokens=asked.max_tokens, repetitions=asked.repetitions)
    ran = suite_for_counts(own) if build.emulated else own
    return Result(
        run_id=b"r" * 16, board="one", build=build, suite=asked.suite, prompts=list(ran.prompts),
        max_tokens=ran.max_tokens, verdict="valid", reasons=[], golden="match",
        clock=ClockReport("checked", tick_hz=tick_hz), figures={}, repetitions=[], conditions=Conditions(),
        timed_s=1.0, min_repetitions=ran.min_repetitions, min_timed_s=ran.min_timed_s, suite_terms=suite_terms(own),
    )  # fmt: skip


def asked_key(asked: Job, board: BoardPresence | None = None, suite: Suite = SUITE) -> bytes | None:
    return key_of_job(asked, board or board_of(), [offered("other", SUITE), offered("s", suite)])


jobs = st.builds(
    lambda prompts, tokens, repetitions: job(prompts=prompts, max_tokens=tokens, repetitions=repetitions),
    st.lists(st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable()), max_size=3, unique=True),
    st.none() | st.integers(1, 4096),
    st.none() | st.integers(1, 1000),
)


@given(jobs, st.booleans())
def test_a_run_of_a_job_has_the_key_of_the_job(asked: Job, emulated: bool) -> None:
    build = structs.replace(BUILD, emulated=emulated)
    key = asked_key(asked, board_of(build))
    assert key is not None
    assert key == key_of_result(NODE, run_of(asked, build=build))


def test_what_a_suite_asks_for_by_itself_may_be_asked_for_in_words() -> None:
    in_words = job(prompts=["One day"], max_tokens=24, repetitions=6)
    assert asked_key(in_words) == asked_key(job())


@pytest.mark.parametrize(
    "other",
    [
        job(prompts=["Two days"]),
        job(prompts=["One day", "Two days"]),
        job(max_tokens=25),
        job(repetitions=7),
    ],
)
def test_another_prompt_or_parameter_is_another_key(other: Job) -> None:
    assert asked_key(other) != asked_key(job())


@pytest.mark.parametrize(
    "suite",
    [
        structs.replace(SUITE, prompts=("Two days",)),
        structs.replace(SUITE, max_tokens=25),
        structs.replace(SUITE, min_repetitions=7),
        structs.replace(SUITE, gate=()),
        structs.replace(SUITE, min_timed_s=2.0),
        structs.replace(SUITE, max_timed_s=61.0),
        structs.replace(SUITE, warm_up=False),
    ],
)
def test_two_suites_of_one_name_that_differ_in_anything_share_no_entry(suite: Suite) -> None:
    assert asked_key(job(), suite=suite) != asked_key(job())
    assert asked_key(job(), suite=suite) == key_of_result(NODE, run_of(job(), suite))


CHANGES: list[Callable[[Build], Build]] = [
    lambda build: structs.replace(build, platform="rp2350"),
    lambda build: structs.replace(build, engine="other"),
    lambda build: structs.replace(build, engine_build="2"),
    lambda build: structs.replace(build, model_sha256="1" * 64),
    lambda build: structs.replace(build, quantisation="Q4_0"),
    lambda build: structs.replace(build, kv_cache="q8_0"),
    lambda build: structs.replace(build, activations="int8"),
    lambda build: structs.replace(build, ctx=512),
    lambda build: structs.replace(build, timing="client"),
    lambda build: structs.replace(build, firmware="own 2"),
    lambda build: structs.replace(build, firmware_build="ef01"),
    lambda build: structs.replace(build, streamed=True),
    lambda build: structs.replace(build, emulated=True),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_new_firmware_or_model_leaves_the_old_entry_behind(change: Callable[[Build], Build]) -> None:
    assert asked_key(job(), board_of(change(BUILD))) != key_of_result(NODE, run_of(job()))


def test_another_clock_or_governor_is_another_key() -> None:
    keys = {
        asked_key(job(), board_of(tick_hz=TICK_HZ)),
        asked_key(job(), board_of(tick_hz=TICK_HZ * 2)),
        asked_key(job(), board_of(governor="performance")),
        asked_key(job(), board_of(governor="powersave")),
    }
    assert len(keys) == 4


def test_boards_of_a_known_part_or_an_emulator_share_a_key_whatever_their_node() -> None:
    emulated = structs.replace(BUILD, platform="netduinoplus2", emulated=True)
    for build in (BUILD, emulated):
        assert key_of_result(OTHER, run_of(job(), build=build)) == asked_key(job(), board_of(build))


def test_a_platform_that_may_be_any_machine_is_shared_within_its_node_only() -> None:
    host = structs.replace(BUILD, platform="host")
    assert key_of_result(NODE, run_of(job(), build=host)) == asked_key(job(), board_of(host))
    assert key_of_result(OTHER, run_of(job(), build=host)) != asked_key(job(), board_of(host))


def test_repetitions_do_not_part_what_an_emulator_counts() -> None:
    emulated = board_of(structs.replace(BUILD, emulated=True))
    assert asked_key(job(repetitions=50), emulated) == asked_key(job(), emulated)


def test_without_the_agents_word_on_build_suite_or_terms_there_is_no_key() -> None:
    assert key_of_job(job(), None, [offered("s", SUITE)]) is None
    assert key_of_job(job(), structs.replace(board_of(), build=""), [offered("s", SUITE)]) is None
    assert key_of_job(job(), board_of(), [offered("other", SUITE)]) is None
    assert key_of_result(NODE, structs.replace(run_of(job()), suite_terms="")) is None


def test_a_key_stays_the_same_from_version_to_version() -> None:
    """Entries live across restarts: whatever changes these bytes leaves all of them behind."""
    assert asked_key(job()) == key_of_result(NODE, run_of(job()))
    assert (asked_key(job()) or b"").hex() == "d1fd12cf34be056dfa21a84f1a25b2a6"


@given(st.lists(st.tuples(jobs, st.sampled_from([NODE, OTHER]), st.sampled_from(CHANGES)), max_size=12))
def test_keys_of_many_results_are_those_of_each(asked: list[tuple[Job, str, Callable[[Build], Build]]]) -> None:
    known = KnownKeys()
    for one, node, change in asked:
        for result in (run_of(one), run_of(one, build=change(BUILD)), run_of(one, tick_hz=7)):
            assert known.of(node, result) == key_of_result(node, result)


def test_the_suites_that_ship_are_told_apart() -> None:
    terms = [offered(name, suite) for name, suite in shipped_suites().items()]
    assert len({(one.prompts, one.max_tokens, one.min_repetitions, one.terms) for one in terms}) == len(terms)
