"""The queue between the MQTT thread and the pipeline: bounds, fairness, lists."""

import threading

from tinyprof_collector.inbox import Inbox
from tinyprof_protocol.connection import Message


def message(node: str, number: int, size: int = 1) -> Message:
    return Message(f"tinyprof/1/00/{node}/records", bytes([number]) * size, False, None, None)


def taken(inbox: Inbox, limit: int = 256) -> list[tuple[str, int]]:
    return [(each.topic.split("/")[3], each.payload[0]) for each in inbox.take(limit)]


def test_agents_are_served_in_turn_and_each_in_its_order():
    inbox = Inbox()
    for number in range(4):
        inbox.put(message("a.a", number))
    inbox.put(message("b.b", 0))
    inbox.put(message("c.c", 0))
    inbox.put(message("c.c", 1))
    assert taken(inbox) == [("a.a", 0), ("b.b", 0), ("c.c", 0), ("a.a", 1), ("c.c", 1), ("a.a", 2), ("a.a", 3)]
    assert len(inbox) == 0
    assert taken(inbox) == []


def test_a_limit_does_not_favour_whoever_came_first():
    inbox = Inbox()
    for number in range(8):
        for node in ("a.a", "b.b", "c.c"):
            inbox.put(message(node, number))
    served = [taken(inbox, 2) for _ in range(3)]
    assert served == [[("a.a", 0), ("b.b", 0)], [("c.c", 0), ("a.a", 1)], [("b.b", 1), ("c.c", 1)]]


def test_one_agent_may_have_eight_and_the_rest_is_deferred():
    inbox = Inbox()
    assert [inbox.put(message("a.a", number)) for number in range(10)] == [True] * 8 + [False] * 2
    assert inbox.put(message("b.b", 0))
    assert inbox.deferred() == {"a.a": 2}
    inbox.take(1)
    assert inbox.put(message("a.a", 8))


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
