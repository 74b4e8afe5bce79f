"""A record as one line of InfluxDB's line protocol. Pure.

The type of every field is fixed here and by the metrics table, so that no type conflict can arise from us; a figure
that the table does not know is in the whole record alone. Tags have few values and stand sorted; everything with many
values is a field. Source: InfluxDB line protocol reference (element order, escapes, tag and field types).
"""

from dataclasses import dataclass
from typing import NamedTuple

from tinyprof_collector.stores.influx.detail import TAGS_OF_BUILD, comes_back
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Build, Event, Record, Result, Sample
from tinyprof_protocol.series import KnownSeries

RESULT, SAMPLE, EVENT = "tinyprof_result", "tinyprof_sample", "tinyprof_event"
MEASUREMENTS = (RESULT, SAMPLE, EVENT)
CANARY = "tinyprof_canary"
"""The collector's own lines, which tell a bad line from a bad server."""
TAG_CHARACTERS = 64
MIN_TIME_NS, MAX_TIME_NS = -(2**63) + 2, 2**63 - 2
"""What InfluxDB takes as a time."""
MIN_INT, MAX_INT = -(2**63), 2**63 - 1
MAX_KNOWN = 20_000
"""Boards whose last series is remembered."""

_NAME_ESCAPES = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
# A backslash has no escape of its own in a tag: before a comma, or at the end, it would change what follows.
_TAG_PLAIN = str.maketrans({"\\": "/", "\x7f": " ", **{chr(code): " " for code in range(32)}})
_STRING_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\0": " "})
INTS = frozenset(name for name, metric in METRICS.items() if metric.type == "int")
"""Metrics whose values are integer fields."""

_Terms = tuple[Build, str, int, list[str]]
"""What makes a series of runs."""


class Unwritable(ValueError):
    """A record that InfluxDB cannot hold whatever its state; the message is one line that says why."""


def tag_value(text: str) -> str:
    """A tag's value, at most 64 characters, escaped; empty where nothing is left, and then the tag is left out.

    Control characters become spaces and backslashes become slashes, because tags have no escape for them.
    """
    return text[:TAG_CHARACTERS].translate(_TAG_PLAIN).translate(_NAME_ESCAPES)


def string_field(text: str) -> str:
    """A text as a field's value, with its quotes. Only a NUL, which not every reader of lines takes, is a space."""
    return f'"{text.translate(_STRING_ESCAPES)}"'


def metric_field(name: str, value: float) -> str:
    """`name=value` of a metric in the table, of the type that the table gives it. Raises Unwritable."""
    return f"{name}={whole(name, value)}i" if name in INTS else f"{name}={float(value)!r}"


def whole(name: str, value: float) -> int:
    """The value of an integer field. Raises Unwritable."""
    rounded = round(value)
    if not MIN_INT <= rounded <= MAX_INT:
        raise Unwritable(f"{name} {value:g} does not fit an integer field")
    return rounded


def head_of(measurement: str, node: str, board: str | None, build_tags: str = "") -> str:
    """Measurement and tags, sorted by name: what InfluxDB calls a series. `build_tags` are those of a run's build."""
    site, _, agent = node.partition(".")
    of_board = f",board={tag_value(board)}" if board else ""
    return f"{measurement},agent={tag_value(agent)}{of_board}{build_tags},site={tag_value(site)}"


FIELDS_OF_ALL_RUNS = ("epoch", "seq", "verdict", "golden", "run_id", "asked")
"""What each line of a run has beside the fields of its series, its figures and its details."""


@dataclass(frozen=True, slots=True)
class FixedPart:
    """What is the same in all lines of a board's runs of one series, or of its samples, or of its events."""

    head: bytes
    """The series of InfluxDB: measurement and tags."""
    fields: str = ""
    """Fields, each after a comma."""
    exact: bool = False
    """Whether head and fields give the build and the suite back as they are."""
    n_fields: int = 0
    """Fields that every line of these runs has."""


class _SeriesPart(NamedTuple):
    """What is the same in all lines of a series of runs, on whatever board."""

    tags: str
    fields: str
    exact: bool
    n_fields: int


