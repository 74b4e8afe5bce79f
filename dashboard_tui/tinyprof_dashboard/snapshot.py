"""All that the dashboard knows, as one immutable value, and the pure reducer that makes the next one.

A batch of events makes one new snapshot: the tables that change are copied once a batch, whatever its size. A
snapshot in which nothing changed is returned as it is, so that nobody repaints for it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from tinyprof_dashboard import availability as rules
from tinyprof_dashboard.asked import Part, note_asked, note_came
from tinyprof_dashboard.availability import HEALTHS, Heard, Judgement
from tinyprof_dashboard.events import (
    AgentGone,
    AgentSeen,
    Asked,
    BoardGone,
    BoardSeen,
    Came,
    CollectorGone,
    CollectorSeen,
    Event,
    HistoryAsked,
    HistoryCame,
    Key,
    LinkChanged,
    MessagesRefused,
    ProgressSeen,
    RetainedComplete,
)
from tinyprof_protocol.jobs import JobsReply, Progress
from tinyprof_protocol.names import PARTITIONS, partition_of
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus, Health, owners_of
from tinyprof_protocol.requests import HistoryReply, LedgerReply

MAX_BOARDS = 20_000
MAX_AGENTS = 20_000
MAX_COLLECTORS = 64
MAX_PROGRESS = 512
"""Boards whose runs are remembered; an agent has 256 at most."""
SKEW_FROM_NS = 2 * rules.SECOND_NS
_ALL = frozenset(range(PARTITIONS))


@dataclass(frozen=True, slots=True)
class Row:
    """A board as the table shows it: the collector's summary and the state that may be believed now."""

    key: Key
    site: str
    agent: str
    board: str
    partition: int
    summary: BoardSummary
    health: Health
    reasons: tuple[str, ...]
    expires_ns: int
    text: str
    """All that a plain word of the filter may match, in lower case."""


@dataclass(frozen=True, slots=True)
class History:
    """The history of the one board whose screen is open."""

    key: Key
    metric: str
    asked_ns: int
    reply: HistoryReply | None = None
    error: str = ""
    waiting: bool = True


@dataclass(frozen=True, slots=True)
class ProgressAt:
    """What was last said of a board's run, and when that came."""

    progress: Progress
    at_ns: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything on the screens comes from here."""

    link: LinkChanged = field(default_factory=lambda: LinkChanged(False))
    complete: bool = False
    """Whether all that the broker remembers has come at least once."""
    rows: Mapping[Key, Row] = field(default_factory=lambda: MappingProxyType({}))
    """Always by node and board."""
    agents: Mapping[str, Heard[AgentStatus]] = field(default_factory=lambda: MappingProxyType({}))
    collectors: Mapping[str, Heard[CollectorStatus]] = field(default_factory=lambda: MappingProxyType({}))
    watched: frozenset[int] = _ALL
    """Partitions that a live collector holds; all of them until the broker's memory has been read."""
    counts: Mapping[Health, int] = field(default_factory=lambda: MappingProxyType({}))
    skew_ns: int = 0
    """This machine's clock minus the collector's, where it is worth a word."""
    history: History | None = None
    ledgers: Mapping[str, Part[LedgerReply]] = field(default_factory=lambda: MappingProxyType({}))
    """Each collector's part of the ledger, as far as it was asked for."""
    jobs: Mapping[str, Part[JobsReply]] = field(default_factory=lambda: MappingProxyType({}))
    """Each collector's jobs, as far as they were asked for."""
    progress: Mapping[Key, "ProgressAt"] = field(default_factory=lambda: MappingProxyType({}))
    """How far the runs of the agent that is followed are, by board."""
    stored_per_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Records that each collector stored per second between its last two words."""
    refused: int = 0
    refused_reason: str = ""
    left_out: int = 0
    """Boards, agents and collectors beyond the bounds, not shown."""


@dataclass(slots=True)
class _Draft:
    """A snapshot being changed: private tables, and what has to be judged anew."""

    rows: dict[Key, Row]
    agents: dict[str, Heard[AgentStatus]]
    collectors: dict[str, Heard[CollectorStatus]]
    stored_per_s: dict[str, float]
    now_ns: int
    boards: set[Key] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    summaries: dict[Key, BoardSummary] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    left_out: int = 0
    skew_ns: int = 0
    new_boards: int = 0
    aged: bool = False


def reduce(snapshot: Snapshot, events: Iterable[Event], now_ns: int) -> Snapshot:
    """The snapshot after a batch of events, at wall time `now_ns`; the same object if nothing changed."""
    draft = _Draft(
        dict(snapshot.rows), dict(snapshot.agents), dict(snapshot.collectors), dict(snapshot.stored_per_s), now_ns,
        skew_ns=snapshot.skew_ns,
    )  # fmt: skip
    dirty = False
    for event in events:
        dirty = True
        _apply(snapshot, draft, event)
    complete = draft.fields.get("complete", snapshot.complete)
    _age_senders(draft)
    watched = _watched(draft.collectors) if complete else _ALL
    moved = snapshot.watched ^ watched
    again = _to_judge(snapshot, draft, moved)
    if not (dirty or again or draft.nodes or moved or draft.aged):
        return snapshot
    for key in again:
        draft.rows[key] = _row(key, draft, watched)
    if draft.new_boards:
        draft.rows = dict(sorted(draft.rows.items()))
    return replace(
        snapshot,
        rows=MappingProxyType(draft.rows),
        agents=MappingProxyType(draft.agents),
        collectors=MappingProxyType(draft.collectors),
        stored_per_s=MappingProxyType(draft.stored_per_s),
        watched=watched,
        counts=_count(draft.rows),
        skew_ns=draft.skew_ns,
        left_out=snapshot.left_out + draft.left_out,
        **draft.fields,
    )


def collector_for(snapshot: Snapshot, node: str) -> str | None:
    """The live collector that holds a node's partition: the one to ask about its boards."""
    live = {name: heard.status for name, heard in snapshot.collectors.items() if heard.alive}
    owners = owners_of(partition_of(node), live)
    return owners[0] if owners else None


