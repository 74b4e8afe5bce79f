"""A board's runs and figures in words: the rows of its screen's table and the lines beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from tinyprof_dashboard import columns, numerals, palette, regressions
from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.columns import Column, Moment, Piece
from tinyprof_dashboard.palette import Role, ink
from tinyprof_dashboard.snapshot import History, Row, age_s
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.records import Figure, Golden, Result

SLOW_REPLY_S = 5.0
FRESH_S = 10.0
"""What was said of a run's progress longer ago says nothing of now."""
_GOLDEN_ROLES: Final[dict[Golden, Role]] = {"match": "healthy", "tie": "healthy", "differs": "critical", "none": "dim"}


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the board's screen lists it."""

    key: bytes
    time_ns: int
    estimated_time: bool
    result: Result


def runs_of(history: History | None) -> list[Run]:
    """The newest runs that a history holds, newest first."""
    if history is None or history.reply is None:
        return []
    return [
        Run(record.body.run_id, record.time_ns, record.time == "estimated", record.body)
        for record in history.reply.runs
        if isinstance(record.body, Result)
    ]


def notice_of(history: History | None, now_ns: int) -> str:
    """What stands in the way of the history, in a line; empty where nothing does."""
    if history is None:
        return ""
    if history.error:
        return numerals.printable(history.error)
    waited_s = (now_ns - history.asked_ns) / SECOND_NS
    if history.waiting and waited_s >= SLOW_REPLY_S:
        return f"the collector has not answered for {numerals.age(waited_s)}"
    if history.waiting and history.reply is None:
        return "asking the collector …"
    return ""


def metrics_of(summary: BoardSummary) -> list[str]:
    """The metrics that a board has figures of, in the table's order, decode rate first."""
    known = [name for name in METRICS if name in summary.figures or name in summary.readings]
    first = [name for name in ("decode_tps", "ttft_ms", "inference_ms") if name in known]
    return [*first, *(name for name in known if name not in first)] or ["decode_tps"]


def figure_text(metric: str, figure: Figure, *, interval: bool = True) -> str:
    """`12.31 [12.10 – 12.62]`; estimated ones begin with `~`."""
    text = (palette.ESTIMATED if figure.estimated else "") + numerals.amount(metric, figure.value)
    if interval and figure.low is not None and figure.high is not None:
        text += f" [{numerals.amount(metric, figure.low)} – {numerals.amount(metric, figure.high)}]"
    return text


def _figure_cell(metric: str, *, interval: bool) -> Column[Run]:
    entry = METRICS[metric]

    def cell(run: Run, _moment: Moment) -> Piece:
        found = run.result.figures.get(metric)
        return (
            Piece(numerals.NOTHING, "faint") if found is None else Piece(figure_text(metric, found, interval=interval))
        )

    def value(run: Run, _moment: Moment) -> float | None:
        found = run.result.figures.get(metric)
        return None if found is None else found.value

    title = f"{entry.label} {numerals.unit(metric)}".strip()
    return Column(metric, title, *(23, 4) if interval else (12, 6), cell, value, entry.definition, right=True)


def _ago(run: Run, moment: Moment) -> Piece:
    seconds = (moment.now_ns - moment.snapshot.skew_ns - run.time_ns) / SECOND_NS
    return Piece((palette.ESTIMATED if run.estimated_time else "") + numerals.age(seconds), "dim")


def _verdict(run: Run, _moment: Moment) -> Piece:
    verdict = run.result.verdict
    return Piece(f"{palette.VERDICT_SYMBOLS[verdict]} {verdict}", palette.VERDICT_ROLES[verdict])


def _golden(run: Run, _moment: Moment) -> Piece:
    return Piece(run.result.golden, _GOLDEN_ROLES[run.result.golden])


def _clock(run: Run, _moment: Moment) -> Piece:
    check = run.result.clock.check
    return Piece(check, "critical" if check == "failed" else "warning" if check == "unchecked" else "dim")


def _suite(run: Run, _moment: Moment) -> Piece:
    asked = f"{palette.ASKED} " if run.result.job_id is not None else ""
    return Piece(asked + numerals.printable(run.result.suite), "accent" if asked else "dim")


RUN_COLUMNS: Final[tuple[Column[Run], ...]] = (
    Column("ago", "ago", 5, 1, _ago, lambda run, _: -run.time_ns, "How long ago the run was recorded.", right=True),
    Column("verdict", "verdict", 10, 1, _verdict, lambda run, _: run.result.verdict, "Whether it may be trusted."),
    Column("golden", "golden", 7, 2, _golden, lambda run, _: run.result.golden, "Whether the text was as expected."),
    Column("clock", "clock", 9, 5, _clock, lambda run, _: run.result.clock.check, "How the clock was checked."),
    _figure_cell("ttft_ms", interval=True),
    _figure_cell("decode_tps", interval=True),
    _figure_cell("tpot_ms", interval=False),
    _figure_cell("ram_peak_bytes", interval=False),
    Column("n", "n", 3, 7, lambda run, _: Piece(str(len(run.result.repetitions)), "dim"),
           lambda run, _: len(run.result.repetitions), "Repetitions.", right=True),
    Column("suite", "suite", 10, 8, _suite, lambda run, _: run.result.suite,
           f"The suite; {palette.ASKED} where a client asked for the run."),
)  # fmt: skip


