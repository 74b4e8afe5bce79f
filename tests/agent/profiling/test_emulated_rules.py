"""What is concluded from an emulated board's counts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.drivers.driver import Emulation, Generation, LoopCheck, PartSpeed
from tinyprof_agent.profiling.emulated import (
    LOOP_INSTRUCTIONS,
    Counted,
    count_figures,
    disagreement,
    judge_emulated,
    loop_report,
    seconds_range,
    suite_for_counts,
)
from tinyprof_agent.profiling.metrics import timings
from tinyprof_agent.profiling.rounds import Observed
from tinyprof_agent.profiling.verdict import Evidence
from tinyprof_platforms.suites import shipped_suites
from tinyprof_protocol.records import ClockReport

PART = PartSpeed(clock_hz=100e6, flash_bytes_per_s=50e6)
QEMU = Emulation("instructions", 125e6, PART, 200_000)
RP2040 = Emulation("model_cycles", 125e6, PART, 200_000)
NOTHING = Emulation("nothing", 0.0, PART, 200_000)
GOOD = Evidence(ClockReport("emulated"), "match", 2, None, None)
SAME = [Counted(0, 1000.0, 9000.0)] * 2


def observed(first_ns: int, gap_ns: int, tokens: int = 4) -> Observed:
    stamps = [first_ns + i * gap_ns for i in range(tokens)]
    generation = Generation(0, stamps, list(range(tokens)), 3, b"", "limit")
    return Observed(0, generation, timings(generation))


def test_the_loop_must_read_back_within_a_thousandth() -> None:
    exact_ns = LOOP_INSTRUCTIONS * 8
    for error, check in ((0.0, "emulated"), (0.0009, "emulated"), (-0.0009, "emulated"), (0.0011, "failed")):
        report = loop_report(LoopCheck(LOOP_INSTRUCTIONS, round(exact_ns * (1 + error))), QEMU, 168_000_000)
        assert report.check == check
    assert loop_report(LoopCheck(LOOP_INSTRUCTIONS, exact_ns * 2), QEMU, 1).why.startswith("a loop of 2000000 ")


def test_no_loop_a_short_one_and_one_of_nothing_are_failures() -> None:
    assert judge_emulated(replace(GOOD, clock=loop_report(None, QEMU, 1)), SAME)[0] == "invalid"
    assert loop_report(LoopCheck(10, 80), QEMU, 1).check == "failed"
    assert loop_report(LoopCheck(0, 0), QEMU, 1).check == "failed"
    assert loop_report(None, NOTHING, 1).check == "unchecked"


def test_counts_of_one_prompt_must_agree_within_a_ten_thousandth() -> None:
    assert disagreement([Counted(0, 1e6, 9e6), Counted(0, 1e6 + 99, 9e6)]) is None
    assert disagreement([Counted(0, 1e6, 9e6), Counted(0, 1e6 + 110, 9e6)]) is not None
    assert disagreement([Counted(0, 1e6, 9e6), Counted(0, 1e6, 9e6 + 1000)]) is not None
    assert disagreement([Counted(0, 1e6, 9e6), Counted(1, 2e6, 9e6)]) is None
    assert disagreement([]) is None


@pytest.mark.parametrize(
    ("evidence", "counts", "says"),
    [
        (replace(GOOD, golden="differs"), SAME, "differs from the golden one"),
        (replace(GOOD, missing_tokens=3), SAME, "missing tokens: 3"),
        (replace(GOOD, clock=ClockReport("failed", why="it stands")), SAME, "clock: it stands"),
        (replace(GOOD, repetitions=1), SAME[:1], "it takes 2"),
        (replace(GOOD, repetitions=0), [], "not one repetition"),
        (replace(GOOD, faults=["reset: gone"]), SAME, "reset: gone"),
        (GOOD, [SAME[0], Counted(0, 1001.0, 9000.0)], "differ by more than 0.01%"),
    ],
)
def test_whatever_is_wrong_makes_it_invalid(evidence: Evidence, counts: list[Counted], says: str) -> None:
    verdict, reasons = judge_emulated(evidence, counts)
    assert verdict == "invalid"
    assert len(reasons) == 1
    assert says in reasons[0]


def test_a_run_cut_short_is_not_blamed_for_its_clock_too() -> None:
    cut = replace(GOOD, repetitions=0, clock=loop_report(None, QEMU, 1), faults=["timeout: it hangs"])
    assert judge_emulated(cut, []) == ("invalid", ["timeout: it hangs"])


@pytest.mark.parametrize("golden", ["match", "tie", "none"])
def test_what_agrees_is_valid(golden) -> None:
    assert judge_emulated(replace(GOOD, golden=golden), SAME) == ("valid", [])


def test_figures_are_counts_and_a_range_between_the_formulas_ends() -> None:
    rounds = [[observed(80_000, 8_000)], [observed(80_000, 8_000)]]
    found = count_figures(rounds, QEMU)
    assert found["instructions_per_token"].value == 1000
    assert found["instructions_to_first_token"].value == 10_000
    assert found["instructions_per_token"].n == 2
    assert found["instructions_per_token"].low is None
    decode = found["decode_tps"]
    assert decode.estimated
    assert decode.high == pytest.approx(100e6 / 1000)
    assert decode.low == pytest.approx(1 / (2 * 1000 / 100e6 + 200_000 / 50e6))
    assert found["ttft_ms"].high == pytest.approx(1e3 * (2 * 10_000 / 100e6 + 3 * 200_000 / 50e6))
    assert found["tpot_ms"].value == pytest.approx(1e3 / decode.value)


def test_cycles_of_a_model_are_not_multiplied_again() -> None:
    found = count_figures([[observed(80_000, 8_000)]] * 2, RP2040)
    assert found["model_cycles_per_token"].value == 1000
    assert found["tpot_ms"].high == pytest.approx(1e3 * (1000 / 100e6 + 200_000 / 50e6))


@pytest.mark.parametrize("emulation", [replace(QEMU, part=None), replace(QEMU, model_bytes=None)])
def test_of_an_unknown_part_nothing_is_estimated(emulation: Emulation) -> None:
    found = count_figures([[observed(80_000, 8_000)]] * 2, emulation)
    assert set(found) == {"instructions_per_token", "instructions_to_first_token"}


def test_an_emulator_that_counts_nothing_has_no_figures_of_time() -> None:
    assert count_figures([[observed(80_000, 8_000)]] * 2, NOTHING) == {}


@given(st.floats(1, 1e12), st.floats(1, 100), st.sampled_from([QEMU, RP2040]))
def test_the_slow_end_is_never_faster(counts: float, readings: float, emulation: Emulation) -> None:
    fastest, slowest = seconds_range(counts, readings, emulation) or (0, 0)
    assert 0 < fastest < slowest


def test_any_suite_is_two_short_repetitions_there() -> None:
    suite = suite_for_counts(shipped_suites()["standard"])
    assert (suite.min_repetitions, suite.min_timed_s, suite.warm_up) == (2, 0.0, False)
    assert suite.prompts == shipped_suites()["standard"].prompts
