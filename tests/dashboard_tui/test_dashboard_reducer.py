from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard.availability import SECOND_NS, limit_ns
from tinyprof_dashboard.banners import banners, is_connecting
from tinyprof_dashboard.events import (
    AgentGone,
    AgentSeen,
    BoardGone,
    BoardSeen,
    CollectorGone,
    CollectorSeen,
    Event,
    HistoryAsked,
    HistoryCame,
    LinkChanged,
    MessagesRefused,
    RetainedComplete,
)
from tinyprof_dashboard.example_fleet import NOW_NS
from tinyprof_dashboard.snapshot import MAX_BOARDS, Snapshot, age_s, collector_for, reduce
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, CollectorStatus
from tinyprof_protocol.requests import HistoryReply, Point

NODE = "berlin.bench"
KEY = (NODE, "host-1")


def fleet(*events: Event, now_ns: int = NOW_NS) -> Snapshot:
    base: list[Event] = [LinkChanged(True), example.collector(), example.agent(NODE)]
    base.append(BoardSeen(example.board(NODE, "host-1")))
    return reduce(Snapshot(), [*base, *events, RetainedComplete()], now_ns)


def later(snapshot: Snapshot, seconds: float, *events: Event) -> Snapshot:
    return reduce(snapshot, events, NOW_NS + round(seconds * SECOND_NS))


def live_collector(seconds: float, **changes: object) -> CollectorSeen:
    """A collector that speaks at that moment."""
    status = example.collector().status
    return CollectorSeen(
        msgspec.structs.replace(status, time_ns=NOW_NS + round(seconds * SECOND_NS), **changes), live=True
    )


def live_agent(seconds: float, *, online: bool = True) -> AgentSeen:
    status = AgentStatus(NODE, "online" if online else "offline", time_ns=NOW_NS + round(seconds * SECOND_NS))
    return AgentSeen(status, live=True)


def test_two_sites_are_counted_and_nothing_is_down() -> None:
    snapshot = reduce(Snapshot(), example.two_sites(), NOW_NS)
    assert dict(snapshot.counts) == {"healthy": 14, "warning": 0, "critical": 0, "stale": 0, "offline": 0}
    assert {row.site for row in snapshot.rows.values()} == {"berlin", "oslo"}
    assert banners(snapshot, "mqtt://b:1", NOW_NS) == []


def test_nothing_new_gives_the_same_object() -> None:
    snapshot = fleet()
    assert later(snapshot, 1) is snapshot


def test_the_snapshot_before_is_left_as_it_was() -> None:
    before = fleet()
    rows = dict(before.rows)
    after = later(before, 1, BoardGone(KEY), BoardSeen(example.board("oslo.rack", "x", health="critical")))
    assert dict(before.rows) == rows
    assert set(after.rows) == {("oslo.rack", "x")}
    assert after.counts["critical"] == 1
    with pytest.raises(TypeError):
        before.rows[KEY] = before.rows[KEY]  # type: ignore[index]


def test_a_board_turns_stale_when_its_value_outlives_its_interval_and_recovers_with_a_new_one() -> None:
    snapshot = fleet()
    limit_s = limit_ns(10.0) / SECOND_NS - 3.0
    alive = (live_collector(limit_s - 1), live_agent(limit_s - 1))
    snapshot = later(snapshot, limit_s - 1, *alive)
    assert snapshot.rows[KEY].health == "healthy"
    snapshot = later(snapshot, limit_s + 1)
    assert snapshot.rows[KEY].health == "stale"
    assert snapshot.rows[KEY].reasons == ("no word within its interval of 10s",)
    assert snapshot.counts["stale"] == 1
    fresh = example.board(NODE, "host-1", age_s=0, now_ns=NOW_NS + round((limit_s + 2) * SECOND_NS))
    assert later(snapshot, limit_s + 2, BoardSeen(fresh)).rows[KEY].health == "healthy"


def test_a_board_on_request_only_never_turns_stale_by_itself() -> None:
    snapshot = fleet(BoardSeen(example.board(NODE, "host-1", interval_s=0, age_s=86_400)))
    assert snapshot.rows[KEY].health == "healthy"


def test_a_disabled_board_owes_no_values() -> None:
    summary = msgspec.structs.replace(example.board(NODE, "host-1", age_s=86_400), state="disabled")
    assert fleet(BoardSeen(summary)).rows[KEY].health == "healthy"


def test_a_word_newer_than_the_last_value_is_believed_for_an_interval() -> None:
    back = msgspec.structs.replace(example.board(NODE, "host-1", age_s=3600), time_ns=NOW_NS)
    snapshot = fleet(BoardSeen(back))
    assert snapshot.rows[KEY].health == "healthy"
    assert age_s(snapshot.rows[KEY], snapshot, NOW_NS) == 3600
    limit_s = limit_ns(10.0) / SECOND_NS
    snapshot = later(snapshot, limit_s + 1, live_collector(limit_s + 1), live_agent(limit_s + 1))
    assert snapshot.rows[KEY].health == "stale"


