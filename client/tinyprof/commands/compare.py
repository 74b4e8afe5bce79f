"""`tinyprof compare OLD.json NEW.json`: what became faster or slower, and whether that can be told from noise."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyprof.options import json_option
from tinyprof.terminal import CheckFailed, WrongUse, emit_json

if TYPE_CHECKING:
    from tinyprof.comparison.comparison import BoardRuns, Comparison


def _to_share(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """`5%` or `0.05` as a share of 1. Raises BadParameter."""
    if value is None:
        return None
    text = value.strip()
    try:
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 10:
        raise click.BadParameter(f"{value!r} is no share: write 5% or 0.05")
    return share


@click.command("compare")
@click.argument("old", type=click.Path(path_type=Path), metavar="OLD.json")
@click.argument("new", type=click.Path(path_type=Path), metavar="NEW.json")
@click.option("--effect", default="5%", show_default=True, callback=_to_share, metavar="SHARE",
              help="The smallest change worth telling; less is the same.")  # fmt: skip
@click.option("--fail-on", callback=_to_share, metavar="SHARE",
              help="Exit 1 where something became worse by so much.  [default: that of --effect]")  # fmt: skip
@click.option("--metric", "metrics", multiple=True, metavar="METRIC", help="Only this metric; may be repeated.")
@click.option("--markdown", is_flag=True, help="Print Markdown tables, for a README or a pull request.")
@json_option
def command(
    old: Path, new: Path, effect: float, fail_on: float | None, metrics: tuple[str, ...], markdown: bool, as_json: bool
) -> int:
    """Compares two results files.

    OLD.json and NEW.json are files of 'tinyprof benchmark'. Exit 1 on a regression, or where nothing could be compared.
    """
    from tinyprof.comparison.comparison import compare
    from tinyprof.comparison.report import as_json as plain
    from tinyprof.comparison.report import as_markdown, as_text

    if markdown and as_json:
        raise WrongUse("--markdown and --json are two forms of the same: leave one of them out")
    _check_metrics(metrics)
    limit = effect if fail_on is None else fail_on
    found = compare(_boards(old), _boards(new), metrics=metrics, effect=min(effect, limit))
    if as_json:
        emit_json({"effect": min(effect, limit), "fail_on": limit} | plain(found, limit))
    else:
        click.echo(as_markdown(found) if markdown else as_text(found))
    return _exit_code(found, limit)


def _check_metrics(names: tuple[str, ...]) -> None:
    from tinyprof.metric_names import UnknownMetric, check_metric

    try:
        for name in names:
            check_metric(name)
    except UnknownMetric as why:
        raise WrongUse(str(why)) from None


def _boards(path: Path) -> "dict[str, BoardRuns]":
    from tinyprof.benchmarking.results_file import BadResults, read_results
    from tinyprof.comparison.comparison import BoardRuns

    try:
        results = read_results(path)
    except BadResults as why:
        raise WrongUse(str(why)) from None
    if not results.complete:
        click.echo(f"{path} is incomplete: {results.why}", err=True)
    return {
        board.board: BoardRuns(board.results, [f"{one.state}: {one.why}" for one in board.failures])
        for board in results.boards
    }


def _exit_code(found: "Comparison", limit: float) -> int:
    regressions = found.regressions(limit)
    if regressions:
        more = f", and {len(regressions) - 1} more" if len(regressions) > 1 else ""
        click.echo(f"regression: {regressions[0]}{more}", err=True)
        return 1
    if not found.boards:
        raise CheckFailed("the two files have no board in common: nothing was compared")
    if not found.compared:
        raise CheckFailed("nothing could be compared: see above why")
    return 0
