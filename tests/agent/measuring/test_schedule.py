from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.schedule import Timetable, timetable


def test_zero_means_never() -> None:
    never = timetable(0, 100.0, Random(1))
    assert not never.is_due(1e18)
    assert never.after(1e18) == never


@given(every_s=st.floats(0.1, 86400), now_s=st.floats(0, 1e7), seed=st.integers())
def test_the_first_is_spread_over_a_quarter_of_the_interval_and_at_most_five_seconds(
    every_s: float, now_s: float, seed: int
) -> None:
    first = timetable(every_s, now_s, Random(seed))
    assert 0 <= first.due_s - now_s <= min(every_s / 4, 5) * (1 + 1e-9) + 1e-6


def test_boards_do_not_all_begin_together() -> None:
    rng = Random(3)
    assert len({timetable(60, 0.0, rng).due_s for _ in range(20)}) == 20


def test_a_run_keeps_to_its_grid() -> None:
    table = Timetable(60, 100)
    assert not table.is_due(99.9)
    assert table.is_due(100)
    assert table.after(107) == Timetable(60, 160)
    assert table.after(99) == table


def test_a_run_longer_than_the_interval_lets_slots_fall_and_does_not_pile_up() -> None:
    table = Timetable(60, 100)
    assert table.after(100 + 200) == Timetable(60, 340)
    assert table.after(160) == Timetable(60, 220)  # just at the next slot: that one is gone too


@given(every_s=st.floats(0.01, 1e5), due_s=st.floats(0, 1e6), late_s=st.floats(0, 1e6))
def test_the_next_one_is_always_to_come_and_never_further_than_an_interval(
    every_s: float, due_s: float, late_s: float
) -> None:
    now_s = due_s + late_s
    after = Timetable(every_s, due_s).after(now_s)
    assert now_s <= after.due_s + 1e-6
    assert after.due_s <= now_s + every_s * (1 + 1e-6) + 1e-6
