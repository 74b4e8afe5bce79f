"""Counters that wrap are unwrapped; rates other than a nanosecond are."""

from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.drivers.probe.tick_clock import NS, TickClock, unwrap_run

BITS = 12
WRAP = 1 << BITS


@given(st.integers(0, 10**9), st.lists(st.integers(0, WRAP - 1), max_size=50))
def test_stamps_less_than_a_wrap_apart_need_no_host_clock(start: int, gaps: list[int]) -> None:
    clock = TickClock(NS, BITS)
    base = clock.at(start % WRAP, 0) - start
    now = start
    for gap in gaps:
        now += gap
        assert clock.at(now % WRAP, 0) - base == now


@given(st.integers(0, 10**9), st.lists(st.integers(0, 40 * WRAP), max_size=30), st.floats(-0.009, 0.009))
def test_longer_silences_are_told_by_the_hosts_clock_where_it_drifts_little(
    start: int, gaps: list[int], drift: float
) -> None:
    clock = TickClock(NS, BITS)
    base = clock.at(start % WRAP, 0) - start
    now, host = start, 0.0
    for gap in gaps:
        now += gap
        host += gap * (1 + drift)
        before = host
        assert clock.at(now % WRAP, int(before)) - base == now


def test_a_clock_at_twice_its_rate_is_not_hidden_by_the_hosts() -> None:
    clock = TickClock(NS, 32)
    first = clock.at(0, 0)
    assert clock.at(2 * NS, NS) - first == 2 * NS


@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, WRAP - 1), st.integers(0, 5)), min_size=1, max_size=40))
def test_a_run_is_unwrapped_by_the_stamps_between_its_tokens(t0: int, tokens: list[tuple[int, int]]) -> None:
    """Each token comes `gap` after the last stamp, of which up to five lie before it, most of a wrap apart."""
    now, true_ticks, raw, stamps = t0, [], [], []
    for index, (gap, between) in enumerate(tokens):
        for _ in range(between):
            now += WRAP - 1
            stamps.append((index, now % WRAP))
        now += gap
        true_ticks.append(now)
        raw.append((index, now % WRAP))
    assert unwrap_run(TickClock(NS, BITS), t0, stamps, raw) == true_ticks


@given(st.integers(0, 10**9), st.integers(-WRAP // 2 + 1, WRAP // 2 - 1))
def test_a_stamp_near_an_expected_count(ticks: int, error: int) -> None:
    found = TickClock(NS, BITS).near(ticks % WRAP, ticks + error)
    assert found in (ticks, ticks % WRAP)
    assert found % WRAP == ticks % WRAP


def test_ticks_of_a_microcontroller_become_nanoseconds() -> None:
    assert TickClock(168_000_000, 32).ns(168_000_000 * 60) == 60 * NS
