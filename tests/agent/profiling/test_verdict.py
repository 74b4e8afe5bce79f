from dataclasses import replace

import pytest

from tinyprof_agent.profiling.statistics import Interval, Summary
from tinyprof_agent.profiling.verdict import Evidence, judge
from tinyprof_protocol.records import ClockCheck, ClockReport, Golden


def summary(half_width: float, n: int = 6) -> Summary:
    return Summary(100.0, n, Interval(100 - 100 * half_width, 100 + 100 * half_width, 0.96875))


GOOD = Evidence(ClockReport("checked"), "match", 6, summary(0.01), summary(0.05))


@pytest.mark.parametrize("check", ["checked", "host"])
@pytest.mark.parametrize("golden", ["match", "tie", "none"])
def test_a_run_with_nothing_against_it_is_valid(check: ClockCheck, golden: Golden) -> None:
    assert judge(replace(GOOD, clock=ClockReport(check), golden=golden)) == ("valid", [])


def test_a_single_output_token_has_no_tpot_and_may_be_valid() -> None:
    assert judge(replace(GOOD, tpot=None)) == ("valid", [])


@pytest.mark.parametrize(
    ("evidence", "word"),
    [
        (replace(GOOD, ttft=summary(0.0501)), "TTFT"),
        (replace(GOOD, tpot=summary(0.2)), "TPOT is known to 20.0%"),
        (replace(GOOD, repetitions=5, ttft=Summary(1, 5, None), tpot=None), "5 repetitions"),
        (replace(GOOD, clock=ClockReport("unchecked", why="1.00 s lie between")), "1.00 s lie between"),
        (replace(GOOD, clock=ClockReport("emulated")), "unchecked"),
        (replace(GOOD, cpu_share=0.8799), "the engine had the processor for 87% of its timed work only"),
        (replace(GOOD, cpu_share=0.9499), "94%"),
    ],
)
def test_what_makes_a_run_unstable(evidence: Evidence, word: str) -> None:
    verdict, reasons = judge(evidence)
    assert verdict == "unstable"
    assert len(reasons) == 1
    assert word in reasons[0]


def test_an_engine_that_had_the_processor_may_be_valid() -> None:
    assert judge(replace(GOOD, cpu_share=0.95)) == ("valid", [])


@pytest.mark.parametrize(
    ("evidence", "word"),
    [
        (replace(GOOD, clock=ClockReport("failed", why="it does not tick")), "does not tick"),
        (replace(GOOD, golden="differs"), "differs"),
        (replace(GOOD, missing_tokens=3), "missing tokens: 3"),
        (replace(GOOD, faults=["timeout: no answer"]), "timeout"),
        (replace(GOOD, faults=["reset: in the middle"]), "reset"),
    ],
)
def test_what_makes_a_run_invalid(evidence: Evidence, word: str) -> None:
    verdict, reasons = judge(evidence)
    assert verdict == "invalid"
    assert word in reasons[0]
    assert len(reasons) == 1


def test_a_run_without_a_repetition_is_invalid_whatever_else() -> None:
    verdict, reasons = judge(Evidence(ClockReport("host"), "none", 0, None, None))
    assert verdict == "invalid"
    assert "not one repetition" in reasons[0]


def test_reasons_are_bounded_and_the_worst_come_first() -> None:
    verdict, reasons = judge(replace(GOOD, ttft=summary(0.5), faults=["x" * 1000] * 50))
    assert verdict == "invalid"
    assert len(reasons) == 32
    assert {len(line) for line in reasons} == {300}
    assert {line[0] for line in reasons} == {"x"}
    both = judge(replace(GOOD, ttft=summary(0.5), golden="differs"))[1]
    assert ["differs" in both[0], "TTFT" in both[1]] == [True, True]