def age_s(row: Row, snapshot: Snapshot, now_ns: int) -> float | None:
    """Seconds since the board's newest value, by the collector's clock; None if there never was one."""
    heard_ns = rules.value_time_ns(row.summary)
    return None if heard_ns is None else max(0.0, (now_ns - snapshot.skew_ns - heard_ns) / rules.SECOND_NS)


def _apply(before: Snapshot, draft: _Draft, event: Event) -> None:
    match event:
        case BoardSeen(summary):
            _board_seen(draft, summary)
        case BoardGone(key):
            draft.rows.pop(key, None)
            draft.boards.discard(key)
            draft.summaries.pop(key, None)
        case AgentSeen(status, live):
            _agent_seen(draft, status, live=live)
        case AgentGone(node):
            draft.agents.pop(node, None)
            draft.nodes.add(node)
        case CollectorSeen(status, live):
            _collector_seen(draft, status, live=live)
        case CollectorGone(collector):
            draft.collectors.pop(collector, None)
            draft.stored_per_s.pop(collector, None)
        case LinkChanged():
            draft.fields["link"] = event
        case RetainedComplete():
            draft.fields["complete"] = True
        case MessagesRefused(count, reason):
            draft.fields["refused"] = draft.fields.get("refused", before.refused) + count
            draft.fields["refused_reason"] = reason
        case _:
            _apply_look(before, draft, event)


def _apply_look(before: Snapshot, draft: _Draft, event: Event) -> None:
    """What came because a screen was looked at."""
    match event:
        case HistoryAsked() | HistoryCame():
            draft.fields["history"] = _history(draft.fields.get("history", before.history), event, draft.now_ns)
        case Asked() | Came():
            _note_part(before, draft, event)
        case ProgressSeen(progress):
            told = {**draft.fields.get("progress", before.progress)}
            told.pop((progress.node, progress.board), None)
            told[progress.node, progress.board] = ProgressAt(progress, draft.now_ns)
            while len(told) > MAX_PROGRESS:
                told.pop(next(iter(told)))
            draft.fields["progress"] = MappingProxyType(told)


def _note_part(before: Snapshot, draft: _Draft, event: Asked | Came) -> None:
    parts = draft.fields.get(event.what, getattr(before, event.what))
    if isinstance(event, Asked):
        told = note_asked(parts, event.collectors, draft.now_ns)
    else:
        told = note_came(parts, event.collector, event.reply, event.error, draft.now_ns)
    draft.fields[event.what] = MappingProxyType(told)


def _board_seen(draft: _Draft, summary: BoardSummary) -> None:
    key = (summary.node, summary.board)
    if key not in draft.rows and key not in draft.summaries:
        if len(draft.rows) + draft.new_boards >= MAX_BOARDS:
            draft.left_out += 1
            return
        draft.new_boards += 1
    draft.summaries[key] = summary
    draft.boards.add(key)


def _agent_seen(draft: _Draft, status: AgentStatus, *, live: bool) -> None:
    before = draft.agents.get(status.node)
    if before is None and len(draft.agents) >= MAX_AGENTS:
        draft.left_out += 1
        return
    heard_ns = rules.heard_at(status.time_ns, live=live, now_ns=draft.now_ns)
    heard = Heard(status, heard_ns, rules.is_alive(status, heard_ns, draft.now_ns))
    draft.agents[status.node] = heard
    if before is None or (before.alive, before.status.state) != (heard.alive, heard.status.state):
        draft.nodes.add(status.node)


