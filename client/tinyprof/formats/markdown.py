"""Results as a Markdown table, for a README. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from tinyprof.comparison.samples import samples
from tinyprof.metric_names import column_title
from tinyprof.terminal import one_line
from tinyprof_protocol.figures_text import amount
from tinyprof_protocol.records import Result

COLUMNS: Final = (
    "ttft_ms", "decode_tps", "e2e_ms", "inference_ms", "instructions_per_token", "model_cycles_per_token",
    "energy_mj_per_token", "ram_peak_bytes", "flash_bytes",
)  # fmt: skip


def results_table(results: Mapping[str, Sequence[Result]]) -> str:
    """A row a board: the medians over its runs that are not invalid, `~` where a figure is an estimate.

    Columns that no board has are left out; a board whose every run is invalid has its row, without figures.
    """
    usable = {board: [one for one in runs if one.verdict != "invalid"] for board, runs in results.items()}
    columns = [name for name in COLUMNS if any(figure_text(runs, name) for runs in usable.values())]
    head = ["board", "platform", "model", "engine", "verdict", *(column_title(name, ", ") for name in columns)]
    lines = [markdown_row(head), "|" + "---|" * 5 + "---:|" * len(columns)]
    for board, runs in results.items():
        if runs:
            figures = (figure_text(usable[board], name) or "-" for name in columns)
            lines.append(markdown_row([*_names(board, runs), *figures]))
    emulated = any(one.build.emulated for runs in usable.values() for one in runs)
    notes = ["", "`~` is an estimate: an emulator counts instructions, not time."] if emulated else []
    return "\n".join([*lines, *notes])


def figure_text(runs: Sequence[Result], metric: str) -> str:
    """The median of a metric over runs, in the unit that people read; empty where there is none."""
    values = samples(metric, runs)
    if values:
        return amount(metric, median(values))
    figures = [one.figures.get(metric) for one in runs]
    estimates = [figure.value for figure in figures if figure is not None and figure.estimated]
    return f"~{amount(metric, median(estimates))}" if estimates else ""


def worst_verdict(runs: Sequence[Result]) -> str:
    """The verdict of several runs: no better than the worst of them."""
    verdicts = {one.verdict for one in runs}
    return next((verdict for verdict in ("invalid", "unstable", "valid") if verdict in verdicts), "no run")


def markdown_row(cells: Sequence[str]) -> str:
    """A row of a table; what would end a cell or begin a tag is escaped."""
    return f"| {' | '.join(markdown_text(cell) for cell in cells)} |"


def markdown_text(text: str) -> str:
    """Text of any source as Markdown shows it, in one line."""
    return one_line(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _names(board: str, runs: Sequence[Result]) -> list[str]:
    build = runs[-1].build
    platform = build.platform + (" (emulated)" if build.emulated else "")
    return [board, platform, f"{build.model}, {build.quantisation}", build.engine, worst_verdict(runs)]
