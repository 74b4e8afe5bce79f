"""What a reply about the ledger says of agents and of the age of what they owe."""

from msgspec.structs import replace

from tinyprof_collector.delivery_report import Waits, settled_as_one, with_agents
from tinyprof_collector.ledger import SUMMED, reply_of, sum_of_classes
from tinyprof_collector.presence import Agent
from tinyprof_protocol.presence import AgentStatus, EpochOwed
from tinyprof_protocol.requests import AgentDelivery, LedgerReply, LedgerRow

NODE, OTHER = "lab.pi", "lab.desk"
SECOND_NS = 1_000_000_000
NOW_NS = 5_000 * SECOND_NS
ONE, TWO = bytes(15) + b"\1", bytes(15) + b"\2"
NO_WAITS = Waits(lambda _: None, lambda _: None, {})


def agent(*owed: EpochOwed, state: str = "online", heard_s_ago: int = 0, spool: int = 4) -> Agent:
    status = AgentStatus(NODE, state, interval_s=30.0, epochs=list(owed), spool_records=spool, spool_oldest_s=90.0)
    return Agent(status, NOW_NS - heard_s_ago * SECOND_NS)


def told(found: Agent, *rows: LedgerRow, waits: Waits = NO_WAITS) -> LedgerReply:
    return with_agents(LedgerReply(list(rows), True), {NODE: found}, waits, NOW_NS, 3.0)


def test_a_row_has_the_age_that_its_agent_gives_for_that_epoch():
    rows = [LedgerRow(NODE, ONE, 9, stored=5, in_spool=4), LedgerRow(NODE, TWO, 3, in_spool=3)]
    reply = told(agent(EpochOwed(ONE, 6, 9, 90.0), EpochOwed(TWO, 1, 3)), *rows)
    assert [row.oldest_s for row in reply.rows] == [90.0, None]
    assert reply.agents == [AgentDelivery(NODE, NOW_NS, spool_records=4, spool_oldest_s=90.0)]


def test_a_row_that_owes_nothing_has_no_age_whatever_an_older_word_says():
    reply = told(agent(EpochOwed(ONE, 6, 9, 90.0)), LedgerRow(NODE, ONE, 9, stored=9))
    assert reply.rows[0].oldest_s is None


def test_what_is_in_the_spool_of_an_agent_that_is_gone_grows_older():
    owed, row = EpochOwed(ONE, 6, 9, 90.0), LedgerRow(NODE, ONE, 9, stored=5, in_spool=4)
    for gone in (agent(owed, state="offline", heard_s_ago=60), agent(owed, heard_s_ago=100)):
        reply = told(gone, row)
        since_s = (NOW_NS - gone.heard_ns) / SECOND_NS
        assert reply.rows[0].oldest_s == 90.0 + since_s
        assert (reply.agents[0].online, reply.agents[0].spool_oldest_s) == (False, 90.0 + since_s)
    assert told(agent(owed, heard_s_ago=60), row).agents[0].online


def test_an_empty_spool_has_no_age():
    assert told(agent(EpochOwed(ONE, 10, 9), spool=0)).agents[0].spool_oldest_s is None


def test_lag_waiting_and_deferred_are_the_nodes_own():
    waits = Waits({NODE: 12.5}.get, {NODE: 3.0}.get, {NODE: 2, OTHER: 9})
    (line,) = told(agent(), waits=waits).agents
    assert (line.sack_lag_ms, line.waiting_s, line.deferred) == (12.5, 3.0, 2)


def test_settled_epochs_of_a_node_become_one_row_and_all_still_adds_up():
    ended = LedgerRow(NODE, ONE, 9, base=10, stored=7, evicted=2, cause="evicted: cap", resent=1, forgotten=True)
    rows = [
        ended,
        replace(ended, epoch=TWO, head=4, stored=2, cause="evicted: cap"),
        LedgerRow(NODE, bytes(15) + b"\3", 5, stored=5),
        LedgerRow(OTHER, ONE, 8, stored=6, missing=2, cause="gone", forgotten=True),
        LedgerRow(OTHER, TWO, 8, stored=7, quarantined=1, forgotten=True),
    ]
    folded = settled_as_one(rows)
    assert [(row.node, row.epoch, row.head, row.epochs) for row in folded] == [
        (NODE, SUMMED, 13, 2), (NODE, bytes(15) + b"\3", 5, 1), (OTHER, ONE, 8, 1), (OTHER, TWO, 8, 1),
    ]  # fmt: skip
    assert (folded[0].stored, folded[0].evicted, folded[0].resent, folded[0].cause) == (9, 4, 2, "evicted: cap")
    assert all(sum_of_classes(row) == row.head for row in folded)
    assert reply_of(folded).ok == reply_of(rows).ok
