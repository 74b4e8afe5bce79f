"""Who is there and how it is: retained statuses of agents and collectors, and summaries of boards."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tinyprof_protocol.bounds import Count, Finite, Id16, Line, MetricKey, Seq, TimeNs, Word
from tinyprof_protocol.names import Name, NodeName
from tinyprof_protocol.records import Figure, Golden, Readings, TimeSource, Verdict

Health = Literal["healthy", "warning", "critical", "stale", "offline"]
BoardState = Literal["starting", "idle", "running", "retrying", "open", "disabled"]
"""`open`: its circuit is open after repeated failures; it is tried again with rising delays."""

MAX_EPOCHS_LISTED = 64
SPARK_POINTS = 32

Labels = Annotated[list[Word], Meta(max_length=16)]
Counters = Annotated[dict[MetricKey, Count], Meta(max_length=128)]
Reasons = Annotated[list[Line], Meta(max_length=16)]


class EpochOwed(Struct, frozen=True, array_like=True):
    """An epoch still owed: all below `base` is acknowledged, `head` is the highest seq made (0: none)."""

    epoch: Id16
    base: Seq
    head: Count
    oldest_s: Finite | None = None
    """Age of its oldest record in the spool, s; None where the spool holds none of it, or the age is not known."""


class BoardPresence(Struct, frozen=True, omit_defaults=True):
    """A board as its agent sees it."""

    board: Name
    driver: Word
    state: BoardState
    platform: Word = ""
    model: Word = ""
    interval_s: Finite = 0.0
    """How often it should give a result or a sample; 0: on request only."""
    failures: Count = 0
    message: Line = ""
    emulated: bool = False
    labels: Labels = []
    """Words of the configuration's own, by which boards are chosen."""
    build: Word = ""
    """The fingerprint of the `Build` that it runs; empty where the agent cannot vouch for it now."""
    clock_mode: Word = ""
    """How its clock runs (`fingerprints.clock_mode`); empty where `build` is."""


class SuiteOffered(Struct, frozen=True):
    """A suite that an agent offers: what a job may put something else in the place of, and all the rest in one word."""

    name: Word
    prompts: Word
    """The fingerprint of its prompts."""
    max_tokens: Count
    min_repetitions: Count
    terms: Word
    """The fingerprint of all else that it asks for; a result carries it as `suite_terms`."""


class AgentStatus(Struct, frozen=True, omit_defaults=True):
    """An agent's word on itself. The last will carries `state: offline` and no `epochs`, which says nothing of them."""

    node: NodeName
    state: Literal["online", "offline"]
    version: Word = ""
    boot: Id16 | None = None
    time_ns: TimeNs = 0
    time: TimeSource = "clock"
    started_ns: TimeNs = 0
    interval_s: Finite = 30.0
    epochs: Annotated[list[EpochOwed], Meta(max_length=MAX_EPOCHS_LISTED)] | None = None
    """The newest epoch and the 63 oldest still owed, oldest first; None in a last will."""
    boards: Annotated[list[BoardPresence], Meta(max_length=256)] = []
    jobs: Annotated[list[Id16], Meta(max_length=1024)] = []
    """Jobs that the agent holds: accepted and not yet ended."""
    offers: Annotated[list[Word], Meta(max_length=64)] = []
    """Names of the suites that its configuration offers."""
    suites: Annotated[list[SuiteOffered], Meta(max_length=64)] = []
    """The same suites by what they ask for: two of one name may differ between agents."""
    spool_records: Count = 0
    spool_bytes: Count = 0
    spool_cap_bytes: Count = 0
    spool_oldest_s: Finite = 0.0
    """Age of the oldest record in the spool, s; 0 where there is none, or its age is not known."""
    counters: Counters = {}
    """What the agent counts where it happens: evicted, unspooled, resent batches, strange sacks, ..."""
    messages: Reasons = []
    """What is wrong with it, a line each, worst first."""
    level: Literal["info", "warning", "critical"] = "info"


class CollectorStatus(Struct, frozen=True, omit_defaults=True):
    """A collector's word on itself; `time_ns` is what agents without a clock may take for the time."""

    id: Name
    state: Literal["online", "offline"]
    version: Word = ""
    time_ns: TimeNs = 0
    started_ns: TimeNs = 0
    interval_s: Finite = 10.0
    partitions: Annotated[list[Annotated[int, Meta(ge=0, le=15)]], Meta(max_length=16)] = []
    health: Health = "healthy"
    reasons: Reasons = []
    stores: Annotated[dict[Word, Health], Meta(max_length=8)] = {}
    counters: Counters = {}
    store_errors: Annotated[dict[Word, Line], Meta(max_length=8)] = {}
    """What is wrong with each store that takes nothing."""
    state_error: Line = ""
    """Why its own state or its quarantine cannot be kept."""
    holding_s: Finite | None = None
    """For how long nothing has been acknowledged; None while records are taken."""
    waiting: Count = 0
    """Batches received and not yet answered: queued, or held while a store takes nothing."""


def owners_of(partition: int, live: Mapping[str, CollectorStatus]) -> list[str]:
    """Which live collectors say that they serve a partition, the last started first: of two that one has taken over."""
    owners = sorted(name for name, status in live.items() if partition in status.partitions)
    return sorted(owners, key=lambda name: live[name].started_ns, reverse=True)


class Regression(Struct, frozen=True, omit_defaults=True):
    """A metric of a series whose level has changed: the medians before and after, and since when.

    `change` is (after - before) / before; `worse` tells by the metric's own direction whether that is bad news.
    """

    node: NodeName
    board: Name
    series: Word
    metric: MetricKey
    before: Finite
    after: Finite
    change: Finite
    since_ns: TimeNs
    """The time of the first run of the new level."""
    found_ns: TimeNs
    worse: bool = True
    suite: Word = ""
    new_build: Line = ""
    """The engine and firmware that the new level came with, where they are not those of the runs before."""


class BoardSummary(Struct, frozen=True, omit_defaults=True):
    """A board as the collector sees it: what a row of the fleet's table shows."""

    node: NodeName
    board: Name
    health: Health
    reasons: Reasons
    time_ns: TimeNs
    """When the collector made this summary."""
    driver: Word = ""
    platform: Word = ""
    stands_for: Word | None = None
    emulated: bool = False
    model: Word = ""
    quantisation: Word = ""
    engine: Word = ""
    state: BoardState = "idle"
    interval_s: Finite = 0.0
    last_result_ns: TimeNs | None = None
    last_seen_ns: TimeNs | None = None
    verdict: Verdict | None = None
    golden: Golden | None = None
    figures: Annotated[dict[MetricKey, Figure], Meta(max_length=64)] = {}
    """Figures of the last run of the series shown: that of the newest scheduled run, or of the newest where none was.

    `last_result_ns`, `verdict`, `golden` and `spark` are of the same series; the counts are of all runs.
    """
    readings: Readings = {}
    """The newest sample."""
    spark: Annotated[list[Finite], Meta(max_length=SPARK_POINTS)] = []
    """decode_tps of the newest runs of that series, oldest first."""
    results: Count = 0
    valid: Count = 0
    unstable: Count = 0
    invalid: Count = 0
    labels: Labels = []
    regressions: Annotated[list[Regression], Meta(max_length=8)] = []
    """Those that stand, newest first."""
