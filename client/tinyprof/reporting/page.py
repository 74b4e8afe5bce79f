"""The page: a fleet at a glance, a section a board, and how it was measured. Pure: the same content, the same bytes."""

from collections.abc import Sequence
from importlib import resources
from typing import Final

from tinyprof import __version__
from tinyprof.reporting import svg
from tinyprof.reporting.content import VERDICTS, Board, Content, Shown, figure_of, metrics_of, shown
from tinyprof.reporting.markup import table, tag, text
from tinyprof.reporting.sections import board_section, interval, value
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.metrics import METRICS

MAX_SECTIONS: Final = 200
SPARK_RUNS: Final = 32
_METHODS: Final = {
    "A run": "warms up, then repeats until there are both enough repetitions and enough timed work, with greedy "
    "decoding and an empty KV cache. What is timed begins when the whole request is known to the timing side and ends "
    "when the last token's id is chosen: tokenising counts, the link to the board does not.",
    "Figures": "are medians over the repetitions of a run. An interval is by order statistics, with its true coverage "
    "beside it (six repetitions give 96.9%). Medians over several runs stand apart and have no interval.",
    "valid": "the clock was checked (or is the host's own), the text agreed with the golden output where there is "
    "one, and the interval of TTFT and TPOT is no wider than 5% of the median to either side.",
    "unstable": "the repetitions differ by more than that, or are fewer than six: a warning about the figures.",
    "invalid": "the clock drifted, the text differed from the golden output, a token was missing, or the board reset "
    "or hung. Such runs are drawn in plots as crosses; their figures enter nothing else.",
    "Estimates": "are marked ~. An emulator counts instructions and has no clock of a real part: what it gives as "
    "times or rates is a range that follows from the counts, never a measurement, and is not compared with one.",
    "Comparing": "is fair only between runs of the same build, suite, prompts and number of tokens. Each board is "
    "shown by one such series of runs; others are listed apart.",
}


def report_page(content: Content) -> str:
    """The whole page, self-contained: no script, nothing that is fetched."""
    boards = [one for one in map(shown, content.boards) if one is not None]
    detailed = boards[:MAX_SECTIONS]
    style = (resources.files("tinyprof.reporting") / "report.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    sections = "".join(board_section(one, f"board-{number}") for number, one in enumerate(detailed))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(content.title)}</title><style>{style}</style></head><body>{_header(content, boards)}"
        f"<main>{_overview(content, boards, len(detailed))}{sections}{_methods(detailed)}</main>"
        f"<footer>Made by tinyprof {text(__version__)}. The page fetches nothing and runs no script.</footer>"
        "</body></html>\n"
    )


def _header(content: Content, boards: Sequence[Shown]) -> str:
    counts = {verdict: sum(one.counts[verdict] for one in boards) for verdict in VERDICTS}
    times = [run.time_ns for one in boards for run in (one.board.runs[0], one.board.runs[-1])]
    span = f", runs from {svg.utc(min(times))} to {svg.utc(max(times))} UTC" if times else ""
    tiles = "".join(
        f"<li>{svg.verdict_key(verdict)}{verdict}<b>{count:,}</b></li>" for verdict, count in counts.items()
    )
    return (
        f"<header><h1>{text(content.title)}</h1>"
        f'<p class="soft">{text(content.source)}; made {svg.utc(content.made_ns)} UTC{span}</p>'
        f'<ul class="tiles"><li>boards<b>{len(content.boards):,}</b></li><li>runs<b>{sum(counts.values()):,}</b></li>'
        f"{tiles}</ul></header>"
    )


def _overview(content: Content, boards: Sequence[Shown], detailed: int) -> str:
    empty = [board for board in content.boards if not board.runs]
    head = ("board", "platform, model", "runs", "newest", "TTFT", "TPOT", "decode", "course of decode")
    rows = [_row(one, number, linked=number < detailed) for number, one in enumerate(boards)]
    notes = [f'<p class="notice">{text(note)}</p>' for note in content.notes]
    if len(boards) > detailed:
        notes.append(f'<p class="notice">Only the first {some(detailed, "board")} have a section of their own.</p>')
    notes += [_empty(board) for board in empty[:MAX_SECTIONS]]
    body = (
        table(head, rows, "The newest usable run of each board; ~ is an estimate", "  n nnn")
        if rows
        else "<p>No runs.</p>"
    )
    return f'<section aria-labelledby="fleet-h"><h2 id="fleet-h">All boards</h2>{body}{"".join(notes)}</section>'


def _row(one: Shown, number: int, *, linked: bool) -> tuple[str, ...]:
    result = one.newest
    node, slash, board = one.board.name.rpartition("/")
    name = f"<b>{text(board)}</b>"
    emulated = " (emulated)" if result.build.emulated else ""
    range_of = interval("decode_tps", figure_of(result, "decode_tps"))
    decode = [
        run.result.figures["decode_tps"].value
        for run in one.runs[-SPARK_RUNS:]
        if run.result.verdict != "invalid" and "decode_tps" in run.result.figures
    ]
    return (
        (f'<a href="#board-{number}">{name}</a>' if linked else name) + (f"<br>{_small(node)}" if slash else ""),
        f"{text(result.build.platform)}{emulated}<br>{_small(f'{result.build.model}, {result.build.quantisation}')}",
        f"{sum(one.counts.values()):,}{'+' if one.board.left_out else ''}",
        tag(result.verdict, result.verdict),
        value("ttft_ms", figure_of(result, "ttft_ms")),
        value("tpot_ms", figure_of(result, "tpot_ms")),
        value("decode_tps", figure_of(result, "decode_tps")) + (f"<br>{_small(range_of)}" if range_of != "–" else ""),
        svg.spark(decode, f"spark-{number}") or "–",
    )


def _small(words: str) -> str:
    return f'<small class="soft">{text(words)}</small>'


def _empty(board: Board) -> str:
    why = f": {text(board.problems[0])}" if board.problems else ""
    return f'<p class="notice">{text(board.name)} has no run with a result{why}</p>'


def _methods(boards: Sequence[Shown]) -> str:
    known = {name for one in boards for name in metrics_of(one.runs)}
    rows = [
        (text(metric.label), text(metric.unit), text(metric.better), text(metric.definition), text(metric.source))
        for name, metric in METRICS.items()
        if name in known
    ]
    methods = "".join(f"<div><dt>{name}</dt><dd>{line}</dd></div>" for name, line in _METHODS.items())
    definitions = table(
        ("metric", "unit", "better", "definition", "source"), rows, "Definitions of the metrics on this page"
    )
    return (
        '<section id="methods" aria-labelledby="methods-h"><h2 id="methods-h">How this was measured</h2>'
        f'<dl class="facts">{methods}</dl><h3>Definitions</h3>{definitions if rows else ""}</section>'
    )
