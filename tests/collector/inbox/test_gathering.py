"""Gathering: a bounded wait for more after the first message."""

import itertools

from tinyprof_collector.gathering import Gathering
from tinyprof_collector.inbox import LARGE_BYTES, MAX_TAKEN_WEIGHT, Inbox, weight_of
from tinyprof_protocol.connection import Message


class Coming:
    """Messages by the time of a clock of its own, which a wait moves on."""

    def __init__(self, *coming: tuple[float, int]) -> None:
        self.coming = list(coming)
        self.now_s = 0.0
        self.waits: list[float] = []

    def take(self, limit, timeout_s):
        self.waits.append(timeout_s)
        if self.coming and self.coming[0][0] <= self.now_s + timeout_s:
            self.now_s = max(self.now_s, self.coming[0][0])
            there = [one for one in self.coming if one[0] <= self.now_s][:limit]
            self.coming = self.coming[len(there) :]
            return [Message("t", bytes(size), False, None, None) for _, size in there]
        self.now_s += timeout_s
        return []

    def __len__(self):
        return len(self.coming)


def gather(coming: Coming, limit=1024):
    return Gathering(coming, 1.0, lambda: coming.now_s).take(limit, 0.05)


def test_what_comes_within_the_wait_goes_together():
    coming = Coming((0.01, 1), (0.5, 1), (1.0, 1), (1.2, 1))
    assert len(gather(coming)) == 3
    assert len(coming) == 1
    assert coming.now_s == 1.01


def test_nothing_is_waited_for_where_nothing_came():
    coming = Coming((5.0, 1))
    assert gather(coming) == []
    assert coming.waits == [0.05]


def test_enough_bytes_or_messages_end_the_wait():
    full = Coming((0.0, MAX_TAKEN_WEIGHT // 2), (0.1, 1))
    assert len(gather(full)) == 1
    many = Coming(*[(0.0, 1)] * 5)
    assert len(gather(many, limit=4)) == 4
    assert many.now_s == 0.0


def test_a_large_message_counts_twice():
    sizes = (LARGE_BYTES - 1, LARGE_BYTES)
    small, large = (weight_of(Message("t", bytes(size), False, None, None)) for size in sizes)
    assert (small, large) == (LARGE_BYTES - 1, 2 * LARGE_BYTES)


def test_what_came_while_the_list_before_was_stored_has_waited_already():
    coming = Coming((0.0, 1), (1.5, 1), (1.8, 1), (2.3, 1))
    gathering = Gathering(coming, 1.0, lambda: coming.now_s)
    assert len(gathering.take(1024, 0.05)) == 1
    assert coming.now_s == 1.0
    coming.now_s = 1.6  # the store took 0.6 s
    assert len(gathering.take(1024, 0.05)) == 2
    assert coming.now_s == 2.0
    coming.now_s = 9.0
    assert len(gathering.take(1024, 0.05)) == 1, "its time is over: it goes at once"
    assert coming.now_s == 9.0


def test_a_source_that_is_closed_is_not_waited_for():
    inbox = Inbox()
    inbox.put(Message("tinyprof/1/00/lab.a/records", b"one", False, None, None))
    inbox.close()
    looks = itertools.count()  # of a clock that goes on by a tenth of a second at each
    gathering = Gathering(inbox, 10.0, lambda: next(looks) / 10)
    assert [message.payload for message in gathering.take(8, 0.05)] == [b"one"]
    assert next(looks) < 10
