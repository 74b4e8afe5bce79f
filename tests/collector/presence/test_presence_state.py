import pytest

from tinyprof_collector.presence import Presence
from tinyprof_collector.where import boards_like
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.presence import AgentStatus, BoardPresence

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"


def status(state="online", **more) -> AgentStatus:
    more.setdefault("time_ns", NOW)
    more.setdefault("interval_s", 10.0)
    return AgentStatus(node=more.pop("node", NODE), state=state, **more)


@pytest.mark.parametrize(
    ("silent_s", "liveness"),
    [(0, "online"), (29, "online"), (30, "online"), (31, "stale"), (10_000, "stale")],
)
def test_stale_after_three_of_its_own_intervals(silent_s, liveness):
    presence = Presence()
    agent = presence.hear(status(), NOW)
    assert agent is not None
    assert agent.liveness(NOW + silent_s * S, 3.0) == liveness


def test_a_last_will_says_offline_and_keeps_what_was_known():
    presence = Presence()
    boards = [BoardPresence("b1", "host", "idle")]
    presence.hear(status(boards=boards, spool_records=5), NOW)
    agent = presence.hear(AgentStatus(node=NODE, state="offline"), NOW + 5 * S)
    assert agent is not None
    assert agent.liveness(NOW + 5 * S, 3.0) == "offline"
    assert agent.status.spool_records == 5
    assert agent.heard_ns == NOW
    assert presence.board(NODE, "b1") == boards[0]
    agent = presence.hear(status(boards=boards), NOW + 6 * S)
    assert agent is not None
    assert agent.liveness(NOW + 6 * S, 3.0) == "online"


def test_an_agent_first_heard_of_by_its_last_will_is_offline():
    agent = Presence().hear(AgentStatus(node=NODE, state="offline"), NOW, retained=True)
    assert agent is not None
    assert agent.liveness(NOW, 3.0) == "offline"
    assert agent.skew_ms is None


@pytest.mark.parametrize(("offset_s", "skew_ms"), [(0, 0.0), (5, 5000.0), (-7, -7000.0)])
def test_skew_is_its_clock_less_ours(offset_s, skew_ms):
    agent = Presence().hear(status(time_ns=NOW + offset_s * S), NOW)
    assert agent is not None
    assert agent.skew_ms == skew_ms


def test_a_retained_status_counts_from_when_it_was_said_and_gives_no_skew():
    agent = Presence().hear(status(time_ns=NOW - 60 * S), NOW, retained=True)
    assert agent is not None
    assert agent.heard_ns == NOW - 60 * S
    assert agent.liveness(NOW, 3.0) == "stale"
    assert agent.skew_ms is None


@pytest.mark.parametrize("time_ns", [0, NOW + 100 * S])
def test_a_retained_status_of_a_clock_that_cannot_be_right_counts_from_now(time_ns):
    agent = Presence().hear(status(time_ns=time_ns), NOW, retained=True)
    assert agent is not None
    assert agent.heard_ns == NOW


def test_the_same_retained_status_again_is_no_new_word():
    presence = Presence()
    presence.hear(status(), NOW)
    agent = presence.hear(status(), NOW + 40 * S, retained=True)
    assert agent is not None
    assert agent.heard_ns == NOW
    assert agent.liveness(NOW + 40 * S, 3.0) == "stale"


def test_a_board_keeps_the_time_when_it_was_first_listed():
    presence = Presence()
    board = BoardPresence("b1", "host", "idle")
    presence.hear(status(boards=[board]), NOW)
    agent = presence.hear(status(boards=[board, BoardPresence("b2", "host", "idle")]), NOW + S)
    assert agent is not None
    assert agent.board_since_ns == {"b1": NOW, "b2": NOW + S}
    assert sorted(presence.boards()) == [(NODE, "b1"), (NODE, "b2")]
    presence.hear(status(boards=[]), NOW + 2 * S)
    assert presence.board(NODE, "b1") is None


def test_who_walks_the_boards_is_not_disturbed_by_one_that_is_forgotten():
    presence = Presence()
    presence.hear(status(boards=[BoardPresence(name, "host", "idle") for name in ("b1", "b2", "b3")]), NOW)
    walk = boards_like(Where(node=NODE), presence.agents)
    assert next(walk)[2].board == "b1"
    presence.forget(NODE, "b2")
    assert [board.board for _, _, board in walk] == ["b2", "b3"]
    assert [board.board for _, _, board in boards_like(Where(node=NODE), presence.agents)] == ["b1", "b3"]


def test_agents_are_bounded_and_the_rest_counted():
    presence = Presence(max_agents=1)
    assert presence.hear(status(), NOW) is not None
    assert presence.hear(status(node="lab.other"), NOW) is None
    assert presence.hear(status(), NOW + S) is not None
    assert presence.counts == {"agents_over_bound": 1}


def test_an_agent_that_is_long_silent_makes_room_for_a_live_one():
    presence = Presence(max_agents=2)
    for name, at_s in (("lab.a", 0), ("lab.b", 290)):
        presence.hear(AgentStatus(name, "online", interval_s=10.0), at_s * 10**9)
    assert presence.hear(AgentStatus("lab.c", "online"), 99 * 10**9) is None
    assert presence.hear(AgentStatus("lab.c", "online"), 300 * 10**9) is not None
    assert sorted(presence.agents) == ["lab.b", "lab.c"]
    assert presence.counts == {"agents_over_bound": 1, "agents_let_go": 1}
