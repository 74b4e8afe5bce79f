"""Results as flat rows: one a run with its figures and what they depend on, or one a repetition. Pure.

Every column is there in every file, in the same order, so that files can be put one under the other. Units are in
names; times are UTC; ids are hexadecimal.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tinyprof.board_names import BoardRef
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Record, Repetition, Result
from tinyprof_protocol.series import series_of

Kind = Literal["text", "int", "float", "bool", "time"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and what kind of values it has; any of them may be None."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class _Run:
    """What a row is made from."""

    ref: BoardRef
    record: Record
    result: Result


_RUN: Final[dict[Column, Callable[[_Run], Value]]] = {
    Column("time", "time"): lambda run: utc(run.record.time_ns),
    Column("time_source", "text"): lambda run: run.record.time,
    Column("node", "text"): lambda run: run.ref.node,
    Column("board", "text"): lambda run: run.ref.board,
    Column("run_id", "text"): lambda run: run.result.run_id.hex(),
    Column("job_id", "text"): lambda run: run.result.job_id.hex() if run.result.job_id else None,
    Column("series", "text"): lambda run: series_of(run.result),
    Column("suite", "text"): lambda run: run.result.suite,
    Column("verdict", "text"): lambda run: run.result.verdict,
    Column("reasons", "text"): lambda run: "; ".join(run.result.reasons),
    Column("golden", "text"): lambda run: run.result.golden,
    Column("platform", "text"): lambda run: run.result.build.platform,
    Column("stands_for", "text"): lambda run: run.result.build.stands_for,
    Column("emulated", "bool"): lambda run: run.result.build.emulated,
    Column("estimated", "text"): lambda run: " ".join(
        name for name, figure in run.result.figures.items() if figure.estimated
    ),
    Column("engine", "text"): lambda run: run.result.build.engine,
    Column("engine_build", "text"): lambda run: run.result.build.engine_build,
    Column("firmware", "text"): lambda run: run.result.build.firmware,
    Column("firmware_build", "text"): lambda run: run.result.build.firmware_build,
    Column("model", "text"): lambda run: run.result.build.model,
    Column("model_sha256", "text"): lambda run: run.result.build.model_sha256,
    Column("quantisation", "text"): lambda run: run.result.build.quantisation,
    Column("kv_cache", "text"): lambda run: run.result.build.kv_cache,
    Column("activations", "text"): lambda run: run.result.build.activations,
    Column("ctx_tokens", "int"): lambda run: run.result.build.ctx,
    Column("timing", "text"): lambda run: run.result.build.timing,
    Column("streamed", "bool"): lambda run: run.result.build.streamed,
    Column("prompts_count", "int"): lambda run: len(run.result.prompts),
    Column("first_prompt", "text"): lambda run: run.result.prompts[0] if run.result.prompts else None,
    Column("max_output_tokens", "int"): lambda run: run.result.max_tokens,
    Column("repetitions_count", "int"): lambda run: len(run.result.repetitions) + run.result.repetitions_dropped,
    Column("timed_s", "float"): lambda run: run.result.timed_s,
    Column("warm_up_s", "float"): lambda run: run.result.warm_up_s,
    Column("clock_check", "text"): lambda run: run.result.clock.check,
    Column("clock_tick_hz", "int"): lambda run: run.result.clock.tick_hz,
    Column("condition_temperature_c", "float"): lambda run: run.result.conditions.temperature_c,
    Column("condition_cpu_clock_hz", "int"): lambda run: run.result.conditions.cpu_clock_hz,
    Column("condition_cpu_clock_max_hz", "int"): lambda run: run.result.conditions.cpu_clock_max_hz,
    Column("condition_governor", "text"): lambda run: run.result.conditions.governor,
    Column("condition_throttled", "bool"): lambda run: run.result.conditions.throttled,
    Column("condition_load_1m", "float"): lambda run: run.result.conditions.load_1m,
    Column("ram_is_rss", "bool"): lambda run: run.result.ram_is_rss,
    Column("attempt", "int"): lambda run: run.result.attempt,
}
_REPETITION: Final[dict[Column, Callable[[Repetition], Value]]] = {
    Column("prompt_index", "int"): lambda one: one.prompt,
    Column("ttft_ms", "float"): lambda one: one.ttft_ms,
    Column("tpot_ms", "float"): lambda one: one.tpot_ms,
    Column("prompt_tokens", "int"): lambda one: one.prompt_tokens,
    Column("output_tokens", "int"): lambda one: one.output_tokens,
    Column("repetition_golden", "text"): lambda one: one.golden,
    Column("golden_tokens", "int"): lambda one: one.golden_tokens,
    Column("first_count", "float"): lambda one: one.first_count,
    Column("decode_count", "float"): lambda one: one.decode_count,
}
_OF_A_FIGURE: Final = ("low", "high", "coverage", "n")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which rows: of runs with all metrics, of runs with one `metric`, or (`raw`) of repetitions."""

    raw: bool = False
    metric: str | None = None

    def columns(self) -> list[Column]:
        """The columns of every row, in order."""
        if self.raw:
            return [*_RUN, Column("repetition", "int"), *_REPETITION]
        figures = [
            Column(f"{name}{f'_{part}' if part else ''}", "int" if part == "n" else "float")
            for name in self._metrics()
            for part in ("", *_OF_A_FIGURE)
        ]
        return [*_RUN, *figures]

    def rows(self, ref: BoardRef, records: Sequence[Record]) -> Iterator[dict[str, Value]]:
        """Rows of a board's results; a value that is not known is left out. What is no result makes none."""
        for record in records:
            if isinstance(record.body, Result):
                yield from self._rows_of(_Run(ref, record, record.body))

    def _rows_of(self, run: _Run) -> Iterator[dict[str, Value]]:
        known = _known((column.name, value(run)) for column, value in _RUN.items())
        if self.raw:
            for number, one in enumerate(run.result.repetitions):
                values = _known((column.name, value(one)) for column, value in _REPETITION.items())
                yield {**known, "repetition": number, **values}
            return
        for name in self._metrics():
            figure = run.result.figures.get(name)
            if figure is not None:
                parts = ((f"{name}_{part}", getattr(figure, part)) for part in _OF_A_FIGURE)
                known |= {name: figure.value, **_known(parts)}
        if self.metric is None or self.metric in known:
            yield known

    def _metrics(self) -> Sequence[str]:
        return list(METRICS) if self.metric is None else [self.metric]


def utc(time_ns: int) -> str:
    """A wall time in ISO 8601, UTC, to the microsecond."""
    seconds, rest_ns = divmod(time_ns, 10**9)
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest_ns // 1000:06}Z"


def _known(pairs: Any) -> dict[str, Value]:
    return {name: value for name, value in pairs if value is not None}
