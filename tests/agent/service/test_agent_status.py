"""The agent's word on itself, and when it is said."""

import threading
from dataclasses import replace

import pytest

from tinyprof_agent.clock import Reading
from tinyprof_agent.service import fewer_locks
from tinyprof_agent.spool import SpoolStats
from tinyprof_agent.status import Cadence, Facts, collector_time_ns, last_will, make_status, status_publication
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.presence import AgentStatus, BoardPresence, CollectorStatus, EpochOwed, SuiteOffered
from tinyprof_protocol.topics import collector_status

QUICK = SuiteOffered("quick", "0" * 16, 24, 6, "1" * 16)
FACTS = Facts(
    node="lab.one", version="1", started_ns=5, interval_s=10.0, now=Reading(b"b" * 16, 7, 9),
    owed=[EpochOwed(b"e" * 16, 1, 4)], spool=SpoolStats(4, 100, 1000), boards=[], jobs=[], suites=[QUICK],
    counters={"batches_acknowledged": 2},
)  # fmt: skip


def test_a_status_travels_retained_and_says_what_is_owed() -> None:
    publication = status_publication(make_status(FACTS))
    assert publication.retain
    status = decode(publication.payload, AgentStatus)
    assert (status.state, status.level, status.messages) == ("online", "info", [])
    assert status.epochs == [EpochOwed(b"e" * 16, 1, 4)]
    assert (status.time_ns, status.time, status.spool_records) == (9, "clock", 4)
    assert status.counters == {"batches_acknowledged": 2}
    assert (status.offers, status.suites) == (["quick"], [QUICK])


def test_the_last_will_says_offline_and_nothing_of_epochs() -> None:
    will = last_will("lab.one")
    assert will.retain
    assert decode(will.payload, AgentStatus) == AgentStatus("lab.one", "offline")


def test_what_is_wrong_is_said_worst_first() -> None:
    spool = SpoolStats(1, 950, 1000, counters={"unspooled": 3, "set_aside": 1, "salvaged": 7},
                       last_error="the spool takes nothing more: full")  # fmt: skip
    board = BoardPresence("b1", "probe", "retrying", message="port is gone")
    facts = replace(FACTS, spool=spool, boards=[board], now=Reading(b"b" * 16, 7, None))
    status = make_status(facts)
    assert status.level == "critical"
    assert status.messages[:2] == [
        "the spool takes nothing more: full",
        "3 records could not be spooled: make room on the disk",
    ]
    assert any("carried over: 7 records" in line for line in status.messages)
    assert any("95% full" in line for line in status.messages)
    assert status.messages[-1] == "board b1: port is gone"
    assert status.time == "estimated"


def test_records_that_were_lost_to_a_full_disk_stay_told_when_it_has_room_again_and_are_a_warning() -> None:
    status = make_status(replace(FACTS, spool=SpoolStats(4, 100, 1000, counters={"unspooled": 3})))
    assert status.level == "warning"
    assert status.messages == [
        "3 records could not be spooled while the disk took nothing; the spool takes records again"
    ]
    assert status.counters["unspooled"] == 3


def test_a_name_that_two_agents_use_is_critical() -> None:
    status = make_status(replace(FACTS, link_error="another client uses this name"))
    assert (status.level, status.messages) == ("critical", ["another client uses this name"])


def test_a_subscription_that_the_broker_refuses_is_critical() -> None:
    assert make_status(replace(FACTS, counters={"link_subscriptions_refused": 1})).level == "critical"


def test_a_status_is_said_on_connecting_each_interval_and_on_a_change_at_most_once_a_second() -> None:
    cadence, status = Cadence(10.0), make_status(FACTS)
    changed = make_status(replace(FACTS, jobs=[b"j" * 16]))
    assert cadence.due(status, 100.0)
    cadence.said(status, 100.0)
    assert not cadence.due(status, 105.0)
    assert cadence.wait_s(105.0) == 5.0
    assert cadence.due(status, 110.0)
    assert not cadence.due(changed, 100.5)
    assert cadence.wait_s(100.5) == 0.5
    assert cadence.due(changed, 101.0)
    cadence.said(changed, 101.0)
    assert not cadence.due(changed, 102.5)
    cadence.force()
    assert cadence.due(changed, 102.5)


def test_within_a_second_of_the_last_word_nothing_is_looked_at_and_what_changed_is_said_after_it() -> None:
    cadence = Cadence(10.0)
    assert not cadence.too_soon(100.0)
    cadence.said(make_status(FACTS), 100.0)
    assert cadence.too_soon(100.5)
    assert cadence.wait_s(100.5) == 0.5
    assert not cadence.too_soon(101.0)
    cadence.force()
    assert not cadence.too_soon(100.5)


def test_a_changed_counter_alone_is_no_reason_to_speak() -> None:
    cadence = Cadence(10.0)
    cadence.said(make_status(FACTS), 100.0)
    assert not cadence.due(make_status(replace(FACTS, spool=SpoolStats(9, 900, 10_000))), 105.0)


def test_boards_share_locks_so_that_only_so_many_measure_at_once() -> None:
    shared = threading.Lock()
    locks = {"a": shared, "b": shared, "c": threading.Lock(), "d": threading.Lock()}
    assert fewer_locks(locks, 0) == locks
    assert fewer_locks(locks, 3) == locks
    two = fewer_locks(locks, 2)
    assert len({id(lock) for lock in two.values()}) == 2
    assert two["a"] is two["b"]


def collector_says(topic: str, *, retain: bool = False, **fields: object) -> Message:
    said = CollectorStatus(**{"id": "main", "state": "online", "time_ns": 10**18, **fields})  # type: ignore[arg-type]
    return Message(topic, encode(said), retain, None, None)


def test_a_live_collectors_time_is_taken() -> None:
    topic = collector_status("main")
    assert collector_time_ns(collector_says(topic)) == 10**18
    for silent in ({"retain": True}, {"state": "offline"}, {"time_ns": 0}):
        assert collector_time_ns(collector_says(topic, **silent)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["tinyprof/1/collector/lab.evil/status", "tinyprof/1/collector/other/status"])
def test_no_agent_can_pass_for_a_collector(topic: str) -> None:
    with pytest.raises(BadMessage):
        collector_time_ns(collector_says(topic))
