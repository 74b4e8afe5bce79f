"""What clients ask of a collector, and what it answers; jobs are in `jobs`."""

from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct

from tinyprof_protocol.bounds import MAX_COUNT, Count, Finite, Id16, Line, MetricKey, Seq, TimeNs, Word
from tinyprof_protocol.jobs import CachedFrom
from tinyprof_protocol.names import Name, NodeName
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus, Counters, Health, Reasons, Regression
from tinyprof_protocol.records import Record
from tinyprof_protocol.series import SeriesSeen

RequestKind = Literal[
    "history", "results", "status", "boards", "forget", "ledger", "profile", "jobs", "cache", "quarantine"
]
REQUEST_KINDS: tuple[RequestKind, ...] = get_args(RequestKind)


class HistoryRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for a metric of a board, newest last, at most `limit` points.

    `series`: empty for that of the board's newest scheduled run (of its newest run, where none was scheduled), `all`
    for the runs of every series, else the 16 digits of one. Readings between runs are of no series and always come.
    """

    node: NodeName
    board: Name
    metric: MetricKey
    since_ns: TimeNs = 0
    limit: Annotated[int, Meta(ge=1, le=5000)] = 500
    series: Word = ""


class Point(Struct, frozen=True, array_like=True):
    """One value of a metric. `low` and `high` bound its interval where it has one; a reading has no `series`."""

    time_ns: TimeNs
    value: Finite
    low: Finite | None = None
    high: Finite | None = None
    verdict: Word = ""
    run_id: bytes = b""
    series: Word = ""


class HistoryReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """Points oldest first; `runs` are the newest results of the board, newest first (the detail screen reads them)."""

    points: Annotated[list[Point], Meta(max_length=5000)]
    runs: Annotated[list[Record], Meta(max_length=32)] = []
    truncated: bool = False
    series: Word = ""
    """The series that was chosen; `all`, or empty where the board has no run."""
    others: Count = 0
    """Points of other series that were left out: those since the oldest point that is here, or that was asked for."""
    described: Annotated[list[SeriesSeen], Meta(max_length=32)] = []
    """The series of the points in words, that of the newest point first; no more than 32 of them."""


class ResultsRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for whole results of a board after `after_ns` and up to `until_ns`, oldest first, at most `limit`."""

    node: NodeName
    board: Name
    after_ns: TimeNs = 0
    until_ns: TimeNs | None = None
    limit: Annotated[int, Meta(ge=1, le=256)] = 64


class ResultsReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """Results oldest first; with `more` there are others after the last of these."""

    records: Annotated[list[Record], Meta(max_length=256)]
    more: bool = False


class LedgerRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for the ledger of a node, or of all nodes of this collector. `verify` asks the store itself.

    With `settled_as_one`, the epochs of a node that ended with nothing missing are one row, whose epoch is zeros.
    """

    node: NodeName | None = None
    verify: bool = False
    settled_as_one: bool = False


LEDGER_CLASSES = (
    "stored", "quarantined", "expired", "discarded", "evicted", "in_spool", "stored_on_word", "missing",
)  # fmt: skip


class LedgerRow(Struct, frozen=True, omit_defaults=True):
    """Where every seq 1 to `head` of an epoch is: the first class that applies, each counted where it happens."""

    node: NodeName
    epoch: Id16
    head: Count
    base: Seq = 1
    stored: Count = 0
    quarantined: Count = 0
    expired: Count = 0
    discarded: Count = 0
    evicted: Count = 0
    in_spool: Count = 0
    stored_on_word: Count = 0
    missing: Count = 0
    cause: Line = ""
    resent: Count = 0
    """Duplicates dropped; no class of its own."""
    verified: Count | None = None
    """What the store itself counts, where that was asked for."""
    forgotten: bool = False
    oldest_s: Finite | None = None
    """Age of its oldest record in the agent's spool, s, as far as the agent has said."""
    epochs: Annotated[int, Meta(ge=1, le=MAX_COUNT)] = 1
    """How many epochs the row is of, at least: those that were summed up long ago count as one."""


class AgentDelivery(Struct, frozen=True, omit_defaults=True):
    """How an agent's records come through: what it last said of its spool, and how long its batches wait here."""

    node: NodeName
    heard_ns: TimeNs
    """When it last spoke, by the collector's clock."""
    online: bool = True
    """False after its last will, and without a word for several of its intervals."""
    spool_records: Count = 0
    spool_oldest_s: Finite | None = None
    """Age of the oldest record in its spool, s; None where there is none or it is not known."""
    sack_lag_ms: Finite | None = None
    """From receipt to acknowledgement, the median of its last batches."""
    waiting_s: Finite | None = None
    """For how long the batch that is followed has been without its acknowledgement; None where none is."""
    deferred: Count = 0
    """Batches of it that fell because a bound was reached; it sends them again."""


class LedgerReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """Rows by node and epoch, oldest first. `ok`: each row's classes add up, none is missing, the store agrees."""

    rows: Annotated[list[LedgerRow], Meta(max_length=20000)]
    ok: bool
    problems: Reasons = []
    agents: Annotated[list[AgentDelivery], Meta(max_length=10000)] = []
    """By node: those that the collector has heard of since its start."""


class StatusRequest(Struct, frozen=True):
    """Asks a collector how it and all that it sees is."""


class AgentView(Struct, frozen=True, omit_defaults=True):
    """An agent as the collector sees it."""

    status: AgentStatus
    health: Health
    reasons: Reasons
    heard_ns: TimeNs
    skew_ms: Finite | None = None
    sack_lag_ms: Finite | None = None


class StatusReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """A collector, its agents and its boards by health."""

    collector: CollectorStatus
    agents: Annotated[list[AgentView], Meta(max_length=10000)]
    boards_by_health: Annotated[dict[Word, Count], Meta(max_length=8)]
    ledger: Counters = {}
    """Sum of every ledger class over all epochs."""
    regressions: Annotated[list[Regression], Meta(max_length=256)] = []
    """Those that stand, newest first."""


class BoardsRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for summaries of boards, of one node or of all, `limit` from `offset` on, by node and board."""

    node: NodeName | None = None
    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class BoardsReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """A page of summaries and how many there are in all."""

    boards: Annotated[list[BoardSummary], Meta(max_length=1000)]
    total: Count


class ForgetRequest(Struct, frozen=True):
    """Takes a board out of the fleet's view; what was measured on it stays. It comes back with its next word."""

    node: NodeName
    board: Name


class ForgetReply(Struct, frozen=True, tag=True, tag_field="reply"):
    """Whether there was such a board to forget."""

    forgotten: bool


class CacheRequest(Struct, frozen=True, omit_defaults=True):
    """`stats` tells the cache's figures, `list` its entries too, newest first; `clear` empties it."""

    action: Literal["stats", "list", "clear"] = "stats"
    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class CacheStats(Struct, frozen=True, omit_defaults=True):
    """The cache's figures since the collector's start; `entries` is what it holds now, `size` what it may hold."""

    entries: Count = 0
    size: Count = 0
    ttl_s: Finite = 0.0
    hits: Count = 0
    misses: Count = 0
    joined: Count = 0
    """Requests that were joined to an equal one under way."""
    inserted: Count = 0
    evicted: Count = 0
    expired: Count = 0


class CacheItem(Struct, frozen=True, omit_defaults=True):
    """An entry of the cache: whose result it is, what was asked, and how often it was the answer."""

    cached: CachedFrom
    platform: Word
    model: Word
    suite: Word
    prompt: Line = ""
    prompts: Count = 0
    hits: Count = 0


class CacheReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """The cache's figures; `total` entries in all, and how many a `clear` took out."""

    stats: CacheStats
    items: Annotated[list[CacheItem], Meta(max_length=500)] = []
    total: Count = 0
    cleared: Count = 0


class QuarantineRequest(Struct, frozen=True, omit_defaults=True):
    """`list` names what is kept, `show` adds one item's bytes, `replay` sends items past the duplicate check again."""

    action: Literal["list", "show", "replay"]
    item: Count | None = None
    node: NodeName | None = None
    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class QuarantineItem(Struct, frozen=True, omit_defaults=True):
    """A message or a record that could not be taken, with its reason. `seq` is None for a whole message."""

    item: Count
    time_ns: TimeNs
    topic: Line
    reason: Line
    size_bytes: Count
    node: Word = ""
    epoch: bytes = b""
    seq: Seq | None = None
    repeats: Count = 1
    data: Annotated[bytes, Meta(max_length=256 * 1024)] | None = None


class QuarantineReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """Items oldest first. After a replay: how many were stored and how many went back, with the reasons in `items`."""

    items: Annotated[list[QuarantineItem], Meta(max_length=500)]
    total: Count
    discarded: Count = 0
    replayed: Count = 0
    stored: Count = 0


class Failure(Struct, frozen=True, tag=True, tag_field="reply"):
    """A request that could not be answered: a code for programs and one line that says what to do."""

    code: Word
    message: Line
