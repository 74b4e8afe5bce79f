"""The queue between the MQTT thread and the pipeline: bounds, fairness, lists."""

import threading

import pytest

from tinyprof_collector.inbox import AT_A_TURN, Inbox
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import Batch, Entry


def message(node: str, number: int, size: int = 1) -> Message:
    return Message(f"tinyprof/1/00/{node}/records", bytes([number]) * size, False, None, None)


def taken(inbox: Inbox, limit: int = 256) -> list[tuple[str, int]]:
    return [(each.topic.split("/")[3], each.payload[0]) for each in inbox.take(limit)]


def batch(node: str, base: int, first: int, count: int = 10, size: int = 0) -> Message:
    """A batch under its topic; `size` bytes of records make it heavy."""
    entries = [Entry(seq, bytes(size // count)) for seq in range(first, first + count)]
    payload = encode(Batch(node, bytes(16), base, [], entries), compress=False)
    return Message(f"tinyprof/1/00/{node}/records", payload, False, None, None)


def firsts(messages: list[Message]) -> list[tuple[str, int]]:
    batches = [decode(message.payload, Batch) for message in messages]
    return [(one.node, one.records[0].seq) for one in batches]


@pytest.mark.parametrize(("size", "limit"), [(40_000, 1024), (100, 40)], ids=["in bytes", "in number"])
def test_where_much_waits_results_of_now_do_not_wait_behind_all_backlogs(size: int, limit: int):
    inbox = Inbox()
    nodes = [f"a.n{n}" for n in range(60)]
    for node in nodes:
        for first in (1, 101, 201, 301, 401, 501):
            assert inbox.put(batch(node, 1, first, count=100, size=size))
        for first in (601, 611):  # whether there is a gap before them or not: the backlog may all be under way
            assert inbox.put(batch(node, 1, first, size=size // 10))
    (head, *_), rounds = nodes, []
    while len(inbox):
        rounds.append(firsts(inbox.take(limit)))
    newest = [n for n, taken in enumerate(rounds) for _, first in taken if first > 600]
    assert len(newest) == 2 * len(nodes)
    assert max(newest) < len(rounds) / 2
    of_one = [first for taken in rounds for node, first in taken if node == head and first < 600]
    assert of_one == [1, 101, 201, 301, 401, 501]


def test_of_the_results_of_now_those_that_came_first_go_first():
    inbox = Inbox()
    for first in (1, 2, 3):
        for node in ("a.a", "b.b", "c.c"):
            inbox.put(batch(node, 1, first, count=1))
    for n in range(40):
        inbox.put(batch(f"a.n{n}", 1, 1, count=100, size=60_000))
    assert firsts(inbox.take())[:9] == [(node, first) for first in (1, 2, 3) for node in ("a.a", "b.b", "c.c")]


def test_where_records_are_large_results_of_now_do_not_wait_behind_backlogs_of_few_records():
    inbox = Inbox()
    for n in range(60):
        for first in range(1, 91, 15):
            inbox.put(batch(f"a.n{n}", 1, first, count=15, size=60_000))
    for n in range(60):
        inbox.put(batch(f"a.n{n}", 1, 200, count=1, size=1_000))
    assert [first for _, first in firsts(inbox.take())][:60] == [200] * 60


def test_where_little_waits_each_agents_batches_go_in_the_order_in_which_they_came():
    inbox = Inbox()
    for first in (1, 901, 11):
        inbox.put(batch("a.a", 1, first))
    assert firsts(inbox.take()) == [("a.a", 1), ("a.a", 901), ("a.a", 11)]


def test_a_batch_that_is_sent_again_takes_no_second_place_though_less_is_owed_by_then():
    inbox = Inbox()
    for first in (1, 11, 21, 31):
        assert inbox.put(batch("a.a", 1, first))
    assert not inbox.put(batch("a.a", 5, 31))
    assert (len(inbox), inbox.copies, inbox.deferred()) == (4, 1, {})
    other_epoch = Batch("a.a", bytes([1] * 16), 5, [], [Entry(seq, b"") for seq in range(31, 41)])
    assert inbox.put(Message("tinyprof/1/00/a.a/records", encode(other_epoch), False, None, None))
    assert inbox.put(batch("a.a", 5, 31, count=11)), "more than waits"


def test_a_half_of_a_batch_that_waits_takes_no_place_of_its_own():
    inbox = Inbox()
    for first in (1, 101, 201, 301):
        inbox.put(batch("a.a", 1, first, count=100))
    assert not inbox.put(batch("a.a", 1, 201, count=50))
    assert not inbox.put(batch("a.a", 1, 251, count=50))
    assert (len(inbox), inbox.copies, inbox.deferred()) == (4, 2, {})


@pytest.mark.parametrize("bound", ["of its agent", "in bytes"])
def test_results_of_now_have_room_beside_a_backlog_that_has_it_all(bound):
    whole = len(batch("a.a", 1, 101, count=100, size=60_000).payload)
    inbox = Inbox() if bound == "of its agent" else Inbox(max_bytes=8 * (whole + 100))
    for first in range(1, 801, 100):
        assert inbox.put(batch("a.a", 1, first, count=100, size=60_000))
    assert not inbox.put(batch("a.a", 1, 801, count=100, size=60_000))
    assert [inbox.put(batch("a.a", 1, first, count=2)) for first in range(901, 911, 2)] == [True] * 4 + [False]
    assert inbox.deferred() == {"a.a": 2}
    assert not inbox.put(batch("a.a", 2, 901, count=2))
    assert (inbox.copies, inbox.deferred()) == (1, {"a.a": 2}), "one that waits there is known when it comes again"
    huge = batch("b.b", 1, 1, count=2, size=200_000)
    assert inbox.put(huge) == (bound == "of its agent"), "there is a bound for these, too"


def test_agents_are_served_in_turn_and_each_in_its_order():
    inbox = Inbox()
    for number in range(AT_A_TURN + 2):
        inbox.put(message("a.a", number))
    inbox.put(message("b.b", 0))
    inbox.put(message("c.c", 0))
    inbox.put(message("c.c", 1))
    its = [("a.a", number) for number in range(AT_A_TURN + 2)]
    assert taken(inbox) == [*its[:AT_A_TURN], ("b.b", 0), ("c.c", 0), ("c.c", 1), *its[AT_A_TURN:]]
    assert len(inbox) == 0
    assert taken(inbox) == []


def test_a_limit_does_not_favour_whoever_came_first():
    inbox = Inbox()
    for number in range(8):
        for node in ("a.a", "b.b", "c.c"):
            inbox.put(message(node, number))
    served = [taken(inbox, AT_A_TURN) for _ in range(4)]
    assert served == [
        [(node, number) for number in range(begin, begin + AT_A_TURN)]
        for begin, node in ((0, "a.a"), (0, "b.b"), (0, "c.c"), (AT_A_TURN, "a.a"))
    ]


def test_one_agent_may_have_eight_and_the_rest_is_deferred():
    inbox = Inbox()
    assert [inbox.put(message("a.a", number)) for number in range(10)] == [True] * 8 + [False] * 2
    assert inbox.put(message("b.b", 0))
    assert inbox.deferred() == {"a.a": 2}
    inbox.take(1)
    assert inbox.put(message("a.a", 8))


def test_a_copy_of_what_waits_takes_no_place():
    inbox = Inbox()
    for _ in range(2):
        assert [inbox.put(message("a.a", number)) for number in range(4)] == [inbox.copies == 0] * 4
    assert inbox.put(message("b.b", 0)), "another agent's"
    assert (len(inbox), inbox.copies, inbox.deferred()) == (5, 4, {})
    inbox.take()
    assert inbox.put(message("a.a", 0)), "what was taken may come again"


def test_the_same_bytes_under_another_partition_do_not_push_out_the_batch_that_is_where_it_belongs():
    inbox, right = Inbox(), message("a.a", 0)
    astray = Message(right.topic.replace("/1/", "/1/x", 1), right.payload, False, None, None)
    assert inbox.put(astray)
    assert inbox.put(right)
    assert [one.topic for one in inbox.take()] == [astray.topic, right.topic]


def test_all_together_are_bounded_in_number_and_bytes():
    inbox = Inbox(max_messages=2)
    assert [inbox.put(message(node, 0)) for node in ("a.a", "b.b", "c.c")] == [True, True, False]
    inbox = Inbox(max_bytes=100)
    assert [inbox.put(message(node, 0, 40)) for node in ("a.a", "b.b", "c.c")] == [True, True, False]
    inbox.take()
    assert inbox.put(message("c.c", 0, 100))
    assert inbox.deferred() == {"c.c": 1}


def test_a_list_ends_at_a_weight():
    inbox = Inbox(max_of_one_agent=100)
    for number in range(10):
        inbox.put(message("a.a", number, 64 * 1024))
    lists = [len(inbox.take()) for _ in range(3)]
    assert lists == [4, 4, 2]
    assert inbox.take() == []


def test_a_topic_without_a_node_goes_through_to_be_judged():
    inbox = Inbox()
    inbox.put(Message("nonsense", b"x", False, None, None))
    assert [each.topic for each in inbox.take()] == ["nonsense"]


def test_take_waits_for_the_first_message_and_ends_with_close():
    inbox, got = Inbox(), []
    thread = threading.Thread(target=lambda: got.append(inbox.take(timeout_s=60)))
    thread.start()
    inbox.put(message("a.a", 1))
    thread.join(60)
    assert [len(each) for each in got] == [1]
    thread = threading.Thread(target=lambda: got.append(inbox.take(timeout_s=60)))
    thread.start()
    inbox.close()
    thread.join(60)
    assert got[1:] == [[]]
    assert inbox.take(timeout_s=None) == []


def test_nothing_is_lost_or_doubled_between_two_threads():
    inbox, got = Inbox(max_of_one_agent=10_000), []

    def drain() -> None:
        while len(got) < 5000:
            got.extend(each.payload for each in inbox.take(64, 60))

    thread = threading.Thread(target=drain)
    thread.start()
    for number in range(5000):
        node = f"n.n{number % 7}"
        inbox.put(Message(f"tinyprof/1/00/{node}/records", number.to_bytes(2, "big"), False, None, None))
    thread.join(60)
    assert sorted(got) == [number.to_bytes(2, "big") for number in range(5000)]
