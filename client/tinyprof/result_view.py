"""A run's result in words: the verdict first and what it rests on, then the figures with their intervals."""

import datetime as dt
from collections.abc import Iterator

from tinyprof.durations import show_age
from tinyprof.terminal import one_line
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.figures_text import amount, unit
from tinyprof_protocol.jobs import CachedFrom
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Conditions, Figure, Repetition, Result

FIRST = ("ttft_ms", "tpot_ms", "prefill_tps", "decode_tps", "itl_p50_us", "itl_p99_us", "e2e_ms", "inference_ms")
MAX_OUTPUT = 300
_GOLDEN = {
    "match": "the output is the golden one",
    "tie": "the output parts from the golden one where two tokens are nearly equal",
    "differs": "the output is not the golden one",
    "none": "no golden output is known for this model and these prompts",
}
_CLOCK = {
    "checked": "checked against this machine's",
    "host": "this machine's own",
    "unchecked": "could not be checked",
    "failed": "wrong",
    "emulated": "virtual, checked by a known loop",
}


def show_result(result: Result) -> list[str]:
    """Lines for a person; nothing is rounded into a claim that the result does not make."""
    return [*_head(result), "", *_figures(result), "", *_grounds(result)]


def show_cached(cached: CachedFrom) -> str:
    """A line that says that no run was made, and whose run it is that is shown."""
    when = dt.datetime.fromtimestamp(cached.time_ns / 1e9).astimezone()
    whose = f"{one_line(cached.node)}/{one_line(cached.board)}"
    return f"from the cache: a {cached.verdict} run of {whose}, {show_age(cached.age_s)} ago ({when:%Y-%m-%d %H:%M:%S})"


def _head(result: Result) -> Iterator[str]:
    build = result.build
    yield f"{result.verdict.upper()}  {result.board}: {one_line(build.model)} ({one_line(build.quantisation)})"
    for reason in result.reasons:
        yield f"  {one_line(reason)}"
    where = one_line(build.platform)
    if build.emulated:
        where += f", emulated{f', stands for {one_line(build.stands_for)}' if build.stands_for else ''}"
    yield f"on {where}, engine {one_line(build.engine)} {one_line(build.engine_build)}".rstrip()
    kinds = f"activations {one_line(build.activations)}, KV cache {one_line(build.kv_cache)}, context {build.ctx}"
    yield f"{kinds}, timed by {build.timing}{', streamed' if build.streamed else ''}"


def _figures(result: Result) -> Iterator[str]:
    names = [name for name in FIRST if name in result.figures]
    names += sorted(set(result.figures) - {*FIRST, "clock_drift_ratio"})
    for name in names:
        yield _figure(name, result.figures[name], ram_is_rss=result.ram_is_rss)
    if not names:
        yield "no figures: no repetition came to its end"


def _figure(name: str, figure: Figure, *, ram_is_rss: bool) -> str:
    metric = METRICS.get(name)
    label = metric.label if metric else name
    if name == "ram_peak_bytes" and ram_is_rss:
        label += " (peak RSS)"
    shown = f"{'~' if figure.estimated else ''}{amount(name, figure.value)}"
    line = f"{label:<20} {shown:>12} {unit(name)}".rstrip()
    if figure.low is not None and figure.high is not None and (figure.coverage is not None or figure.estimated):
        kind = "estimated" if figure.estimated else f"{100 * (figure.coverage or 0):.1f}%"
        line = f"{line:<44} {kind} interval {amount(name, figure.low)} to {amount(name, figure.high)}, n = {figure.n}"
    elif figure.estimated:
        line += "  (estimated)"
    return line


def _grounds(result: Result) -> Iterator[str]:
    clock = result.clock
    drift = "" if clock.drift_ratio is None else f", drift {_drift(clock.drift_ratio)} over {clock.span_s:.1f} s"
    if result.repetitions or clock.check != "unchecked":  # of a run that broke off, nothing else was to be expected
        yield f"clock    {_CLOCK[clock.check]}{drift}{f' ({one_line(clock.why)})' if clock.why else ''}"
    yield f"golden   {result.golden}: {_GOLDEN[result.golden]}"
    yield f"run      suite {one_line(result.suite)}, {_done(result)}"
    state = _conditions(result.conditions)
    if state:
        yield f"machine  {state}"
    full = [rep.output_tokens for rep in result.repetitions if _ended_by_context(rep, result)]
    if full:
        wanted = f"{min(full)} of {some(result.max_tokens, 'token')} wanted"
        yield f"context  of {some(result.build.ctx, 'token')} was full after {wanted}"
    for prompt in result.prompts:
        yield f"prompt   {one_line(prompt)[:MAX_OUTPUT]}"
    if result.output:
        yield f"output   {one_line(result.output)[:MAX_OUTPUT]}"


def _done(result: Result) -> str:
    if result.build.emulated:
        return f"{some(len(result.repetitions), 'repetition')}, whose counts must be the same"
    timed = [result.figures[name].n for name in ("ttft_ms", "inference_ms") if name in result.figures]
    wanted = f"wanted {result.min_repetitions} and {result.min_timed_s:g} s"
    return f"{some(max(timed, default=0), 'repetition')}, {result.timed_s:.1f} s of work timed ({wanted})"


def _drift(ratio: float) -> str:
    return f"{amount('clock_drift_ratio', ratio)} {unit('clock_drift_ratio')}"


def _ended_by_context(repetition: Repetition, result: Result) -> bool:
    tokens = repetition.prompt_tokens + repetition.output_tokens
    return repetition.output_tokens < result.max_tokens and tokens >= result.build.ctx > 0


def _conditions(conditions: Conditions) -> str:
    parts = []
    if conditions.temperature_c is not None:
        parts.append(f"{conditions.temperature_c:.0f} °C")
    if conditions.cpu_clock_hz is not None:
        parts.append(f"{conditions.cpu_clock_hz / 1e6:.0f} MHz")
    if conditions.governor:
        parts.append(f"governor {one_line(conditions.governor)}")
    if conditions.throttled is not None:
        parts.append("throttled" if conditions.throttled else "not throttled")
    if conditions.load_1m is not None:
        parts.append(f"load {conditions.load_1m:.2f} before")
    return ", ".join(parts)
