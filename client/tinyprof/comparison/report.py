"""A comparison for people, a table a metric as benchstat prints it, for a README, and for programs. Pure."""

from collections.abc import Iterator
from typing import Any

from tinyprof.comparison.comparison import BoardCompared, Comparison, Geomean
from tinyprof.comparison.judging import Judged
from tinyprof.formats.markdown import markdown_row, markdown_text
from tinyprof.metric_names import column_title
from tinyprof.terminal import one_line, table
from tinyprof_protocol.figures_text import amount
from tinyprof_protocol.metrics import METRICS

GEOMEAN = "[geomean]"


def as_text(comparison: Comparison) -> str:
    """The tables, and under them what differs and what could not be compared."""
    blocks = [table(_head(metric), rows, right="lrrr") for metric, rows in _tables(comparison)]
    remarks = list(_remarks(comparison))
    return "\n\n".join([*blocks, *(["\n".join(remarks)] if remarks else [])])


def as_markdown(comparison: Comparison) -> str:
    """The same as Markdown."""
    blocks = []
    for metric, rows in _tables(comparison):
        lines = [markdown_row(_head(metric)), "|---|---:|---:|---:|---|---|", *map(markdown_row, rows)]
        blocks.append("\n".join(lines))
    remarks = [f"- {markdown_text(line)}" for line in _remarks(comparison)]
    return "\n\n".join([*blocks, *(["\n".join(remarks)] if remarks else [])])


def as_json(comparison: Comparison, fail_on: float) -> dict[str, Any]:
    """For programs; changes are shares, values in the units of the metrics' table."""
    return {
        "boards": [
            {
                "board": board.board,
                "comparable": not board.why,
                "why": board.why,
                "differs": board.differs,
                "notes": board.notes,
                "metrics": [_judged_json(one) for one in board.metrics],
            }
            for board in comparison.boards
        ],
        "geomeans": [
            {"metric": one.metric, "old": one.old, "new": one.new, "change": one.change, "boards": one.boards}
            for one in comparison.geomeans
        ],
        "only_old": comparison.only_old,
        "only_new": comparison.only_new,
        "regressions": comparison.regressions(fail_on),
    }


def _judged_json(one: Judged) -> dict[str, Any]:
    return {
        "metric": one.metric, "unit": METRICS[one.metric].unit, "verdict": one.verdict, "why": one.why,
        "old": one.old, "new": one.new, "change": one.change, "p": one.p, "n_old": one.n_old, "n_new": one.n_new,
    }  # fmt: skip


def _tables(comparison: Comparison) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """A metric and its rows; each metric once, in the order of the boards' own."""
    geomeans = {one.metric: one for one in comparison.geomeans}
    for metric in dict.fromkeys(one.metric for board in comparison.boards for one in board.metrics):
        rows = [_row(board, one) for board in comparison.boards for one in board.metrics if one.metric == metric]
        if metric in geomeans:
            rows.append(_geomean_row(geomeans[metric]))
        yield metric, rows


def _head(metric: str) -> tuple[str, ...]:
    shown = column_title(metric)
    return "board", f"old {shown}", f"new {shown}", "delta", "", ""


def _row(board: BoardCompared, one: Judged) -> tuple[str, ...]:
    if one.old is None or one.new is None:
        return board.board, "-", "-", "-", "", f"{one.verdict}: {one_line(one.why)}"
    return (
        board.board,
        _value(one, one.old, one.old_spread),
        _value(one, one.new, one.new_spread),
        _delta(one),
        f"({f'p={one.p:.3f} ' if one.p is not None else ''}n={one.n_old}+{one.n_new})",
        one.verdict,
    )


def _value(one: Judged, value: float, spread: float | None) -> str:
    if one.kind == "counts":
        return f"{value:,.0f}"
    shown = amount(one.metric, value)
    if one.p is None:
        return shown
    return f"{shown} ± {f'{100 * spread:.0f}%' if spread is not None else '∞':>3}"


def _delta(one: Judged) -> str:
    if one.verdict == "same":
        return "~"
    if one.change is None or one.old is None or one.new is None:
        return "?"
    tiny = abs(one.change) < 0.00005
    return f"{one.new - one.old:+,.0f}" if one.kind == "counts" and tiny else f"{100 * one.change:+.2f}%"


def _geomean_row(one: Geomean) -> tuple[str, ...]:
    return GEOMEAN, amount(one.metric, one.old), amount(one.metric, one.new), f"{100 * one.change:+.2f}%", "", ""


def _remarks(comparison: Comparison) -> Iterator[str]:
    for board in comparison.boards:
        if board.why:
            yield f"{board.board}: {'broke' if board.broke else 'not comparable'}: {one_line(board.why)}"
        for line in (*board.differs, *board.notes):
            yield f"{board.board}: {one_line(line)}"
    for side, names in (("OLD", comparison.only_old), ("NEW", comparison.only_new)):
        if names:
            yield f"only in {side}: {', '.join(names)}"
