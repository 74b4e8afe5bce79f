"""A board that was forgotten is gone from every view until its next word; what was measured on it is not."""

from pathlib import Path

import pytest

from tinyprof_collector.config import Config
from tinyprof_collector.forgotten import Forgotten
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.news import Known, News
from tinyprof_collector.stores.store import Arrival, BoardLatest
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.requests import BoardsRequest

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"


def state(path: Path | None = None) -> LiveState:
    return LiveState(Config(), NOW, "1", forgotten=Forgotten(path))


def online(*boards: str, at: int = NOW) -> AgentStatus:
    return AgentStatus(NODE, "online", time_ns=at, boards=[BoardPresence(one, "host", "idle") for one in boards])


def shown(live: LiveState) -> list[str]:
    return [one.board for one in live.boards_page(BoardsRequest(), NOW).boards]


def news(arrival: Arrival) -> News:
    told = News()
    told.add([arrival], Known())
    return told


def test_it_is_gone_and_its_retained_summary_is_cleared_once():
    live = state()
    live.hear(online("a", "b"), NOW, retained=False)
    assert live.forget(NODE, "a", NOW + S)
    assert shown(live) == ["b"]
    assert live.to_clear() == [(NODE, "a")]
    assert live.to_clear() == []
    assert not live.forget(NODE, "a", NOW + S)
    assert [one.board for one in live.due_summaries(NOW + 2 * S, 1e9)] == ["b"]


def test_it_comes_back_with_the_next_status_that_lists_it():
    live = state()
    live.hear(online("a"), NOW, retained=False)
    live.forget(NODE, "a", NOW + S)
    live.hear(online("a", at=NOW + 2 * S), NOW + 2 * S, retained=False)
    assert shown(live) == ["a"]


def test_a_retained_status_from_before_does_not_bring_it_back_and_a_later_one_does():
    live = state()
    live.forget(NODE, "a", NOW)
    live.hear(online("a"), NOW, retained=False)
    live.forget(NODE, "a", NOW + 5 * S)
    live.hear(online("a", "b", at=NOW + 4 * S), NOW + 9 * S, retained=True)
    assert shown(live) == ["b"]
    live.hear(online("a", "b", at=NOW + 6 * S), NOW + 9 * S, retained=True)
    assert shown(live) == ["a", "b"]


@pytest.mark.parametrize(("stored_later_s", "boards"), [(0, []), (20, ["alpha"])])
def test_what_the_store_knows_brings_it_back_only_if_it_is_newer(tmp_path, make, stored_later_s, boards):
    path = tmp_path / "forgotten.json"
    result = make.record(1, make.result(1), age_s=60.0 - stored_later_s)
    live = state(path)
    live.restore([BoardLatest(NODE, "alpha", make.record(1, make.result(1)), results=1, valid=1)], make.now_ns)
    assert shown(live) == ["alpha"]
    assert live.forget(NODE, "alpha", make.now_ns - 50 * S)
    again = state(path)
    again.restore([BoardLatest(NODE, "alpha", result, results=1, valid=1)], make.now_ns)
    assert shown(again) == boards


def test_a_record_brings_it_back_and_it_is_not_forgotten_any_more(tmp_path, make):
    path = tmp_path / "forgotten.json"
    live = state(path)
    live.stored([news(make.arrival(1, make.record(1, make.result(1))))], make.now_ns)
    live.forget(NODE, "alpha", make.now_ns - 30 * S)
    live.stored([news(make.arrival(2, make.record(2, make.result(2), age_s=31)))], make.now_ns)
    assert shown(live) == [], "a backlog from before"
    live.stored([news(make.arrival(3, make.record(3, make.result(3), age_s=29)))], make.now_ns)
    assert shown(live) == ["alpha"]
    live.keep_forgotten()
    assert len(Forgotten(path)) == 0


def test_the_broker_is_told_again_on_each_connect():
    live = state()
    live.hear(online("a"), NOW, retained=False)
    live.forget(NODE, "a", NOW)
    live.to_clear()
    live.connected()
    assert live.to_clear() == [(NODE, "a")]
