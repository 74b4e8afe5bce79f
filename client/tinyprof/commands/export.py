"""`tinyprof export`: stored results as rows, for whoever loads them elsewhere."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyprof.options import board_argument, broker_address, broker_option, json_option, metric_argument, to_seconds
from tinyprof.terminal import CheckFailed, ProgressLine, WrongUse, emit_json

if TYPE_CHECKING:
    from tinyprof.board_names import BoardRef
    from tinyprof.fleet import Fleet
    from tinyprof_protocol.records import Record

ROWS = ("csv", "jsonl", "parquet")
FORMATS = (*ROWS, "llama-bench", "markdown")
_SUFFIXES = {"csv": "csv", "jsonl": "jsonl", "parquet": "parquet", "md": "markdown"}


@click.command("export")
@board_argument(required=False)
@metric_argument(required=False)
@click.option("--all", "every", is_flag=True, help="Every board of the fleet.")
@click.option(
    "--since", "since_s", callback=to_seconds, metavar="DURATION", help="How far back.  [default: everything]"
)
@click.option("--format", "form", type=click.Choice(FORMATS), help="[default: that of the file's name, else csv]")
@click.option("--raw", is_flag=True, help="A row a repetition, and not a row a run.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Instead of stdout.")
@broker_option
@json_option
def command(
    board: str | None, metric: str | None, every: bool, since_s: float | None, form: str | None, raw: bool,
    output: Path | None, broker: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Writes stored results as rows.

    A row a run, oldest first, with its figures (those of METRIC alone, where it is given) and what they depend on.
    """
    from tinyprof.exporting.documents import writer_of
    from tinyprof.exporting.rows import Layout
    from tinyprof.exporting.writers import MissingPackage
    from tinyprof.fleet import Fleet
    from tinyprof.output_file import output_file
    from tinyprof_protocol.counts_text import some

    if every and board is not None and metric is None:
        board, metric = None, board
    form = form or _format_of(output)
    metric = _checked(board, metric, every=every, raw=raw)
    if form not in ROWS and (raw or metric is not None):
        raise WrongUse(f"{form} has its own figures: leave {'--raw' if raw else 'the metric'} out")
    if output is None and (as_json or form == "parquet"):
        raise WrongUse(f"{'--json' if as_json else 'parquet'} needs --output FILE")
    with Fleet(broker_address(broker)) as fleet, ProgressLine() as progress:
        boards = _boards(fleet, board)
        with output_file(output) as stream:
            try:
                writer = writer_of(form, stream, Layout(raw, metric))
            except MissingPackage as why:
                raise CheckFailed(str(why)) from None
            rows = 0
            for ref, records in _pages(fleet, boards, since_s):
                rows += writer.take(ref, records)
                progress.show(f"{ref}: {some(rows, 'row')}")
            writer.close()
    if as_json:
        emit_json({"output": str(output), "format": form, "boards": [str(ref) for ref in boards], "rows": rows})
    elif output is not None:
        click.echo(
            f"{some(rows, 'row')} of {some(len(boards), 'board')} {'is' if rows == 1 else 'are'} in {output}", err=True
        )


def _checked(board: str | None, metric: str | None, *, every: bool, raw: bool) -> str | None:
    """The metric, if what was asked for can be answered. Raises WrongUse."""
    from tinyprof.metric_names import UnknownMetric, check_metric

    if every == (board is not None):
        raise WrongUse("name one board, or give --all for every board")
    if raw and metric is not None:
        raise WrongUse("--raw has the times of each repetition and no metrics: leave one of them out")
    try:
        return None if metric is None else check_metric(metric).name
    except UnknownMetric as why:
        raise WrongUse(f"{why}" + ("; with --all no board is named" if every else "")) from None


def _format_of(output: Path | None) -> str:
    suffix = "" if output is None else output.suffix.removeprefix(".").lower()
    return _SUFFIXES.get(suffix, "csv")


def _boards(fleet: "Fleet", board: str | None) -> "list[BoardRef]":
    from tinyprof.board_names import BoardRef, parse_full

    if board is not None:
        return [parse_full(board) or fleet.find(board)]
    found = fleet.boards()
    for gap in found.gaps:
        click.echo(f"incomplete: {gap}", err=True)
    return [BoardRef(one.node, one.board) for one in found.boards]


def _pages(
    fleet: "Fleet", boards: "Sequence[BoardRef]", since_s: float | None
) -> "Iterator[tuple[BoardRef, list[Record]]]":
    for ref in boards:
        for records in fleet.results(str(ref), since_s):
            yield ref, records
