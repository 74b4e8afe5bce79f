"""The section of a board. Pure; every text of a board, a model or a prompt is escaped by `text`."""

from collections.abc import Iterator, Sequence
from typing import Final

from tinyprof.reporting import svg
from tinyprof.reporting.content import (
    VERDICTS,
    Run,
    Shown,
    figure_of,
    gaps_of,
    limits_of,
    metrics_of,
    middle,
    reasons_of,
)
from tinyprof.reporting.markup import facts, figure, table, tag, text
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.figures_text import amount, size, unit
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Figure, Result

SPEED: Final = ("ttft_ms", "tpot_ms", "decode_tps", "prefill_tps", "itl_p50_us", "itl_p99_us", "e2e_ms", "inference_ms")
ENERGY: Final = ("energy_mj_per_token", "energy_net_mj_per_token", "power_mw")
COUNTS: Final = (
    "instructions_to_first_token", "instructions_per_token", "model_cycles_to_first_token", "model_cycles_per_token",
    "bound_pct", "cpu_ns_per_token",
)  # fmt: skip
MEMORY: Final = ("ram_peak_bytes", "heap_peak_bytes", "stack_peak_bytes", "flash_bytes")
PLOTTED: Final = ("decode_tps", "ttft_ms", "inference_ms", "instructions_per_token", "model_cycles_per_token")
MAX_PLOTS: Final = 2
MIN_GAPS: Final = 10
MAX_OTHERS: Final = 20


def board_section(shown: Shown, name: str) -> str:
    """All that is known of a board; `name` is an id that no other section of the page has."""
    result = shown.newest
    parts = [
        f'<section id="{name}" aria-labelledby="{name}-h">',
        f'<div class="head"><h2 id="{name}-h">{text(shown.board.name)}</h2>',
        tag("emulated", "unstable") if result.build.emulated else "",
        _verdict_tags(shown),
        "</div>",
        _about(result),
        _ran(result),
        _figures(shown),
        *_plots(shown, name),
        _gaps(shown, name),
        _memory(result, name),
        _reasons(shown),
        _others(shown),
        "</section>",
    ]
    return "".join(parts)


def value(metric: str, one: Figure | float | None) -> str:
    """A figure as people read it, `~` before an estimate; HTML."""
    if one is None:
        return "–"
    if isinstance(one, float):
        return f"{amount(metric, one)} {unit(metric)}".strip()
    return f"{'~' if one.estimated else ''}{amount(metric, one.value)} {unit(metric)}".strip()


def interval(metric: str, one: Figure | None) -> str:
    """From where to where a figure lies, and how sure that is; HTML."""
    if one is None or one.low is None or one.high is None:
        return "–"
    kind = "estimate" if one.estimated else f"{100 * one.coverage:.1f}%" if one.coverage is not None else ""
    return f"{amount(metric, one.low)} to {amount(metric, one.high)}{f' ({kind})' if kind else ''}"


def _verdict_tags(shown: Shown) -> str:
    return "".join(tag(f"{count} {verdict}", verdict) for verdict, count in shown.counts.items() if count)


def _about(result: Result) -> str:
    if not result.build.emulated:
        return ""
    part = f", which stands for {text(result.build.stands_for)}" if result.build.stands_for else ""
    return (
        f'<p class="notice">This board is <b>emulated</b> ({text(result.build.platform)}{part}). Instructions, memory '
        "and the output are measured by the emulator. Times and rates are <b>estimates</b>, marked ~, and their ranges "
        "are no confidence intervals.</p>"
    )


def _ran(result: Result) -> str:
    build, conditions = result.build, result.conditions
    clock = conditions.cpu_clock_hz or (result.clock.tick_hz if result.clock.check == "emulated" else 0)
    prompts = f"<q>{text(result.prompts[0])}</q>" if result.prompts else ""
    more = f" and {len(result.prompts) - 1} more" if len(result.prompts) > 1 else ""
    return facts(
        [
            ("Platform", text(build.platform)),
            ("Firmware", f"{text(build.firmware)} <code>{text(build.firmware_build)}</code>" if build.firmware else ""),
            ("Engine", f"{text(build.engine)} <code>{text(build.engine_build)}</code>"),
            ("Model", f"{text(build.model)} <code>{build.model_sha256[:12]}</code>"),
            ("Quantisation", f"{text(build.quantisation)}, activations {text(build.activations)}"),
            ("KV cache, context", f"{text(build.kv_cache)}, {some(build.ctx, 'token')}"),
            ("Clock", f"{clock / 1e6:,.0f} MHz" if clock else ""),
            ("Governor", text(conditions.governor or "")),
            ("Times by", f"{text(build.timing)}; clock {text(result.clock.check)}"),
            ("Suite", f"{text(result.suite)}, at most {some(result.max_tokens, 'token')}"),
            ("Prompt", prompts + more),
            ("Golden output", text(result.golden)),
        ]
    )


