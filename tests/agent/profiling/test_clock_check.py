import pytest

from tinyprof_agent.drivers.driver import RoundTrip
from tinyprof_agent.profiling.clock_check import check_clock, host_clock_report

S = 1_000_000_000
MS = 1_000_000


def trips(at_ns: int, board_ns: int, took_ns: tuple[int, ...] = (9, 2, 5, 7, 8)) -> list[RoundTrip]:
    """Five round trips whose quickest (2 ms) lies around `at_ns`; the others would mislead by 100 s."""
    quickest = min(took_ns)
    return [
        RoundTrip(at_ns - took * MS // 2, at_ns + took * MS // 2, board_ns if took == quickest else board_ns + 100 * S)
        for took in took_ns
    ]


def test_the_quickest_of_each_five_gives_the_drift() -> None:
    report = check_clock(trips(10 * S, 1 * S), trips(20 * S, int(11.1 * S)), 10**6)
    assert report.check == "checked"
    assert report.span_s == 10
    assert report.drift_ratio == pytest.approx(0.01)
    assert report.round_trip_us == 2000
    assert report.tick_hz == 10**6
    assert report.why == ""


@pytest.mark.parametrize(
    ("board_s", "check"), [(10.19, "checked"), (10.21, "failed"), (9.81, "checked"), (9.79, "failed")]
)
def test_a_drift_over_two_percent_fails(board_s: float, check: str) -> None:
    report = check_clock(trips(0, 0), trips(10 * S, int(board_s * S)), 10**9)
    assert report.check == check
    assert ("drifts" in report.why) == (check == "failed")


@pytest.mark.parametrize(("board_ns", "tick_hz"), [(5 * S, 10**9), (4 * S, 10**9), (15 * S, 0)])
def test_a_clock_without_a_tick_fails(board_ns: int, tick_hz: int) -> None:
    report = check_clock(trips(0, 5 * S), trips(10 * S, board_ns), tick_hz)
    assert (report.check, report.why) == ("failed", "the board's clock does not tick")


def test_under_two_seconds_nothing_can_be_said() -> None:
    report = check_clock(trips(0, 0), trips(1999 * MS, 1999 * MS), 10**9)
    assert report.check == "unchecked"
    assert "2.00 s" in report.why or "1.99 s" in report.why
    assert check_clock(trips(0, 0), trips(2000 * MS, 2000 * MS), 10**9).check == "checked"


def test_slow_round_trips_make_the_check_worthless() -> None:
    slow = (5, 5, 5, 5, 5)
    assert check_clock(trips(0, 0, slow), trips(2 * S, 2 * S, slow), 10**9).check == "unchecked"  # 10 ms of 2 s: 0.5 %
    assert check_clock(trips(0, 0, slow), trips(2 * S + MS, 2 * S + MS, slow), 10**9).check == "checked"


def test_too_few_round_trips_check_nothing() -> None:
    report = check_clock(trips(0, 0)[:4], trips(10 * S, 10 * S), 10**9)
    assert (report.check, report.drift_ratio) == ("unchecked", None)
    assert "4 round trips before" in report.why


def test_the_hosts_own_clock_needs_no_check() -> None:
    assert host_clock_report(10**9).check == "host"
