"""The lines of the pipeline's two tables, a collector each and an agent's epoch each, with what to make of it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tinyprof_dashboard.availability import SECOND_NS, Heard
from tinyprof_dashboard.snapshot import Snapshot, collector_for
from tinyprof_protocol.presence import AgentStatus, CollectorStatus, Health
from tinyprof_protocol.requests import LEDGER_CLASSES, AgentDelivery, LedgerReply, LedgerRow

BACKLOG_S: Final = 60.0
"""A record that is owed for longer is not on its way: something holds it."""

State = Literal[
    "missing", "offline", "silent", "held up", "discarded", "quarantined", "evicted", "on its way", "settled", "untold"
]
STATES: Final[dict[State, tuple[int, Health]]] = {
    "missing": (0, "critical"),
    "offline": (1, "offline"),
    "silent": (2, "stale"),
    "held up": (3, "warning"),
    "discarded": (4, "warning"),
    "quarantined": (5, "warning"),
    "evicted": (6, "warning"),
    "untold": (7, "stale"),
    "on its way": (8, "healthy"),
    "settled": (9, "healthy"),
}
"""How urgent each is, and the health that colours it."""


@dataclass(frozen=True, slots=True)
class CollectorLine:
    """A collector, whether it may be believed to live, and what it stores a second."""

    key: str
    heard: Heard[CollectorStatus]
    health: Health
    stored_per_s: float | None


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """An epoch of an agent. `row` is None where no collector tells of it, and only what the agent says is known."""

    key: tuple[str, bytes, bool]
    node: str
    state: State
    row: LedgerRow | None
    delivery: AgentDelivery | None
    status: AgentStatus | None

    @property
    def in_spool(self) -> int:
        """Records that its spool holds: as the ledger counts, else as the agent says."""
        if self.row is not None:
            return self.row.in_spool
        return self.status.spool_records if self.status is not None else 0

    @property
    def oldest_s(self) -> float | None:
        """Age of the oldest of them, s."""
        if self.row is not None:
            return self.row.oldest_s
        return (self.status.spool_oldest_s or None) if self.status is not None else None


def partitions_text(numbers: list[int]) -> str:
    """`00–15`, or each of them where they are not in a row."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]:02d}–{numbers[-1]:02d}"
    return " ".join(f"{number:02d}" for number in numbers) or "none"


def collector_lines(snapshot: Snapshot) -> list[CollectorLine]:
    """Every collector that was heard of, by name."""
    return [
        CollectorLine(name, heard, _health_of(heard), snapshot.stored_per_s.get(name) if heard.alive else None)
        for name, heard in sorted(snapshot.collectors.items())
    ]


def _health_of(heard: Heard[CollectorStatus]) -> Health:
    if heard.status.state == "offline":
        return "offline"
    return heard.status.health if heard.alive else "stale"


def ledger_lines(snapshot: Snapshot) -> list[LedgerLine]:
    """Every epoch that a collector tells of, and a line for each agent of which none does; by node, oldest first."""
    tellers = _tellers(snapshot)
    lines = [
        LedgerLine((node, b"", False), node, "untold", None, None, heard.status)
        for node, heard in snapshot.agents.items()
        if node not in tellers
    ]
    for name, reply in _replies(snapshot):
        agents = {agent.node: agent for agent in reply.agents}
        lines += [_line(snapshot, row, agents.get(row.node)) for row in reply.rows if tellers[row.node] == name]
    return sorted(lines, key=lambda line: line.node)


def _replies(snapshot: Snapshot) -> Iterator[tuple[str, LedgerReply]]:
    """The newest answer last."""
    for name, part in sorted(snapshot.ledgers.items(), key=lambda item: (item[1].came_ns or 0, item[0])):
        if part.reply is not None:
            yield name, part.reply


def _tellers(snapshot: Snapshot) -> dict[str, str]:
    """Whose word on each node counts: its live owner's if that knows it, else the newest of those that do."""
    tellers: dict[str, str] = {}
    for name, reply in _replies(snapshot):
        for node in {row.node for row in reply.rows}:
            if node not in tellers or tellers[node] != collector_for(snapshot, node):
                tellers[node] = name
    return tellers


def _line(snapshot: Snapshot, row: LedgerRow, delivery: AgentDelivery | None) -> LedgerLine:
    heard = snapshot.agents.get(row.node)
    key = (row.node, row.epoch, row.forgotten)
    status = heard.status if heard is not None else None
    return LedgerLine(key, row.node, state_of(row, heard), row, delivery, status)


def state_of(row: LedgerRow, heard: Heard[AgentStatus] | None) -> State:
    """The first word that applies, the worst first: losses, what is held up and where, then how it goes on."""
    if row.missing:
        return "missing"
    if row.in_spool and heard is not None and heard.status.state == "offline":
        return "offline"
    if row.in_spool and heard is not None and not heard.alive:
        return "silent"
    if row.in_spool and (row.oldest_s or 0.0) >= BACKLOG_S:
        return "held up"
    if row.discarded:
        return "discarded"
    if row.quarantined:
        return "quarantined"
    if row.evicted and not row.forgotten:
        return "evicted"
    return "on its way" if row.in_spool else "settled"


@dataclass(frozen=True, slots=True)
class Sums:
    """The ledger in short: each class over all lines, and the oldest record that a spool holds."""

    head: int
    classes: dict[str, int]
    oldest_s: float | None
    told_s: float | None
    """Age of the oldest answer that the sums are of; None where no collector has answered."""


def sums(lines: list[LedgerLine], snapshot: Snapshot, now_ns: int) -> Sums:
    """Adds the lines up."""
    rows = [line.row for line in lines if line.row is not None]
    classes = {name: sum(getattr(row, name) for row in rows) for name in LEDGER_CLASSES}
    ages = [line.oldest_s for line in lines if line.in_spool and line.oldest_s is not None]
    came = [part.came_ns for part in snapshot.ledgers.values() if part.came_ns is not None]
    told_s = max(0.0, (now_ns - min(came)) / SECOND_NS) if came else None
    return Sums(sum(row.head for row in rows), classes, max(ages, default=None), told_s)
