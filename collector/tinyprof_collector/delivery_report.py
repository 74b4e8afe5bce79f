"""What a reply about the ledger tells besides the accounts: how an agent's records come through, and how old they are.

Pure: rows and agents in, rows and words out. What an agent said of its spool is as old as its last word; of one that is
not online nothing leaves the spool, so that its oldest record has aged since.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from tinyprof_collector.ledger import SUMMED
from tinyprof_collector.presence import Agent
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.requests import LEDGER_CLASSES, AgentDelivery, LedgerReply, LedgerRow

MAX_CAUSE = 300


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a node's batches wait, by its name, and how many of them fell."""

    lag_ms: Callable[[str], float | None]
    waiting_s: Callable[[str], float | None]
    deferred: Mapping[str, int]


def settled_as_one(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """The rows with those of a node's ended epochs in one, before the others: nothing of them is left to look at."""
    told: list[LedgerRow] = []
    sums: dict[str, int] = {}
    for row in rows:
        if not row.forgotten or row.missing or row.quarantined:
            told.append(row)
        elif row.node in sums:
            told[sums[row.node]] = _together(told[sums[row.node]], row)
        else:
            sums[row.node] = len(told)
            told.append(replace(row, epoch=SUMMED, base=1))
    return told


def _together(one: LedgerRow, other: LedgerRow) -> LedgerRow:
    names = (*LEDGER_CLASSES, "head", "resent", "epochs")
    sums = {name: min(MAX_COUNT, getattr(one, name) + getattr(other, name)) for name in names}
    causes = dict.fromkeys(cause for cause in (*one.cause.split("; "), *other.cause.split("; ")) if cause)
    verified = None if other.verified is None else other.verified + (one.verified or 0)
    return replace(one, cause="; ".join(causes)[:MAX_CAUSE], verified=verified, **sums)


def with_agents(
    reply: LedgerReply, agents: Mapping[str, Agent], waits: Waits, now_ns: int, stale_intervals: float
) -> LedgerReply:
    """The reply with the age of each epoch's oldest record, and a line for each of these agents."""
    told = {node: _delivery(agent, waits, now_ns, stale_intervals) for node, agent in sorted(agents.items())}
    ages: dict[tuple[str, bytes], float] = {}
    for node, agent in agents.items():
        for owed in agent.status.epochs or ():
            if owed.oldest_s is not None:
                ages[node, owed.epoch] = owed.oldest_s + _since_s(told[node], now_ns)
    rows = [replace(row, oldest_s=ages.get((row.node, row.epoch))) if row.in_spool else row for row in reply.rows]
    return replace(reply, rows=rows, agents=list(told.values()))


def _delivery(agent: Agent, waits: Waits, now_ns: int, stale_intervals: float) -> AgentDelivery:
    status, node = agent.status, agent.status.node
    told = AgentDelivery(
        node=node,
        heard_ns=agent.heard_ns,
        online=agent.liveness(now_ns, stale_intervals) == "online",
        spool_records=status.spool_records,
        sack_lag_ms=waits.lag_ms(node),
        waiting_s=waits.waiting_s(node),
        deferred=min(MAX_COUNT, waits.deferred.get(node, 0)),
    )
    oldest_s = status.spool_oldest_s if status.spool_records else 0.0
    return replace(told, spool_oldest_s=oldest_s + _since_s(told, now_ns) if oldest_s > 0 else None)


def _since_s(told: AgentDelivery, now_ns: int) -> float:
    """Seconds by which the records of an agent that is not online have aged since its last word."""
    return 0.0 if told.online else max(0.0, (now_ns - told.heard_ns) / 1e9)
