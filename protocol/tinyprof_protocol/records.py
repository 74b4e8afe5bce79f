"""What an agent records: results of runs, samples between runs, and events.

A record's body is encoded once, when it enters the spool; its wall time is fixed once, before its first sending
(`Record` puts the two together). What is estimated or emulated says so in its own fields.

The structs are outside the garbage collector's view (`gc=False`), which halves the cost of decoding many of them: they
are frozen and hold only numbers, texts and each other, top down, so that none can be part of a cycle.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tinyprof_protocol.bounds import Count, Finite, Id16, Line, MetricKey, Sha256Hex, Text, TimeNs, Word
from tinyprof_protocol.names import Name

MAX_RECORD_BYTES = 32 * 1024
MAX_RAW_GAPS = 8192

Verdict = Literal["valid", "unstable", "invalid"]
Golden = Literal["match", "tie", "differs", "none"]
Timing = Literal["device", "client", "engine"]
ClockCheck = Literal["checked", "host", "unchecked", "failed", "emulated"]
"""`host`: the host itself keeps the time, so there is nothing to check."""
TimeSource = Literal["clock", "estimated"]
Level = Literal["info", "warning", "critical"]
RecordClass = Literal["result", "event", "sample"]


class Figure(Struct, frozen=True, omit_defaults=True, gc=False):
    """A metric's figure for one run: the median, and its interval by order statistics with true coverage (0 to 1).

    `low` and `high` stay None where the repetitions are too few for an interval. `estimated` is true for a figure
    that was not measured; then `low` to `high` is the estimated range.
    """

    value: Finite
    low: Finite | None = None
    high: Finite | None = None
    coverage: Finite | None = None
    n: Count = 1
    estimated: bool = False


Figures = Annotated[dict[MetricKey, Figure], Meta(max_length=64)]
Readings = Annotated[dict[MetricKey, Finite], Meta(max_length=64)]


class Repetition(Struct, frozen=True, omit_defaults=True, gc=False):
    """One timed repetition: raw times in the unit of the name, before any statistics.

    An emulated board has no times: `ttft_ms` is None there, and the raw counts are in `first_count` (from t0 to the
    first token) and `decode_count` (from there to the last), in instructions or in its model's cycles.
    """

    prompt: Annotated[int, Meta(ge=0, le=63)]
    """Index into the result's `prompts`."""
    ttft_ms: Finite | None
    tpot_ms: Finite | None
    prompt_tokens: Count
    output_tokens: Count
    golden: Golden = "none"
    golden_tokens: Count = 0
    """How many tokens from the start equal the golden ones."""
    first_count: Finite | None = None
    decode_count: Finite | None = None


class Build(Struct, frozen=True, omit_defaults=True, gc=False):
    """What ran: figures of results that differ in any of these are never compared."""

    platform: Word
    """The machine that was measured (for an emulated board: the machine emulated)."""
    engine: Word
    engine_build: Line
    model: Word
    model_sha256: Sha256Hex
    quantisation: Word
    kv_cache: Word
    activations: Word
    ctx: Count
    timing: Timing
    emulated: bool = False
    stands_for: Word | None = None
    firmware: Word = ""
    firmware_build: Line = ""
    streamed: bool = False


class ClockReport(Struct, frozen=True, omit_defaults=True, gc=False):
    """How the clock under test was checked. Times in microseconds, drift as a ratio of the span."""

    check: ClockCheck
    tick_hz: Count = 0
    span_s: Finite = 0.0
    drift_ratio: Finite | None = None
    round_trip_us: Finite | None = None
    why: Line = ""


class Conditions(Struct, frozen=True, omit_defaults=True, gc=False):
    """State of the machine during the run; None where it cannot be read."""

    temperature_c: Finite | None = None
    cpu_clock_hz: Count | None = None
    cpu_clock_max_hz: Count | None = None
    governor: Word | None = None
    throttled: bool | None = None
    load_1m: Finite | None = None


class Result(Struct, frozen=True, tag="result", tag_field="kind", omit_defaults=True, gc=False):
    """One run on one board, with its verdict and what the verdict rests on."""

    run_id: Id16
    board: Name
    build: Build
    suite: Word
    prompts: Annotated[list[Text], Meta(max_length=64)]
    max_tokens: Count
    verdict: Verdict
    reasons: Annotated[list[Line], Meta(max_length=32)]
    golden: Golden
    clock: ClockReport
    figures: Figures
    repetitions: Annotated[list[Repetition], Meta(max_length=1024)]
    """Evenly thinned where a fast board made more than the record holds; the figures rest on all of them."""
    conditions: Conditions
    timed_s: Finite
    warm_up_s: Finite = 0.0
    min_repetitions: Count = 6
    min_timed_s: Finite = 10.0
    itl_us: Annotated[list[Count], Meta(max_length=MAX_RAW_GAPS)] = []
    """Raw gaps between tokens, in the order of the repetitions."""
    itl_dropped: Count = 0
    """Gaps that were measured but not kept (over the bound, or thinned to fit the record)."""
    repetitions_dropped: Count = 0
    """Repetitions that were measured but whose raw times were not kept."""
    output: Text = ""
    """Text generated in the first repetition (cut to the bound)."""
    job_id: Id16 | None = None
    attempt: Count = 1
    ram_is_rss: bool = False
    """`ram_peak_bytes` is a peak resident set and not static + heap + stack."""
    suite_terms: Word = ""
    """The fingerprint of what the suite asks for beside prompts, tokens and repetitions; empty where not told."""


class Sample(Struct, frozen=True, tag="sample", tag_field="kind", omit_defaults=True, gc=False):
    """Readings between runs, of a board or (board None) of the agent's own host."""

    readings: Readings
    board: Name | None = None


class Event(Struct, frozen=True, tag="event", tag_field="kind", omit_defaults=True, gc=False):
    """Something that happened: a board that came or went, a reset, a job's new state, a clock step."""

    name: Word
    level: Level = "info"
    message: Line = ""
    board: Name | None = None
    job_id: Id16 | None = None
    run_id: Id16 | None = None
    attempt: Count = 0


Body = Result | Sample | Event


class Record(Struct, frozen=True, gc=False):
    """A body with its place in time; this is what travels, and what the stores are given.

    `time_ns` is wall time since 1970 and strictly rises within an epoch: whole microseconds are time, the last three
    digits are the epoch's own. `boottime_ns` is CLOCK_BOOTTIME of the host's boot `boot` when the record was made.
    """

    time_ns: TimeNs
    time: TimeSource
    boot: Id16
    boottime_ns: TimeNs
    body: Body


class EncodedRecord(Struct, frozen=True):
    """A `Record` whose body is still the bytes that the spool keeps: the agent never encodes a body twice."""

    time_ns: TimeNs
    time: TimeSource
    boot: Id16
    boottime_ns: TimeNs
    body: msgspec.Raw


def class_of(body: Body) -> RecordClass:
    """The class that the spool evicts by: samples first, then results, then events."""
    if isinstance(body, Result):
        return "result"
    return "event" if isinstance(body, Event) else "sample"
