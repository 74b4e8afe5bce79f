"""Jobs, their progress, and what clients ask of a collector.

A job names what the agent's own configuration offers. It never carries a command, a path or a pattern.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tinyprof_protocol.bounds import Count, Finite, Id16, Line, MetricKey, Seq, Text, TimeNs, Word
from tinyprof_protocol.names import Name, NodeName
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus, Counters, Health, Reasons
from tinyprof_protocol.records import Record
from tinyprof_protocol.series import SeriesSeen

RequestKind = Literal["history", "status", "boards", "ledger", "profile", "quarantine"]
REQUEST_KINDS: tuple[RequestKind, ...] = ("history", "status", "boards", "ledger", "profile", "quarantine")

JobPrompts = Annotated[list[Text], Meta(max_length=64)]


class Job(Struct, frozen=True, omit_defaults=True):
    """A run that a client asks for. `id` is the client's; `deadline_ns` is wall time.

    With `cancel` true it is the cancellation of the job of that id.
    """

    id: Id16
    node: NodeName
    board: Name
    deadline_ns: TimeNs
    suite: Word = "quick"
    prompts: JobPrompts = []
    """Empty: the suite's own prompts."""
    max_tokens: Count | None = None
    repetitions: Count | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    cancel: bool = False


class Progress(Struct, frozen=True, omit_defaults=True):
    """Where a run is; best effort, never stored."""

    node: NodeName
    board: Name
    stage: Word
    """`warm-up`, `timed`, `clock`, `done`, ..."""
    job_id: Id16 | None = None
    run_id: Id16 | None = None
    repetition: Count = 0
    repetitions: Count = 0
    text: Text = ""


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


class LedgerRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for the ledger of a node, or of all nodes of this collector. `verify` asks the store itself."""

    node: NodeName | None = None
    verify: bool = False


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


class LedgerReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """Rows by node and epoch, oldest first. `ok`: each row's classes add up, none is missing, the store agrees."""

    rows: Annotated[list[LedgerRow], Meta(max_length=20000)]
    ok: bool
    problems: Reasons = []


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


class BoardsRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for summaries of boards, of one node or of all, `limit` from `offset` on, by node and board."""

    node: NodeName | None = None
    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class BoardsReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """A page of summaries and how many there are in all."""

    boards: Annotated[list[BoardSummary], Meta(max_length=1000)]
    total: Count


class ProfileRequest(Struct, frozen=True):
    """Asks for one run; answered at once (`queued`), when it is accepted or refused, and at its end (`final`)."""

    job: Job


class ProfileReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """A job's state; the reply that is `final` carries its result if it has one."""

    job_id: Id16
    state: Literal["queued", "accepted", "refused", "started", "finished", "interrupted", "cancelled", "expired"]
    message: Line = ""
    final: bool = False
    result: Record | None = None


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
