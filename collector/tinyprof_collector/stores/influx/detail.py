"""What the fields of a result's line do not say, small, and the record that both together give back. Pure.

A line says most of a result in fields and tags that can be asked for; to hold the whole record beside them would more
than double it. Where fields and tags could not give a text or a number back as it was, the whole record stays.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tinyprof_protocol.bounds import MAX_COUNT, Id16
from tinyprof_protocol.codec import pack, unpack
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Repetition, Result

REST, WHOLE = "rest", "record"
"""The fields: what is not said elsewhere, or the record's own bytes."""
TAGS_OF_BUILD = ("engine", "model", "platform", "quantisation")
_NO_FIELDS_BESIDE = frozenset(("time", "agent", "board", "site", *TAGS_OF_BUILD, REST))
"""Columns of a run's row that `Rest.fields` does not count."""


class Rest(Struct, array_like=True, frozen=True):
    """The rest of a result, by place: places are only ever added, at the end and with a default."""

    boot: Id16
    boottime_ns: int
    job_id: Id16 | None
    prompts: list[str]
    max_tokens: int
    reasons: list[str]
    clock: ClockReport
    conditions: Conditions
    terms: list[tuple[float | None, int]]
    """Coverage and number of each figure, in the order of their names."""
    repetitions: list[Repetition]
    timed_s: float
    warm_up_s: float
    min_repetitions: int
    min_timed_s: float
    itl_us: list[int]
    itl_dropped: int
    repetitions_dropped: int
    output: str
    attempt: int
    ram_is_rss: bool
    suite_terms: str
    stands_for: str | None
    streamed: bool
    fields: int = 0
    """How many fields the line has beside this one. A row with fewer is one that is being written: servers show fields
    one by one. 0: not counted, in lines of tinyprof before it was."""


def rest_of(record: Record, body: Result, terms: list[tuple[float | None, int]], fields: int) -> bytes:
    """The field `rest`, which is base64 of this: the MessagePack of a `Rest`. `terms` are of all figures, by name."""
    build = body.build
    # A tuple is the same bytes as the struct, and is made in a fraction of the time.
    rest = (
        record.boot, record.boottime_ns, body.job_id, body.prompts, body.max_tokens, body.reasons, body.clock,
        body.conditions, terms, body.repetitions, body.timed_s, body.warm_up_s, body.min_repetitions, body.min_timed_s,
        body.itl_us, body.itl_dropped, body.repetitions_dropped, body.output, body.attempt, body.ram_is_rss,
        body.suite_terms, build.stands_for, build.streamed, fields,
    )  # fmt: skip
    return pack(rest)


def field_text(data: bytes) -> str:
    """Bytes as the text of a field."""
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def field_bytes(text: str) -> bytes:
    """The bytes in a field `rest` or `record`. Raises ValueError."""
    return base64.b64decode(text, validate=True)


def comes_back(build: Build, suite: str, tag: Mapping[str, str]) -> bool:
    """Whether tags (as they arrive, unescaped) and string fields give these texts back as they are."""
    tags = all(tag[name] == getattr(build, name) for name in TAGS_OF_BUILD)
    return tags and not any("\0" in text for text in (*_texts_of(build), suite))


def record_in(row: Mapping[str, Any]) -> Record | None:
    """The record in a point, given all its fields and tags by name; None where it was written without, or is not yet.

    Raises ValueError and BadMessage for what is no such point.
    """
    if row.get(WHOLE):
        return unpack(field_bytes(row[WHOLE]), Record)
    if not row.get(REST):
        return None
    rest = unpack(field_bytes(row[REST]), Rest)
    if sum(value is not None for name, value in row.items() if name not in _NO_FIELDS_BESIDE) < rest.fields:
        return None
    try:
        whole = Record(
            int(row["time"]), row.get("time_source") or "clock", rest.boot, rest.boottime_ns, _result(row, rest)
        )
    except (KeyError, TypeError) as why:
        raise ValueError(f"a field is not as it was written: {why!r}") from None
    return unpack(pack(whole), Record)  # what the database gives is checked like what an agent sends


def _result(row: Mapping[str, Any], rest: Rest) -> Result:
    names = sorted(name for name in METRICS if row.get(name) is not None)
    if len(names) != len(rest.terms):
        raise ValueError(f"{len(names)} figures and the terms of {len(rest.terms)}")
    figures = {name: _figure(row, name, *terms) for name, terms in zip(names, rest.terms, strict=True)}
    return Result(
        run_id=bytes.fromhex(row["run_id"]), board=row["board"], build=_build(row, rest), suite=row.get("suite") or "",
        prompts=rest.prompts, max_tokens=rest.max_tokens, verdict=row["verdict"], reasons=rest.reasons,
        golden=row["golden"], clock=rest.clock, figures=figures, repetitions=rest.repetitions,
        conditions=rest.conditions, timed_s=rest.timed_s, warm_up_s=rest.warm_up_s,
        min_repetitions=rest.min_repetitions, min_timed_s=rest.min_timed_s, itl_us=rest.itl_us,
        itl_dropped=rest.itl_dropped, repetitions_dropped=rest.repetitions_dropped, output=rest.output,
        job_id=rest.job_id, attempt=rest.attempt, ram_is_rss=rest.ram_is_rss, suite_terms=rest.suite_terms,
    )  # fmt: skip


def _figure(row: Mapping[str, Any], name: str, coverage: float | None, n: int) -> Figure:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return Figure(
        float(row[name]), None if low is None else float(low), None if high is None else float(high), coverage, n,
        bool(row.get(f"{name}_estimated")),
    )  # fmt: skip


def _build(row: Mapping[str, Any], rest: Rest) -> Build:
    texts = {name: row.get(name) or "" for name in _TEXTS}
    return Build(
        **texts, timing=row["timing"], ctx=int(row["ctx"]), emulated=bool(row["emulated"]),
        stands_for=rest.stands_for, streamed=rest.streamed,
    )  # fmt: skip


_TEXTS = (
    "platform", "engine", "engine_build", "model", "model_sha256", "quantisation", "kv_cache", "activations",
    "firmware", "firmware_build",
)  # fmt: skip


def _texts_of(build: Build) -> list[str]:
    return [getattr(build, name) for name in _TEXTS]


def is_whole(value: float) -> bool:
    """Whether an integer field gives a figure back as it was."""
    return -MAX_COUNT <= value <= MAX_COUNT and value == round(value)
