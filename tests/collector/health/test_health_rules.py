import pytest

from tinyprof_collector.config import HealthConfig
from tinyprof_collector.health import (
    MAX_REASONS,
    BoardFacts,
    CollectorFacts,
    MissingSince,
    NodeLedger,
    agent_health,
    assess,
    board_health,
    collector_health,
)
from tinyprof_collector.presence import Agent
from tinyprof_protocol.presence import AgentStatus, BoardPresence

S = 10**9
NOW = 1_800_000_000 * S
RULES = HealthConfig()


def board(state="idle", interval_s=0.0, **more) -> BoardPresence:
    return BoardPresence("b1", "host", state, interval_s=interval_s, **more)


@pytest.mark.parametrize(
    ("facts", "health", "reason"),
    [
        (BoardFacts("online", board()), "healthy", None),
        (BoardFacts("online", board("running")), "healthy", None),
        (BoardFacts("online", board(), verdict="valid"), "healthy", None),
        (BoardFacts("online", board(), verdict="unstable", verdict_reasons=["noisy"]), "healthy", None),
        (BoardFacts("online", board("disabled")), "healthy", "disabled in its agent's configuration"),
        (BoardFacts("online", board("retrying", failures=2)), "warning", "tried again after 2 failures"),
        (
            BoardFacts("online", board("open", failures=5, message="no hello")),
            "critical",
            "circuit open after 5 failures: no hello",
        ),
        (
            BoardFacts("online", board(), verdict="invalid", verdict_reasons=["output differs"], invalid_streak=1),
            "warning",
            "the last result is invalid: output differs",
        ),
        (
            BoardFacts("online", board(), verdict="invalid", invalid_streak=3),
            "critical",
            "the last 3 results are invalid",
        ),
        (BoardFacts("offline", board("open")), "offline", "its agent is offline"),
        (BoardFacts("stale", board()), "stale", "no word from its agent"),
        (BoardFacts(None, None), "stale", "no word from its agent"),
        (BoardFacts("online", None), "stale", "its agent does not list it any more"),
        (BoardFacts("online", board(interval_s=10), last_seen_ns=NOW - 30 * S), "healthy", None),
        (
            BoardFacts("online", board(interval_s=10), last_seen_ns=NOW - 31 * S),
            "stale",
            "no record for 31 s; one is due every 10 s",
        ),
        (BoardFacts("online", board(interval_s=10), since_ns=NOW - 5 * S), "healthy", None),
        (BoardFacts("online", board(interval_s=0), last_seen_ns=1), "healthy", None),
    ],
)
def test_a_board(facts, health, reason):
    found = board_health(facts, NOW, RULES)
    assert found.health == health
    assert found.reasons == ((reason,) if reason else ())


def agent(heard_s_ago=0.0, skew_ms=None, **status) -> Agent:
    status.setdefault("state", "online")
    return Agent(AgentStatus(node="lab.pi", interval_s=10.0, **status), NOW - int(heard_s_ago * S), skew_ms)


@pytest.mark.parametrize(
    ("subject", "ledger", "health", "reason"),
    [
        (agent(), NodeLedger(), "healthy", None),
        (agent(state="offline"), NodeLedger(), "offline", "last will"),
        (agent(31), NodeLedger(), "stale", "no word for 31 s; one is due every 10 s"),
        (agent(skew_ms=1999.0), NodeLedger(), "healthy", None),
        (agent(skew_ms=2001.0), NodeLedger(), "warning", "2.0 s ahead"),
        (agent(skew_ms=-60_000.0), NodeLedger(), "warning", "60.0 s behind"),
        (agent(level="warning", messages=["clock not set"]), NodeLedger(), "warning", "clock not set"),
        (agent(level="critical", messages=["disk full"]), NodeLedger(), "critical", "disk full"),
        (agent(level="critical"), NodeLedger(), "critical", "reports its state as critical"),
        (agent(spool_bytes=79, spool_cap_bytes=100), NodeLedger(), "healthy", None),
        (agent(spool_bytes=80, spool_cap_bytes=100), NodeLedger(), "warning", "80% full"),
        (agent(spool_bytes=95, spool_cap_bytes=100), NodeLedger(), "critical", "95% full"),
        (agent(), NodeLedger(missing=3, missing_for_s=60.0), "healthy", None),
        (agent(), NodeLedger(missing=3, missing_for_s=61.0), "critical", "3 records missing for 61 s"),
        (agent(state="offline"), NodeLedger(missing=3, missing_for_s=61.0), "critical", "3 records missing"),
        (agent(), NodeLedger(quarantined=2), "warning", "2 records in quarantine"),
    ],
)
def test_an_agent(subject, ledger, health, reason):
    found = agent_health(subject, ledger, NOW, RULES)
    assert found.health == health
    assert (reason is None and not found.reasons) or reason in found.reasons[0]


@pytest.mark.parametrize(
    ("facts", "health", "reason"),
    [
        (CollectorFacts(stores={"sqlite": ""}), "healthy", None),
        (CollectorFacts(stores={"sqlite": "disk full"}), "critical", "store sqlite: disk full"),
        (CollectorFacts(missing=1, missing_for_s=59.0), "healthy", None),
        (CollectorFacts(missing=1, missing_for_s=61.0), "critical", "1 record missing for 61 s"),
        (CollectorFacts(quarantined=4), "warning", "4 in quarantine"),
        (CollectorFacts(discarded=4), "warning", "4 fell out"),
        (CollectorFacts(id_clash=True), "critical", "another client uses its id"),
        (CollectorFacts(subscriptions_refused=1), "critical", "refuses its subscriptions"),
        (CollectorFacts(dead_threads=["pipeline"]), "critical", "thread pipeline has ended"),
        (CollectorFacts(taken={"b": [0, 1, 2]}), "critical", "collector b has claimed partitions 0-2 after this one"),
        (CollectorFacts(state_error="read-only"), "critical", "cannot be kept: read-only"),
    ],
)
def test_the_collector(facts, health, reason):
    found = collector_health(facts, RULES)
    assert found.health == health
    assert (reason is None and not found.reasons) or reason in found.reasons[0]


def test_reasons_are_worst_first_and_bounded():
    found = assess([("warning", f"w{n}") for n in range(30)] + [("critical", "c")])
    assert found.health == "critical"
    assert found.reasons[0] == "c"
    assert len(found.reasons) == MAX_REASONS
    assert found.reasons[-1] == "and 16 more"


def test_missing_counts_from_when_it_began_and_ends_when_it_is_gone():
    since = MissingSince()
    since.note({"a.b": 2, "c.d": 0}, NOW)
    since.note({"a.b": 1}, NOW + 10 * S)
    assert since.for_s("a.b", NOW + 70 * S) == 70.0
    assert since.for_s("c.d", NOW + 70 * S) == 0.0
    assert since.longest_s(NOW + 70 * S) == 70.0
    since.note({}, NOW + 80 * S)
    since.note({"a.b": 1}, NOW + 90 * S)
    assert since.for_s("a.b", NOW + 91 * S) == 1.0