class FixedParts:
    """Makes the fixed part of lines, once for as long as a board's results are alike. Bounded; for one thread."""

    def __init__(self, bound: int = MAX_KNOWN) -> None:
        self._bound = bound
        self._runs: dict[tuple[str, str], tuple[_Terms, FixedPart]] = {}
        self._others: dict[tuple[str, str, str | None], FixedPart] = {}
        self._of_series: dict[str, _SeriesPart] = {}
        self._series = KnownSeries()

    def of(self, arrival: Arrival) -> FixedPart:
        """The fixed part of a record's line."""
        body = arrival.record.body
        if isinstance(body, Result):
            return self.of_run(arrival.node, body)
        return self._of_other(SAMPLE if isinstance(body, Sample) else EVENT, arrival.node, body.board)

    def of_run(self, node: str, body: Result) -> FixedPart:
        """The fixed part of a run's line."""
        known = self._runs.get((node, body.board))
        if known is not None:
            # To compare texts is quicker than to hash them, and most of a board's results are like the one before.
            build, suite, max_tokens, prompts = known[0]
            if (
                max_tokens == body.max_tokens and suite == body.suite
                and prompts == body.prompts and build == body.build
            ):  # fmt: skip
                return known[1]
        elif len(self._runs) >= self._bound:
            self._runs.clear()
        series = self._part_of_series(body)
        head = head_of(RESULT, node, body.board, series.tags).encode()
        part = FixedPart(head, series.fields, series.exact, series.n_fields)
        self._runs[node, body.board] = (body.build, body.suite, body.max_tokens, body.prompts), part
        return part

    def _part_of_series(self, body: Result) -> _SeriesPart:
        series_id = self._series.of(body)
        part = self._of_series.get(series_id)
        if part is None:
            if len(self._of_series) >= self._bound:
                self._of_series.clear()
            texts = {name: getattr(body.build, name) for name in TAGS_OF_BUILD}
            tags = "".join(f",{name}={value}" for name, text in texts.items() if (value := tag_value(text)))
            arriving = {name: text[:TAG_CHARACTERS].translate(_TAG_PLAIN) for name, text in texts.items()}
            fields = _run_fields(body, series_id)
            text, exact = "".join(f",{field}" for field in fields), comes_back(body.build, body.suite, arriving)
            part = _SeriesPart(tags, text, exact, len(fields) + len(FIELDS_OF_ALL_RUNS))
            self._of_series[series_id] = part
        return part

    def _of_other(self, measurement: str, node: str, board: str | None) -> FixedPart:
        part = self._others.get((measurement, node, board))
        if part is None:
            if len(self._others) >= self._bound:
                self._others.clear()
            part = self._others[measurement, node, board] = FixedPart(head_of(measurement, node, board).encode())
        return part


def check_time(time_ns: int) -> None:
    """Raises Unwritable for a time that InfluxDB cannot hold."""
    if not MIN_TIME_NS <= time_ns <= MAX_TIME_NS:
        raise Unwritable(f"time {time_ns} ns lies outside what InfluxDB holds")


def plain_fields(arrival: Arrival, record: Record, body: Sample | Event) -> str:
    """The fields of a sample or an event, beside its details. Raises Unwritable."""
    if isinstance(body, Sample):
        fields = [metric_field(name, value) for name, value in body.readings.items() if name in METRICS]
    else:
        fields = _event_fields(body)
    if record.time != "clock":
        fields.append(f'time_source="{record.time}"')
    return ",".join((f'epoch="{arrival.epoch.hex()}",seq={arrival.seq}i', *fields))


def canary_line(collector: str, time_ns: int) -> bytes:
    """A line of the collector's own, without which no line of an agent is to blame."""
    return f"{CANARY},collector={tag_value(collector)} alive=1i {time_ns}".encode()


def _run_fields(body: Result, series_id: str) -> list[str]:
    """What is the same in all results of a series. An empty text is no field."""
    build = body.build
    texts = {
        "activations": build.activations, "engine_build": build.engine_build, "firmware": build.firmware,
        "firmware_build": build.firmware_build, "kv_cache": build.kv_cache, "model_sha256": build.model_sha256,
        "series_id": series_id, "suite": body.suite, "timing": build.timing,
    }  # fmt: skip
    fields = [f"{name}={string_field(text)}" for name, text in texts.items() if text]
    return [*fields, f"ctx={build.ctx}i", f"emulated={flag(build.emulated)}"]


def _event_fields(body: Event) -> list[str]:
    fields = [f"event={string_field(body.name)}", f'level="{body.level}"', f"message={string_field(body.message)}"]
    if body.run_id is not None:
        fields.append(f'run_id="{body.run_id.hex()}"')
    if body.job_id is not None:
        fields.append(f'job_id="{body.job_id.hex()}"')
    return fields


def flag(value: bool) -> str:
    return "true" if value else "false"