def test_a_board_that_was_never_heard_has_no_age() -> None:
    summary = msgspec.structs.replace(
        example.board(NODE, "host-1", verdict=None), last_seen_ns=None, last_result_ns=None
    )
    snapshot = fleet(BoardSeen(summary))
    assert age_s(snapshot.rows[KEY], snapshot, NOW_NS) is None


def test_an_agents_last_will_takes_its_boards_offline_and_its_return_brings_them_back() -> None:
    snapshot = later(fleet(), 1, live_agent(1, online=False))
    assert snapshot.rows[KEY].health == "offline"
    assert [banner.text for banner in banners(snapshot, "b", NOW_NS)] == ["1 of 1 offline: berlin.bench"]
    assert later(snapshot, 2, live_agent(2)).rows[KEY].health == "healthy"


def test_a_silent_agent_makes_its_boards_stale_although_they_are_on_request_only() -> None:
    snapshot = fleet(BoardSeen(example.board(NODE, "host-1", interval_s=0)))
    snapshot = later(snapshot, 100, live_collector(100))
    assert not snapshot.agents[NODE].alive
    assert snapshot.rows[KEY].health == "stale"
    assert any("silent" in banner.text for banner in banners(snapshot, "b", NOW_NS))


@pytest.mark.parametrize("how", ["silence", "last will", "taken away"])
def test_without_a_collector_nothing_is_believed(how: str) -> None:
    snapshot = fleet(BoardSeen(example.board(NODE, "host-1", interval_s=0)))
    if how == "silence":
        snapshot = later(snapshot, 60, live_agent(60))
    elif how == "last will":
        snapshot = later(snapshot, 1, CollectorSeen(CollectorStatus("hub", "offline"), live=True))
    else:
        snapshot = later(snapshot, 1, CollectorGone("hub"))
    assert snapshot.rows[KEY].health == "stale"
    worst = banners(snapshot, "b", NOW_NS + 60 * SECOND_NS)[0]
    assert (worst.level, worst.subject) == ("critical", "collector")
    assert collector_for(snapshot, NODE) is None
    assert later(snapshot, 61, live_collector(61), live_agent(61)).rows[KEY].health == "healthy"


def test_a_partition_without_a_collector_is_named_and_only_its_boards_are_stale() -> None:
    mine = partition_of(NODE)
    others = [p for p in range(16) if p != mine]
    elsewhere = next(f"oslo.a{i}" for i in range(99) if partition_of(f"oslo.a{i}") != mine)
    snapshot = fleet(example.collector(partitions=others), BoardSeen(example.board(elsewhere, "x")))
    assert snapshot.rows[KEY].health == "stale"
    assert snapshot.rows[(elsewhere, "x")].health == "healthy"
    assert f"partition {mine:02d}" in banners(snapshot, "b", NOW_NS)[0].text
    assert collector_for(snapshot, elsewhere) == "hub"


def test_of_two_that_claim_a_partition_the_one_that_started_last_is_asked() -> None:
    claimed_s = {"a-before": 10, "hub": 30, "z-between": 20}
    others = [live_collector(1, id=name, started_ns=NOW_NS + s) for name, s in claimed_s.items()]
    assert collector_for(later(fleet(), 1, *others), NODE) == "hub"
    later_claim = live_collector(1, id="a-before", started_ns=NOW_NS + 40)
    assert collector_for(later(fleet(), 1, *others, later_claim), NODE) == "a-before"


def test_until_the_brokers_memory_is_read_no_collector_is_missed() -> None:
    snapshot = reduce(Snapshot(), [LinkChanged(True), BoardSeen(example.board(NODE, "host-1"))], NOW_NS)
    assert snapshot.rows[KEY].health == "healthy"
    assert banners(snapshot, "b", NOW_NS) == []
    assert is_connecting(snapshot)


def test_an_unhealthy_store_and_an_ailing_collector_are_named() -> None:
    ailing = example.collector(stores={"influxdb": "critical"}, reasons=["401 from influxdb"], health="critical")
    found = banners(fleet(ailing), "b", NOW_NS)
    assert [(banner.subject, banner.text) for banner in found] == [
        ("store influxdb", "critical at collector hub: 401 from influxdb")
    ]
    slow = example.collector(reasons=["queue is full"], health="warning")
    assert [banner.text for banner in banners(fleet(slow), "b", NOW_NS)] == ["warning: queue is full"]


def test_the_broker_that_is_gone_comes_with_its_next_attempt() -> None:
    snapshot = later(fleet(), 1, LinkChanged(False, "no broker at x", 4, NOW_NS + 13 * SECOND_NS))
    found = banners(snapshot, "x", NOW_NS + SECOND_NS)
    assert found[0].text == "no broker at x · 4 attempts, next attempt in 12s"
    assert banners(snapshot, "x", NOW_NS + 13 * SECOND_NS)[0].text.endswith("trying now")