def _collector_seen(draft: _Draft, status: CollectorStatus, *, live: bool) -> None:
    if status.id not in draft.collectors and len(draft.collectors) >= MAX_COLLECTORS:
        draft.left_out += 1
        return
    heard_ns = rules.heard_at(status.time_ns, live=live, now_ns=draft.now_ns)
    _note_rate(draft, status)
    draft.collectors[status.id] = Heard(status, heard_ns, rules.is_alive(status, heard_ns, draft.now_ns))
    if live and status.state == "online" and status.time_ns > 0:
        skew = draft.now_ns - status.time_ns
        skew = skew if abs(skew) >= SKEW_FROM_NS else 0
        if abs(skew - draft.skew_ns) >= rules.SECOND_NS:
            draft.skew_ns = skew


def _note_rate(draft: _Draft, status: CollectorStatus) -> None:
    """What the collector stored since its last word, per second; none over a restart, or where it said it twice."""
    before = draft.collectors.get(status.id)
    if before is None or before.status.started_ns != status.started_ns:
        draft.stored_per_s.pop(status.id, None)
        return
    since_s = (status.time_ns - before.status.time_ns) / rules.SECOND_NS
    if since_s > 0:
        more = status.counters.get("stored", 0) - before.status.counters.get("stored", 0)
        draft.stored_per_s[status.id] = max(0, more) / since_s


def _history(before: History | None, event: HistoryAsked | HistoryCame, now_ns: int) -> History | None:
    if isinstance(event, HistoryAsked):
        kept = before if before is not None and before.key == event.key else None
        reply = kept.reply if kept is not None and kept.metric == event.metric else None
        if not event.collector:
            return History(event.key, event.metric, now_ns, reply, "no live collector holds this board", waiting=False)
        return History(event.key, event.metric, now_ns, reply)
    if before is None or (before.key, before.metric) != (event.key, event.metric):
        return before
    return replace(before, reply=event.reply or before.reply, error=event.error, waiting=False)


def _age_senders(draft: _Draft) -> None:
    for node, heard in draft.agents.items():
        if heard.alive and not rules.is_alive(heard.status, heard.heard_ns, draft.now_ns):
            draft.agents[node] = replace(heard, alive=False)
            draft.nodes.add(node)
    for name, told in draft.collectors.items():
        if told.alive and not rules.is_alive(told.status, told.heard_ns, draft.now_ns):
            draft.collectors[name] = replace(told, alive=False)
            draft.aged = True


def _watched(collectors: Mapping[str, Heard[CollectorStatus]]) -> frozenset[int]:
    return frozenset(p for heard in collectors.values() if heard.alive for p in heard.status.partitions)


def _to_judge(before: Snapshot, draft: _Draft, moved: frozenset[int]) -> set[Key]:
    """Boards with a new word, and those whose agent, collector or time limit changed under them."""
    again = set(draft.boards)
    collector_now = draft.now_ns - draft.skew_ns
    if draft.skew_ns != before.skew_ns:
        return again | draft.rows.keys()
    again.update(key for key, row in draft.rows.items() if row.expires_ns < collector_now)
    if draft.nodes:
        again.update(key for key in draft.rows if key[0] in draft.nodes)
    if moved:
        again.update(key for key, row in draft.rows.items() if row.partition in moved)
    return again


def _row(key: Key, draft: _Draft, watched: frozenset[int]) -> Row:
    before = draft.rows.get(key)
    summary = draft.summaries.get(key) or (before.summary if before else None)
    assert summary is not None, "a board is judged only once it has been heard of"
    node, board = key
    partition = before.partition if before else partition_of(node)
    judged: Judgement = rules.judge(
        summary,
        draft.agents.get(node),
        watched=partition in watched,
        collector_now_ns=draft.now_ns - draft.skew_ns,
    )
    site, _, agent = node.partition(".")
    words = (node, board, summary.platform, summary.stands_for or "", summary.model, summary.engine, summary.driver,
             summary.quantisation, judged.health, summary.verdict or "", *judged.reasons)  # fmt: skip
    text = "\n".join(words).lower()
    return Row(key, site, agent, board, partition, summary, judged.health, judged.reasons, judged.expires_ns, text)


def _count(rows: Mapping[Key, Row]) -> Mapping[Health, int]:
    found = Counter(row.health for row in rows.values())
    counts: dict[Health, int] = {health: found[health] for health in HEALTHS}
    return MappingProxyType(counts)
