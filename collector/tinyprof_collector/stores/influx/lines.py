"""The lines of many records, made together. Pure.

Nearly all records are results, and most of a result's line is numbers. One call of a JSON encoder writes those of a
whole batch (floats in their shortest form, bytes as base64): eight floats of 17 digits take an eighth of the time of
their `repr`. What stands between is the same for results of a series with the same figures, and is made once, as a
template.
"""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.json import Encoder

from tinyprof_collector.config import Details
from tinyprof_collector.stores.influx.detail import REST, WHOLE, field_text, is_whole, rest_of
from tinyprof_collector.stores.influx.line_protocol import (
    INTS,
    FixedPart,
    FixedParts,
    Unwritable,
    check_time,
    flag,
    plain_fields,
    whole,
)
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Event, Golden, Record, Result, Sample, TimeSource, Verdict

_LOW, _HIGH, _ESTIMATED = 1, 2, 4
"""What is said of a figure beside its value: `_BITS` of these for each figure make the form of a result."""
_BITS = 3

_to_json = Encoder().encode


class Line(Struct, gc=False):
    """A record as it will be posted; an `unwritable` one says why it cannot be."""

    head: bytes
    text: bytes
    time_ns: int
    unwritable: str = ""


def lines_of(arrivals: Sequence[Arrival], fixed_parts: FixedParts, details: Details = "rest") -> list[Line]:
    """A line for each record, in their order.

    `details` adds what it takes to read the record back: what the fields do not say (`rest`; the whole record where
    they could not give it back), or always its own bytes (`whole`).
    """
    lines: list[Line] = []
    values: list[object] = []
    waiting: list[tuple[Line, bytes, int, int]] = []
    """Lines of results, the templates of what follows their heads, and where their values stand."""
    for arrival in arrivals:
        record = arrival.record
        body = record.body
        fixed = fixed_parts.of_run(arrival.node, body) if isinstance(body, Result) else fixed_parts.of(arrival)
        line = Line(fixed.head, b"", record.time_ns)
        lines.append(line)
        first = len(values)
        try:
            check_time(record.time_ns)
            if isinstance(body, Result):
                template = _add_values(values, arrival, record, body, fixed, details)
                waiting.append((line, template, first, len(values)))
            else:
                line.text = _plain_line(arrival, record, body, fixed.head, details)
        except Unwritable as why:
            del values[first:]
            line.unwritable = str(why)
    texts = _to_json(values)[1:-1].split(b",")
    for line, template, first, end in waiting:
        line.text = template % (line.head, *texts[first:end])
    return lines


def _plain_line(arrival: Arrival, record: Record, body: Sample | Event, head: bytes, details: Details) -> bytes:
    fields = plain_fields(arrival, record, body)
    own = "" if details == "none" else f',{WHOLE}="{field_text(arrival.data)}"'
    return b"%b %b %d" % (head, f"{fields}{own}".encode(), record.time_ns)


def _add_values(
    values: list[object], arrival: Arrival, record: Record, body: Result, fixed: FixedPart, details: Details
) -> bytes:
    """Adds to `values` what a result's line says of it alone, and returns the template of the line. Raises Unwritable.

    None of the values has a comma as JSON: they are numbers, hexadecimal digits and base64.
    """
    figures = body.figures
    names = tuple(figures)
    known = _known(names)
    exact = fixed.exact and len(known) == len(names)
    values += (arrival.epoch.hex(), arrival.seq, body.run_id.hex())
    terms: list[tuple[float | None, int]] = []
    form = 0
    for name, is_int in known:
        figure = figures[name]
        value, low, high = figure.value, figure.low, figure.high
        if is_int:
            exact = exact and is_whole(value)
            value = whole(name, value)
        if low is None is high:
            values.append(value)
        elif low is None:
            values += (value, high)
            form += _HIGH
        elif high is None:
            values += (value, low)
            form += _LOW
        else:
            values += (value, low, high)
            form += _LOW + _HIGH
        if figure.estimated:
            form += _ESTIMATED
        form <<= _BITS
        terms.append((figure.coverage, figure.n))
    detail = REST if exact and details == "rest" else WHOLE if details != "none" else ""
    if detail == REST:
        fields = fixed.n_fields + len(known) + form.bit_count() + (record.time != "clock")
        values.append(rest_of(record, body, terms, fields))
    elif detail:
        values.append(arrival.data)
    values.append(record.time_ns)
    asked = body.job_id is not None
    return _template(fixed.fields, names, form, body.verdict, body.golden, asked, record.time, detail)


@lru_cache(maxsize=1024)
def _known(names: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Those figures that the table knows, by name, and whether their fields are integers."""
    return [(name, name in INTS) for name in sorted(names) if name in METRICS]


@lru_cache(maxsize=4096)
def _template(
    fields: str, names: tuple[str, ...], form: int, verdict: Verdict, golden: Golden, asked: bool, time: TimeSource,
    detail: str,
) -> bytes:  # fmt: skip
    """A line of results that are alike but for their numbers, with a place for each value, the head's first."""
    of_figures: list[str] = []
    for name, is_int in reversed(_known(names)):
        form >>= _BITS
        extra = [f",{name}_low=%b"] if form & _LOW else []
        extra += [f",{name}_high=%b"] if form & _HIGH else []
        extra += [f",{name}_estimated=true"] if form & _ESTIMATED else []
        of_figures[:0] = [f",{name}=%b{'i' if is_int else ''}", *extra]
    last = f',time_source="{time}"' if time != "clock" else ""
    last += f",{detail}=%b" if detail else ""
    return (
        f'%b epoch=%b,seq=%bi{fields.replace("%", "%%")},verdict="{verdict}",golden="{golden}",run_id=%b,'
        f"asked={flag(asked)}{''.join(of_figures)}{last} %b"
    ).encode()
