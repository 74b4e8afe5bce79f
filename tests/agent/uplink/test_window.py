"""The rules of the window, one a test, with a spool that is only numbers."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_agent.spool import EpochView
from tinyprof_agent.uplink.window import MAX_PARKED, SILENT_TRIES, Want, Window
from tinyprof_protocol.ranges import RangeSet

OLD, NEW = b"o" * 16, b"n" * 16


def window(*views: EpochView) -> Window:
    made = Window(random.Random(1))
    made.refresh(views or [EpochView(NEW, 1, 10_000, 10_000)])
    made.connected(0.0)
    return made


def launch(made: Window, want: Want, now_s: float, size: int = 256) -> tuple[int, Want]:
    """Sends as much of what is wanted as a batch takes, all of it records."""
    size = min(size, want.max_records)
    first = max(want.first, want.last - size + 1) if want.newest else want.first
    last = want.last if want.newest else min(want.last, want.first + size - 1)
    number = made.launched(want, first, last, RangeSet([(first, last)]), last - first + 1, [], now_s)
    return number, Want(want.epoch, first, last, want.newest)


def fill(made: Window, now_s: float = 0.0, size: int = 256) -> list[Want]:
    sent = []
    while (want := made.next(now_s)) is not None:
        number, span = launch(made, want, now_s, size)
        made.published(number, "acknowledged", now_s)
        sent.append(span)
    return sent


def test_six_follow_on_each_other_from_the_oldest_beside_what_is_newest() -> None:
    made = window(EpochView(OLD, 5, 3000, 3000), EpochView(NEW, 1, 600, 600))
    sent = fill(made)
    assert [(want.epoch, want.first, want.last) for want in sent if want.newest] == [(NEW, 585, 600)]
    assert [(want.epoch, want.first, want.last) for want in sent if not want.newest] == [
        (OLD, 5 + 256 * i, 260 + 256 * i) for i in range(6)
    ]


def test_beside_a_backlog_what_is_new_since_goes_in_batches_of_its_own_at_two_places() -> None:
    made = window(EpochView(NEW, 1, 9000, 9000))
    fill(made)
    for head in (9002, 9003, 9100):
        made.refresh([EpochView(NEW, 1, head, head)])
        sent = fill(made)
        assert [(want.first, want.last, want.newest) for want in sent] == [(9001, 9002, True)][: head == 9002]
    made.settled(NEW, [(8985, 9000)], 0.0)
    assert [(want.first, want.last, want.newest) for want in fill(made)] == [(9085, 9100, True)]


def test_where_what_is_owed_is_little_it_goes_oldest_first() -> None:
    made = window(EpochView(NEW, 1, 1, 1))
    for head in range(1, 20):
        made.refresh([EpochView(NEW, 1, head, head)])
        sent = fill(made)
        assert [(want.first, want.last, want.newest) for want in sent] == [(head, head, head > 6)][: head <= 8]
    made.settled(NEW, [(1, 1)], 0.0)
    assert [(want.first, want.last, want.newest) for want in fill(made)] == [(9, 19, False)]


def test_nothing_is_sent_while_disconnected_and_all_goes_again_on_connecting() -> None:
    made = window()
    sent = fill(made)
    made.disconnected()
    assert made.next(1000.0) is None
    made.connected(1000.0)
    again = [want for want in iter(lambda: made.next(1000.0), None) if launch(made, want, 1000.0)]
    resent, spare = again[: len(sent)], again[len(sent) :]
    assert sorted((want.first, want.last) for want in resent) == sorted((want.first, want.last) for want in sent)
    assert [want.flight for want in spare] == [None], "by then six have been under way for long"


def test_what_the_client_library_holds_is_never_sent_again() -> None:
    made = window(EpochView(NEW, 1, 5, 5))
    want = made.next(0.0)
    assert want is not None
    number, _ = launch(made, want, 0.0)
    assert made.next(10_000.0) is None
    made.published(number, "acknowledged", 10_000.0)
    assert made.next(10_000.0) is not None


def test_delays_double_to_a_minute_and_any_sack_brings_them_back() -> None:
    made = window(EpochView(OLD, 1, 1, 1), EpochView(NEW, 1, 1, 1))
    fill(made)
    (first, second) = made.flights.values()
    now_s, waits = 0.0, []
    for _ in range(8):
        due_s = made.flights[first.number].due_s
        waits.append(due_s - now_s)
        now_s = due_s
        second.due_s = now_s + 1000
        want = made.next(now_s)
        assert want is not None
        assert want.flight == first.number
        made.published(launch(made, want, now_s)[0], "acknowledged", now_s)
    expected = [2, 4, 8, 16, 32, 60, 60, 60]
    assert all(low <= wait <= low * 1.25 for wait, low in zip(waits, expected, strict=True))
    made.settled(NEW, [(1, 1)], now_s)
    assert made.flights[first.number].due_s <= now_s + 2.5
    again_s = made.flights[first.number].due_s
    want = made.next(again_s)
    assert want is not None
    launch(made, want, again_s)
    assert made.flights[first.number].due_s <= again_s + 5.0
    assert second.number not in made.flights


def unanswered(made: Window, now_s: float, times: int, size: int = 256) -> float:
    for _ in range(times):
        wait_s = made.wait_s(now_s)
        assert wait_s is not None
        now_s += wait_s
        fill(made, now_s, size)
    return now_s


def test_a_batch_unanswered_five_times_is_halved_down_to_one_and_that_one_holds_no_place() -> None:
    made = window(EpochView(NEW, 1, 8, 8))
    fill(made)
    made.settled(OLD, [], 1.0)  # others have an answer
    now_s, sizes = 0.0, []
    while not any(flight.parked for flight in made.flights.values()):
        now_s += made.wait_s(now_s) or 0.0
        want = made.next(now_s)
        assert want is not None
        number, span = launch(made, want, now_s)
        made.published(number, "acknowledged", now_s)
        sizes.append(span.last - span.first + 1)
        for flight in list(made.flights.values()):
            if flight.first != 1:
                made.settled(NEW, [(flight.first, flight.last)], now_s)
        while (part := made.next(now_s)) is not None and part.flight is None:
            other, sent = launch(made, part, now_s)
            made.published(other, "acknowledged", now_s)
            made.settled(NEW, [(sent.first, sent.last)], now_s)
    assert sorted(set(sizes), reverse=True) == [8, 4, 2, 1]
    assert sizes.count(8) == 4
    assert made.places_taken(newest=False) == 0
    (flight,) = made.flights.values()
    assert (flight.first, flight.last) == (1, 1)


def test_no_batch_is_to_blame_for_a_silence_until_it_has_lasted_long() -> None:
    made = window(EpochView(NEW, 1, 8, 8))
    made.settled(OLD, [], -1.0)
    fill(made)
    now_s = unanswered(made, 0.0, 5 * SILENT_TRIES - 1)
    assert now_s > 600.0
    assert [flight.records for flight in made.flights.values()] == [8]
    unanswered(made, now_s, 1)
    assert 4 in [flight.records for flight in made.flights.values()]


@pytest.mark.parametrize(("silent_s", "rounds"), [(600.0, 2), (1800.0, 5)])
def test_after_a_long_silence_batches_are_soon_as_large_as_ever(silent_s: float, rounds: int) -> None:
    made = window(EpochView(NEW, 1, 1, 1))
    now_s = 0.0
    fill(made, size=100)
    while now_s < silent_s:  # a record a second, none of which is answered
        now_s = unanswered(made, now_s, 1, size=100)
        made.refresh([EpochView(NEW, 1, int(now_s), int(now_s))])
        fill(made, now_s, size=100)
    settled, taken = RangeSet(), 0
    while made.flights:
        taken += 1
        pairs = [(flight.first, flight.last) for flight in made.flights.values()]
        settled.update(pairs)
        made.settled(NEW, pairs, now_s)
        fill(made, now_s, size=100)
    assert settled.pairs() == [(1, int(now_s))]
    assert taken <= rounds, "a round for what was under way, and then windows full of large batches"


def test_after_a_silence_what_is_newest_by_then_does_not_wait_for_what_was_when_it_began() -> None:
    made = window(EpochView(NEW, 1, 8, 8))
    fill(made, size=1)
    made.refresh([EpochView(NEW, 1, 9, 9)])
    fill(made, size=1)
    assert made.places_taken(newest=True) == 2
    now_s = unanswered(made, 0.0, 40, size=1)
    made.refresh([EpochView(NEW, 1, 3000, 3000)])
    assert fill(made, now_s, size=100) == []
    made.settled(NEW, [(1, 4)], now_s)
    sent = fill(made, now_s, size=100)
    assert [(want.first, want.last) for want in sent if want.newest] == [(2985, 3000)]
    assert made.places_taken(newest=True) + made.places_taken(newest=False) == 7


@given(st.sets(st.integers(1, 400), min_size=1, max_size=3), st.sampled_from([1, 7, 100, 256]))
@settings(max_examples=40, deadline=None)
def test_records_that_are_never_answered_are_found_and_all_others_arrive(never: set[int], size: int) -> None:
    made = window(EpochView(NEW, 1, 400, 400))
    arrived = RangeSet()
    now_s = 0.0
    for _ in range(2000):
        for want in fill(made, now_s, size):
            if not never & set(range(want.first, want.last + 1)):
                arrived.add(want.first, want.last)
                made.settled(NEW, [(want.first, want.last)], now_s)
        if arrived.count() == 400 - len(never) and all(flight.parked for flight in made.flights.values()):
            break
        now_s += made.wait_s(now_s) or 1.0
    assert {flight.first for flight in made.flights.values() if flight.parked} == never
    assert arrived.count() == 400 - len(never)
    assert made.places_taken(newest=False) == made.places_taken(newest=True) == 0


def test_records_alone_beside_the_window_are_bounded() -> None:
    made = window(EpochView(NEW, 1, 10_000, 10_000))
    now_s = 0.0
    fill(made, size=1)
    for _ in range(3000):
        now_s += 61.0
        fill(made, now_s, size=1)
        if made.counters.get("batches_parked", 0) >= MAX_PARKED:
            break
    for _ in range(50):
        now_s += 61.0
        fill(made, now_s, size=1)
    assert sum(flight.parked for flight in made.flights.values()) == MAX_PARKED
    assert len(made.flights) <= MAX_PARKED + 8


def test_a_refused_batch_is_counted_and_does_not_lead_to_halving() -> None:
    made = window(EpochView(NEW, 1, 10, 10))
    want = made.next(0.0)
    assert want is not None
    number, _ = launch(made, want, 0.0)
    now_s = 0.0
    for _ in range(10):
        made.published(number, "refused", now_s)
        assert made.next(now_s) is None
        now_s += made.wait_s(now_s) or 0.0
        want = made.next(now_s)
        assert want is not None
        assert want.max_records == 256
        launch(made, want, now_s)
    assert made.counters["batches_refused"] == 10
    assert "batches_acknowledged" not in made.counters


def test_live_records_go_out_beside_a_backlog_that_nobody_answers() -> None:
    made = window(EpochView(OLD, 1, 5000, 5000), EpochView(NEW, 1, 0, 0))
    fill(made)
    made.refresh([EpochView(OLD, 1, 5000, 5000), EpochView(NEW, 1, 3, 3)])
    (want,) = fill(made)
    assert (want.epoch, want.first, want.last) == (NEW, 1, 3)


def test_a_backlog_does_not_wait_behind_six_records_that_are_never_answered() -> None:
    made = window(EpochView(NEW, 1, 20_000, 20_000))
    never, arrived, now_s = {10, 300, 600, 900, 1200, 1500}, RangeSet(), 0.0
    while arrived.count() < 18_000:
        for want in fill(made, now_s):
            if not never & set(range(want.first, want.last + 1)):
                arrived.add(want.first, want.last)
                made.settled(NEW, [(want.first, want.last)], now_s)
        now_s += 0.5
        assert now_s < 120.0


def test_beside_the_backlog_of_an_epoch_before_what_is_new_goes_first() -> None:
    made = window(EpochView(OLD, 1, 5000, 5000), EpochView(NEW, 1, 3, 3))
    want = made.next(0.0)
    assert want is not None
    assert (want.epoch, want.first, want.last, want.newest) == (NEW, 1, 3, True)


def test_a_burst_without_a_backlog_goes_in_its_order() -> None:
    made = window(EpochView(NEW, 1, 256, 256))
    (want,) = fill(made)
    assert (want.first, want.last) == (1, 256)


def test_what_has_no_wall_time_yet_is_not_cut() -> None:
    made = window(EpochView(NEW, 1, 10, 4))
    (want,) = fill(made)
    assert (want.first, want.last) == (1, 4)


def test_what_is_owed_and_was_forgotten_is_cut_anew() -> None:
    made = window(EpochView(NEW, 1, 10, 10))
    fill(made)
    made.settled(NEW, [(1, 10)], 0.0)
    made.refresh([EpochView(NEW, 6, 10, 10)])
    (want,) = fill(made)
    assert (want.first, want.last) == (6, 10)
    assert made.counters["recut"] == 1
