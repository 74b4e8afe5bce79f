import threading

import pytest

from tinyprof_collector.ingest import BoundedQueue, Ingest, Watchdog, route, subscriptions
from tinyprof_protocol import topics
from tinyprof_protocol.connection import Message
from tinyprof_protocol.names import PARTITIONS, partition_of


def message(topic) -> Message:
    return Message(topic, b"", False, None, None)


def test_all_partitions_are_one_filter_each():
    assert subscriptions("main", range(PARTITIONS)) == [
        ("tinyprof/1/+/+/status", 1),
        ("tinyprof/1/+/+/records", 1),
        ("tinyprof/1/collector/main/requests/+", 1),
    ]


def test_a_part_of_the_fleet_and_the_statuses_of_collectors():
    assert subscriptions("main", [3, 12]) == [
        ("tinyprof/1/03/+/status", 1),
        ("tinyprof/1/12/+/status", 1),
        ("tinyprof/1/03/+/records", 1),
        ("tinyprof/1/12/+/records", 1),
        ("tinyprof/1/collector/main/requests/+", 1),
        ("tinyprof/1/collector/+/status", 1),
    ]


@pytest.mark.parametrize(
    ("topic", "where"),
    [
        (topics.agent_topic("lab.pi", "records"), "records"),
        (f"tinyprof/1/{(partition_of('lab.pi') + 1) % 16:02d}/lab.pi/records", "records"),
        (topics.agent_topic("lab.pi", "status"), "status"),
        ("tinyprof/1/03/not a node/status", "status"),
        (topics.collector_status("main"), "own"),
        (topics.collector_status("other"), "peer"),
        ("tinyprof/1/collector/other/x/status", "other"),
        ("tinyprof/1/collector/lab.pi/status", "other"),
        ("tinyprof/1/collector/main/requests/history", "request"),
        ("tinyprof/1/collector/other/requests/history", "other"),
        ("tinyprof/1/collector/main.x/requests/history", "other"),
        ("something", "other"),
    ],
)
def test_each_topic_has_its_queue(topic, where):
    assert route(topic, "main") == where


def test_agents_of_partitions_that_are_left_to_others_are_not_heard():
    records: list[Message] = []
    ingest = Ingest("main", records.append, Watchdog(30.0), lambda: 0.0)
    ingest.leave({7: "b"})
    ours, theirs = "lab.one", "lab.pi"
    assert (partition_of(ours), partition_of(theirs)) == (3, 7)
    for node in (ours, theirs):
        for kind in ("records", "status"):
            ingest.take(message(topics.agent_topic(node, kind)))
    ingest.take(message(topics.requests("main", "status")))
    ingest.take(message("7"))
    assert [m.topic for m in records] == [topics.agent_topic(ours, "records")]
    assert [m.topic for m in ingest.statuses.take()] == [topics.agent_topic(ours, "status")]
    assert len(ingest.requests) == 1
    assert ingest.counters()["messages_left_to_others"] == 2
    ingest.leave({})
    ingest.take(message(topics.agent_topic(theirs, "records")))
    assert len(records) == 2


def test_messages_are_sorted_and_any_of_them_calms_the_watchdog():
    now = [0.0]
    records: list[Message] = []
    watchdog = Watchdog(30.0)
    ingest = Ingest("main", records.append, watchdog, lambda: now[0])
    watchdog.connected(0.0)
    now[0] = 25.0
    for topic in (
        topics.agent_topic("lab.pi", "records"),
        topics.agent_topic("lab.pi", "status"),
        topics.requests("main", "status"),
        topics.collector_status("main"),
        topics.collector_status("other"),
        "something",
    ):
        ingest.take(message(topic))
    assert [m.topic for m in records] == [topics.agent_topic("lab.pi", "records")]
    assert [m.topic for m in ingest.statuses.take()] == [topics.agent_topic("lab.pi", "status")]
    assert [m.topic for m in ingest.requests.take()] == [topics.requests("main", "status")]
    assert [m.topic for m in ingest.peers.take()] == [topics.collector_status("other")]
    counted = {"statuses_dropped": 0, "requests_dropped": 0, "messages_ignored": 1, "messages_left_to_others": 0}
    assert ingest.counters() == counted
    assert ingest.wake.is_set()
    assert watchdog.complaint(55.0) is None
    assert watchdog.complaint(55.1) is not None


def test_the_watchdog_complains_only_while_connected():
    watchdog = Watchdog(30.0)
    assert watchdog.complaint(1000.0) is None
    watchdog.connected(1000.0)
    assert watchdog.complaint(1030.0) is None
    assert watchdog.complaint(1031.0) == "connected, but not even its own status has come back for 31 s"
    watchdog.lost()
    watchdog.heard(1031.0)
    assert watchdog.complaint(2000.0) is None


def test_a_full_queue_lets_the_newest_fall_and_counts():
    queue = BoundedQueue(2, threading.Event())
    for n in range(5):
        queue.put(message(f"t{n}"))
    assert (len(queue), queue.dropped) == (2, 3)
    assert [m.topic for m in queue.take()] == ["t0", "t1"]
    assert queue.take() == []
    queue.put(message("t9"))
    assert len(queue) == 1


def test_a_queue_is_bounded_in_bytes_too():
    queue = BoundedQueue(1000, threading.Event())
    large = Message("tinyprof/1/00/a.b/status", bytes(256 * 1024), False, None, None)
    for _ in range(300):
        queue.put(large)
    assert (len(queue), queue.dropped) == (256, 44)
    assert len(queue.take()) == 256
    queue.put(large)
    assert (len(queue), queue.dropped) == (1, 44)