def _figures(shown: Shown) -> str:
    result, runs = shown.newest, [run for run in shown.runs if run.result.verdict != "invalid"]
    known = metrics_of(runs)
    names = [name for name in (*SPEED, *ENERGY, *COUNTS, *MEMORY) if name in known]
    if not names:
        return '<p class="notice">No run gave figures that can be told: each was invalid.</p>'
    rows = [
        (
            text(METRICS[name].label),
            value(name, figure_of(result, name)),
            interval(name, figure_of(result, name)),
            str(one.n) if (one := figure_of(result, name)) else "–",
            _middle(runs, name),
        )
        for name in names
    ]
    when = svg.utc(next(run.time_ns for run in reversed(shown.runs) if run.result is result))
    head = ("metric", "newest run", "interval (coverage)", "n", f"median of {some(len(runs), 'run')}")
    return "<h3>Figures</h3>" + table(head, rows, f"The newest usable run, {when} UTC, {result.verdict}", " nnnn")


def _plots(shown: Shown, name: str) -> Iterator[str]:
    names = [metric for metric in PLOTTED if metric in metrics_of(shown.runs)][:MAX_PLOTS]
    for metric in names:
        marks = [
            svg.Mark(run.time_ns, one.value, run.result.verdict, one.low, one.high)
            for run in shown.runs
            if (one := run.result.figures.get(metric)) is not None
        ]
        if len(marks) < 2:
            continue
        label = f"{METRICS[metric].label} over time"
        plotted = svg.thinned(marks)
        notes = f" {len(plotted)} of {some(len(marks), 'run')} are drawn." if len(plotted) < len(marks) else ""
        notes += "" if svg.begins_at_zero(marks) else " The axis does not begin at zero."
        estimated = any(run.result.figures[metric].estimated for run in shown.runs if metric in run.result.figures)
        kind = "estimated range" if estimated else "interval"
        legend = "".join(f"<span>{svg.verdict_key(word)}{word}</span>" for word in VERDICTS)
        caption = (
            f"<b>{label}</b>, {METRICS[metric].unit}; a line through a mark is its {kind}. Times are UTC.{notes} "
            f'<span class="legend">{legend}</span>'
        )
        yield figure(svg.over_time(marks, f"{name}-{metric}", label, METRICS[metric].unit), caption)


def _gaps(shown: Shown, name: str) -> str:
    gaps = gaps_of(shown.runs)
    if len(gaps) < MIN_GAPS:
        return ""
    ordered = sorted(gaps)
    marks = [("p50", float(ordered[len(ordered) // 2]))]
    if len(ordered) >= 100:
        marks.append(("p99", float(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)])))
    dropped = sum(run.result.itl_dropped for run in shown.runs)
    more = f" {dropped:,} more were measured and not kept." if dropped else ""
    caption = (
        f"<b>Gaps between tokens (ITL)</b>, µs, {len(gaps):,} raw gaps of the newest runs; the last bar has all that "
        f"lie beyond.{more}"
    )
    return figure(svg.histogram(gaps, f"{name}-itl", "Distribution of the gaps between tokens", "µs", marks), caption)


def _memory(result: Result, name: str) -> str:
    limits = limits_of(result)
    rows = []
    for metric in ("ram_peak_bytes", "flash_bytes"):
        one, limit = figure_of(result, metric), limits.get(metric)
        if one is None or limit is None:
            continue
        share = one.value / limit.bytes
        about = f"{size(one.value)} of {size(limit.bytes)}, {100 * share:.0f}%"
        bar = svg.share_bar(share, f"{name}-{metric}", about)
        rows.append((text(METRICS[metric].label), f"{bar}<small>{about}: {text(limit.source)}</small>"))
    marked = '<p class="small soft">RAM peak is a peak resident set here, and not static + heap + stack.</p>'
    note = marked if result.ram_is_rss and "ram_peak_bytes" in result.figures else ""
    return (f"<h3>Memory beside its limits</h3>{facts(rows)}" if rows else "") + note


def _reasons(shown: Shown) -> str:
    reasons = [
        f'<li>{text(reason)} <span class="soft">({some(count, "run")})</span></li>'
        for reason, count in reasons_of(shown.runs)
    ]
    problems = [f"<li>{text(line)}</li>" for line in shown.board.problems[:MAX_OTHERS]]
    if not reasons and not problems:
        return ""
    return f"<h3>Why runs were not valid</h3><ul>{''.join([*reasons, *problems])}</ul>"


def _others(shown: Shown) -> str:
    if not shown.others:
        return ""
    rows = [_other(runs) for runs in shown.others[:MAX_OTHERS]]
    head = ("suite", "first prompt", "model", "engine", "runs", "TTFT", "decode")
    left = len(shown.others) - len(rows)
    more = f"; {left} kinds more are left out" if left > 0 else ""
    return "<h3>Runs that cannot be compared with these</h3>" + table(
        head, rows, f"Of other suites, prompts or builds{more}; medians of the runs that are not invalid", "    nnn"
    )


def _other(runs: Sequence[Run]) -> tuple[str, ...]:
    result = runs[-1].result
    prompt = result.prompts[0] if result.prompts else ""
    return (
        text(result.suite),
        f"<q>{text(prompt[:60])}</q>" if prompt else "–",
        f"{text(result.build.model)}, {text(result.build.quantisation)}",
        text(f"{result.build.engine} {result.build.engine_build}"),
        f"{len(runs):,}",
        _middle(runs, "ttft_ms"),
        _middle(runs, "decode_tps"),
    )


def _middle(runs: Sequence[Run], metric: str) -> str:
    found = middle(runs, metric)
    estimated = any(run.result.figures[metric].estimated for run in runs if metric in run.result.figures)
    return f"{'~' if estimated and found is not None else ''}{value(metric, found)}"