def test_a_clock_that_differs_from_the_collectors_does_not_age_boards() -> None:
    hour = 3600
    snapshot = later(fleet(), hour, live_collector(0), live_agent(0))
    assert snapshot.rows[KEY].health == "healthy"
    assert age_s(snapshot.rows[KEY], snapshot, NOW_NS + hour * SECOND_NS) == pytest.approx(3.0)
    assert "1h" in banners(snapshot, "b", NOW_NS)[0].text or "60m" in banners(snapshot, "b", NOW_NS)[0].text


def test_history_is_kept_for_the_board_and_metric_that_were_asked_for() -> None:
    reply = HistoryReply([Point(1, 2.0)])
    snapshot = later(fleet(), 1, HistoryAsked(KEY, "ttft_ms", "hub"))
    assert snapshot.history is not None
    assert snapshot.history.waiting
    late = later(snapshot, 2, HistoryCame(KEY, "decode_tps", reply), HistoryCame(("x.y", "z"), "ttft_ms", reply))
    assert late.history == snapshot.history
    came = later(snapshot, 2, HistoryCame(KEY, "ttft_ms", reply)).history
    assert came is not None
    assert (came.reply, came.waiting) == (reply, False)
    refused = later(snapshot, 2, HistoryCame(KEY, "ttft_ms", None, "no such board")).history
    assert refused is not None
    assert (refused.error, refused.waiting) == ("no such board", False)
    nobody = later(fleet(), 1, HistoryAsked(KEY, "ttft_ms", "")).history
    assert nobody is not None
    assert nobody.error == "no live collector holds this board"


def test_refused_messages_are_counted() -> None:
    snapshot = later(fleet(), 1, MessagesRefused(2, "bad"), MessagesRefused(3, "worse"))
    assert (snapshot.refused, snapshot.refused_reason) == (5, "worse")


def test_boards_beyond_the_bound_are_counted_and_named() -> None:
    template = example.board(NODE, "b")
    events = [BoardSeen(msgspec.structs.replace(template, board=f"b{i}")) for i in range(MAX_BOARDS + 3)]
    snapshot = reduce(Snapshot(), events, NOW_NS)
    assert (len(snapshot.rows), snapshot.left_out) == (MAX_BOARDS, 3)
    assert any(banner.subject == "bounds" for banner in banners(snapshot, "b", NOW_NS))
    again = reduce(snapshot, events[:5], NOW_NS)
    assert (len(again.rows), again.left_out) == (MAX_BOARDS, 3)


nodes = st.sampled_from(["berlin.a", "oslo.b", "lima.c"])
boards = st.builds(
    example.board,
    nodes,
    st.sampled_from(["x", "y"]),
    health=st.sampled_from(["healthy", "warning", "critical", "stale", "offline"]),
    age_s=st.floats(0, 100),
    interval_s=st.sampled_from([0.0, 10.0]),
)
happenings = st.one_of(
    boards.map(BoardSeen),
    st.builds(lambda node, name: BoardGone((node, name)), nodes, st.sampled_from(["x", "y"])),
    st.builds(example.agent, nodes, online=st.booleans(), age_s=st.floats(0, 200)),
    nodes.map(AgentGone),
    st.builds(example.collector, st.sampled_from(["h1", "h2"]), partitions=st.sets(st.integers(0, 15))),
    st.sampled_from(["h1", "h2"]).map(CollectorGone),
    st.just(RetainedComplete()),
    st.booleans().map(LinkChanged),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(happenings, max_size=25), st.integers(0, 25))
def test_batches_do_not_matter(events: list[Event], cut: int) -> None:
    whole = reduce(Snapshot(), events, NOW_NS)
    parts = reduce(reduce(Snapshot(), events[:cut], NOW_NS), events[cut:], NOW_NS)
    assert dict(parts.rows) == dict(whole.rows)
    assert (dict(parts.agents), dict(parts.collectors)) == (dict(whole.agents), dict(whole.collectors))
    assert replace(parts, rows={}, agents={}, collectors={}, counts={}) == replace(
        whole, rows={}, agents={}, collectors={}, counts={}
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(happenings, max_size=25), st.integers(0, 300))
def test_counts_add_up_and_no_board_is_better_than_its_collector_says(events: list[Event], seconds: int) -> None:
    snapshot = later(reduce(Snapshot(), events, NOW_NS), seconds)
    assert sum(snapshot.counts.values()) == len(snapshot.rows)
    for row in snapshot.rows.values():
        assert snapshot.counts[row.health] > 0
        assert row.health in (row.summary.health, "stale", "offline")
        agent = snapshot.agents.get(row.key[0])
        if agent is not None and agent.status.state == "offline":
            assert row.health == "offline"
