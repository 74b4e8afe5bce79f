"""What is said at the end, and drift from the first runs to the last."""

import msgspec
import pytest

from tinyprof.benchmarking.results_file import BoardResults, Machine, Results, RunFailed, RunMade
from tinyprof.benchmarking.summary import as_json, as_text, drift
from tinyprof_protocol.records import Conditions, Figure


def results_of(*boards, complete=True):
    return Results("tinyprof-results", 1, "0.1.0", "", "", complete, Machine(), "" if complete else "two are missing",
                   boards=list(boards))  # fmt: skip


@pytest.mark.parametrize(
    ("slower_by", "says"),
    [(1.0, []), (1.3, ["drift: TTFT slower by 30%", "drift: decode slower by 23%"])],
)
def test_drift_is_from_the_first_third_to_the_last(result, noisy, slower_by, says) -> None:
    runs = []
    for number in range(12):
        factor = slower_by if number >= 6 else 1.0
        run = result(noisy(10.0 * factor, seed=number), noisy(2.0 * factor, seed=100 + number))
        runs.append(msgspec.structs.replace(run, conditions=Conditions(temperature_c=40.0 + number)))
    lines = drift(runs)
    assert len(lines) == len(says)
    for line, begin in zip(lines, says, strict=True):
        assert line.startswith(begin[:-3])
        assert line.endswith(", at 42 °C and 50 °C")
        assert "from the first 4 runs to the last 4 (p=0.0" in line


def test_few_runs_show_no_drift(result, noisy) -> None:
    assert drift([result(noisy(10.0 * (1 + n))) for n in range(11)]) == []


def test_the_end_of_a_benchmark_in_words(result) -> None:
    hot = result([2.0], verdict="unstable", reasons=["noisy"], conditions=Conditions(throttled=True))
    runs = [RunMade(1, "", "", result([1.0], figures={"ram_peak_bytes": Figure(2048.0)})), RunMade(2, "", "", hot)]
    board = BoardResults("lab.a/b", "quick", 3, runs=runs, failures=[RunFailed(3, "expired", "too late")])
    text = as_text(results_of(board, complete=False)).splitlines()
    assert text[1].split()[:7] == ["lab.a/b", "quick", "2/3", "1", "1", "0", "1"]
    assert text[2:] == [
        "lab.a/b: run 3 expired: too late",
        "lab.a/b: 1 of 2 runs unstable: noisy",
        "lab.a/b: throttled in 1 of 2 runs",
        "incomplete: two are missing",
    ]
    said = as_json(results_of(board), "r.json")["boards"][0]
    assert (said["valid"], said["unstable"], said["medians"]["ttft_ms"], said["medians"]["ram_peak_bytes"]) == (
        1, 1, 1.5, 2048.0,
    )  # fmt: skip