def run_lines(run: Run | None) -> Text:
    """What the verdict of a run rests on: its reasons, its clock, its conditions, its text."""
    if run is None:
        return Text()
    result = run.result
    text = Text(no_wrap=True, overflow="ellipsis")
    reasons = "; ".join(result.reasons) or "nothing against it"
    text.append(f"{result.verdict}: ", ink(palette.VERDICT_ROLES[result.verdict]))
    text.append(numerals.printable(reasons) + "\n", ink("text"))
    _pair(text, "clock", " ".join(_clock_words(result)))
    _pair(text, "timing", result.build.timing)
    if result.job_id is not None:
        _pair(text, f"{palette.ASKED} asked for by a client, suite", result.suite)
    _pair(text, "conditions", " ".join(_condition_words(result)) or "unknown")
    text.append("\n")
    _pair(text, "engine", f"{result.build.engine} {result.build.engine_build}".strip())
    _pair(text, "output", " ".join(result.output.split()) or numerals.NOTHING)
    return text


def _clock_words(result: Result) -> Iterator[str]:
    yield result.clock.check
    if result.clock.drift_ratio is not None:
        yield f"drift {result.clock.drift_ratio:+.3%}"
    if result.clock.why:
        yield f"({result.clock.why})"


def _condition_words(result: Result) -> Iterator[str]:
    state = result.conditions
    if state.temperature_c is not None:
        yield f"{state.temperature_c:.0f}°C"
    if state.cpu_clock_hz is not None:
        yield f"{state.cpu_clock_hz / 1e6:.0f} MHz"
    if state.load_1m is not None:
        yield f"load {state.load_1m:.2f}"
    if state.throttled:
        yield "throttled"


def _pair(text: Text, what: str, value: str) -> None:
    text.append(f"{what} ", ink("faint")).append(f"{numerals.printable(value)}   ", ink("dim"))


def _going_on(row: Row, moment: Moment) -> str:
    """What its run is at and the tokens so far, where that is known now."""
    found = moment.snapshot.progress.get(row.key)
    if found is None or moment.now_ns - found.at_ns > FRESH_S * SECOND_NS or row.summary.state != "running":
        return ""
    progress = found.progress
    count = f" {progress.repetition}/{progress.repetitions}" if progress.repetitions else ""
    text = " ".join(progress.text.split())
    return numerals.printable(f"{progress.stage}{count}{f': {text}' if text else ''}")


def facts(row: Row, moment: Moment) -> Text:
    """Who the board is and how it is, in four lines, and a line on a regression where one stands."""
    summary = row.summary
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{palette.SYMBOLS[row.health]} {row.health}", ink(row.health))
    text.append(f"  {summary.state}", ink("dim"))
    going_on = _going_on(row, moment)
    if going_on:
        text.append(f"  {going_on}", ink("accent"))
    if row.reasons:
        text.append("  " + numerals.printable("; ".join(row.reasons)), ink("text"))
    text.append("\n")
    _pair(text, "platform", columns.platform_text(row) or numerals.NOTHING)
    if summary.emulated:
        stands = f", stands for {numerals.printable(summary.stands_for)}" if summary.stands_for else ""
        text.append(f"emulated{stands}   ", ink("warning"))
    _pair(text, "driver", summary.driver or numerals.NOTHING)
    text.append("\n")
    _pair(text, "model", columns.model_text(row) or numerals.NOTHING)
    _pair(text, "engine", summary.engine or numerals.NOTHING)
    text.append("\n")
    text.append(f"{numerals.some(summary.results, 'run')} ", ink("text"))
    for verdict, count in (("valid", summary.valid), ("unstable", summary.unstable), ("invalid", summary.invalid)):
        role = palette.VERDICT_ROLES[verdict] if count else "faint"  # type: ignore[index]
        text.append(f" {palette.VERDICT_SYMBOLS[verdict]} {count} {verdict}", ink(role))  # type: ignore[index]
    every = f"every {summary.interval_s:g}s" if summary.interval_s > 0 else "on request"
    heard_s = age_s(row, moment.snapshot, moment.now_ns)
    heard = "never heard" if heard_s is None else f"heard {numerals.age(heard_s)} ago"
    text.append(f"   {every}, {heard}", ink("dim"))
    bad = regressions.worst(summary)
    if bad is not None:
        told = regressions.sentence(bad, moment.now_ns - moment.snapshot.skew_ns)
        more = sum(found.worse for found in summary.regressions) - 1
        text.append(f"\n▼ {told}", ink("warning")).append(f"   and {more} more" if more else "", ink("dim"))
    return text


def last_figures(row: Row, chosen: str, lines: int) -> Text:
    """The last run's figures with their intervals and the newest readings, a line each, the chosen one marked."""
    summary = row.summary
    text = Text(no_wrap=True, overflow="ellipsis")
    for name in metrics_of(summary)[: max(1, lines)]:
        mark = "▸ " if name == chosen else "  "
        text.append(mark, ink("accent"))
        text.append(numerals.clip(numerals.label(name), 13), ink("strong" if name == chosen else "dim"))
        found = summary.figures.get(name)
        unit = numerals.unit(name)
        if found is not None:
            text.append(numerals.clip(figure_text(name, found, interval=False), 10, right=True), ink("text"))
            text.append(f" {unit:<6} ", ink("faint")).append(_interval_words(name, found), ink("dim"))
        elif name in summary.readings:
            text.append(numerals.clip(numerals.amount(name, summary.readings[name]), 10, right=True), ink("text"))
            text.append(f" {unit:<6} ", ink("faint")).append("sample", ink("faint"))
        text.append("\n")
    text.rstrip()
    return text


def _interval_words(metric: str, figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return f"n={figure.n}" if figure.n > 1 else ""
    words = f"{numerals.amount(metric, figure.low)} – {numerals.amount(metric, figure.high)}"
    if figure.estimated:
        return f"{words} estimated"
    if figure.coverage is not None:
        words += f"  {figure.coverage:.1%}"
    return f"{words} n={figure.n}"
