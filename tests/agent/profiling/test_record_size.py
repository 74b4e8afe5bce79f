import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_agent.profiling.record_size import MAX_BODY_BYTES, evenly, fit, halved, halved_rounds
from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Build, ClockReport, Conditions, Repetition, Result


def result_with(repetitions: int, gaps: int, prompts: int = 1, output: str = "") -> Result:
    return Result(
        run_id=bytes(16),
        board="b",
        build=Build("host", "e", "1", "m", "0" * 64, "Q8_0", "f32", "float32", 256, "device"),
        suite="quick",
        prompts=[f"prompt {i}" for i in range(prompts)],
        max_tokens=8,
        verdict="valid",
        reasons=[],
        golden="match",
        clock=ClockReport("host"),
        figures={},
        repetitions=[Repetition(i % prompts, 1.5, 0.5, 4, 8, "match", 8) for i in range(repetitions)],
        conditions=Conditions(),
        timed_s=1.0,
        itl_us=list(range(70_000, 70_000 + gaps)),
        output=output,
    )


def test_a_result_that_fits_stays_as_it_is() -> None:
    small = result_with(6, 100)
    assert fit(small) == small


@settings(max_examples=40, deadline=None)
@given(repetitions=st.integers(0, 1500), gaps=st.integers(0, 30_000), prompts=st.integers(1, 64))
def test_whatever_was_measured_fits_and_is_counted(repetitions: int, gaps: int, prompts: int) -> None:
    before = result_with(repetitions, gaps, prompts)
    after = fit(before)
    assert len(pack(after)) <= MAX_BODY_BYTES
    assert len(after.repetitions) + after.repetitions_dropped == repetitions
    assert len(after.itl_us) + after.itl_dropped == gaps
    assert len(after.repetitions) <= max(100, prompts)
    assert len(after.itl_us) <= 8192
    assert (after.itl_us == []) == (gaps == 0)


def test_thinning_is_even_and_keeps_whole_rounds() -> None:
    assert halved([1, 2, 3, 4, 5]) == [1, 3, 5]
    assert evenly(range(1000), 300) == list(range(0, 1000, 4))
    repetitions = result_with(10, 0, prompts=3).repetitions
    assert [one.prompt for one in halved_rounds(repetitions, 3)] == [0, 1, 2, 0, 1, 2]
    kept = fit(result_with(1200, 0, prompts=4)).repetitions
    assert [one.prompt for one in kept] == [0, 1, 2, 3] * (len(kept) // 4)


def test_a_long_output_is_cut_last() -> None:
    after = fit(result_with(6, 8000, output="ж" * 4096), max_bytes=4096)
    assert len(pack(after)) <= 4096
    assert len(after.repetitions) == 1
    assert 0 < len(after.output) < 4096


def test_what_can_never_fit_is_an_error() -> None:
    with pytest.raises(ValueError, match="cannot be made to fit 100"):
        fit(result_with(6, 10), max_bytes=100)
