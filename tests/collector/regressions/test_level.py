"""The level of a metric: what is a change of it, and what is noise."""

import random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_collector.regressions.level import ANCHOR, LEAST_AFTER, RECENT, Level, Shift


def shifts(values, min_change: float = 0.05, level: Level | None = None) -> list[tuple[int, Shift]]:
    """Each shift with the number of values that were seen when it was found."""
    level = Level() if level is None else level
    found = ((seen, level.take(seen, value, min_change)) for seen, value in enumerate(values, 1))
    return [(seen, shift) for seen, shift in found if shift is not None]


def noisy(n: int, level: float, noise: float, rng: random.Random) -> list[float]:
    return [level * (1 + rng.gauss(0, noise)) for _ in range(n)]


@pytest.mark.parametrize("change", [-0.3, -0.1, 0.1, 0.5])
def test_a_step_is_found_after_five_runs_and_dated_to_its_first(change):
    rng = random.Random(1)
    values = noisy(40, 100, 0.005, rng) + noisy(LEAST_AFTER, 100 * (1 + change), 0.005, rng)
    [(seen, shift)] = shifts(values)
    assert seen == 40 + LEAST_AFTER
    assert shift.since_ns == 41
    assert shift.change == pytest.approx(change, abs=0.02)


def test_four_runs_are_too_few_to_tell():
    assert shifts([100.0 + n % 3 for n in range(40)] + [50.0] * (LEAST_AFTER - 1)) == []


def test_a_change_below_the_smallest_worth_telling_is_none_however_sure():
    values = [100.0 + n % 2 for n in range(40)] + [97.0 + n % 2 for n in range(40)]
    assert shifts(values) == []
    assert len(shifts(values, min_change=0.02)) == 1


def test_single_outliers_are_no_change():
    values = [100.0 + n % 3 for n in range(120)]
    values[40:120:6] = [300.0] * len(values[40:120:6])
    assert shifts(values) == []


def test_values_that_alternate_are_no_change():
    assert shifts([100.0, 130.0] * 100) == []


def test_a_slow_drift_is_held_against_where_the_level_began():
    """Half a percent a run: no run differs from the one before by more than its noise."""
    found = shifts([100.0 - 0.1 * n for n in range(150)])
    assert found
    assert found[0][1].before == pytest.approx(100.0 - 0.1 * (ANCHOR - 1) / 2)


def test_noise_alone_gives_no_alarm():
    """20,000 runs at 3% noise, where a change of 5% is told: under the stated one in 10,000."""
    rng = random.Random(7)
    assert sum(len(shifts(noisy(1000, 100, 0.03, rng))) for _ in range(20)) <= 2


def test_what_went_down_and_came_back_is_two_changes():
    found = shifts([level + n % 2 for level in (100.0, 80.0, 100.0) for n in range(40)])
    assert [round(shift.change, 1) for _, shift in found] == [-0.2, 0.2]


def test_a_run_that_comes_again_or_very_late_changes_nothing():
    level = Level()
    for n in range(ANCHOR + RECENT):
        level.take(100 + n, 50.0, 0.05)
    before = (list(level.times), list(level.values))
    assert level.take(100 + ANCHOR + RECENT - 1, 10.0, 0.05) is None
    assert level.take(1, 10.0, 0.05) is None
    assert (list(level.times), list(level.values)) == before


def test_runs_that_come_in_another_order_are_put_where_they_belong():
    level, values = Level(), [100.0 + n % 3 for n in range(40)]
    late = [*range(1, 31), 36, 37, 38, 39, 40, 31, 32, 33, 34, 35]
    for time_ns in late:
        level.take(time_ns, values[time_ns - 1], 0.05)
    assert list(level.times) == list(range(1, 41))


def test_an_emulators_count_has_no_noise():
    level = Level()
    assert [level.take_counted(n, 1_000_000.0) for n in (1, 2, 3)] == [None] * 3
    assert level.take_counted(4, 1_000_050.0) is None
    assert level.take_counted(5, 1_000_400.0) == Shift(1_000_050.0, 1_000_400.0, 5)
    assert level.take_counted(5, 9.0) is None


@settings(max_examples=100)
@given(st.lists(st.floats(50, 200), min_size=1, max_size=120), st.floats(0.01, 100))
def test_the_unit_does_not_matter_and_what_is_kept_is_bounded(values, unit):
    level, scaled = Level(), Level()
    plain = [(seen, shift.since_ns) for seen, shift in shifts(values, level=level)]
    other = [(seen, shift.since_ns) for seen, shift in shifts([v * unit for v in values], level=scaled)]
    assert plain == other
    assert len(level.times) == len(level.values) <= ANCHOR + RECENT
    assert level.middle() == median(level.values)
