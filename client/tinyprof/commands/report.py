"""`tinyprof report`: one page of HTML that can be shown to anybody."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyprof.options import broker_address, broker_option, json_option, to_seconds
from tinyprof.terminal import ProgressLine, WrongUse, emit_json

if TYPE_CHECKING:
    from tinyprof.board_names import BoardRef
    from tinyprof.fleet import Fleet
    from tinyprof.reporting.content import Content

DEFAULT_SINCE_S = 7 * 86400.0


@click.command("report")
@click.argument("results", type=click.Path(path_type=Path), metavar="[RESULTS.json]", required=False)
@click.option("--boards", metavar="B,...", help="These boards.  [default: all]")
@click.option("--since", "since_s", callback=to_seconds, metavar="DURATION", help="How far back.  [default: 7d]")
@click.option("--title", default="Language models on edge boards", show_default=True, help="The page's heading.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default="report.html", show_default=True,
              metavar="FILE", help="Where the page goes.")  # fmt: skip
@broker_option
@json_option
def command(
    results: Path | None, boards: str | None, since_s: float | None, title: str, output: Path, broker: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Writes one HTML page of results.

    With plots, for reading and for showing: it needs no network and no script to be viewed. Of what the fleet's stores
    hold, or of RESULTS.json, a file of 'tinyprof benchmark'.
    """
    from tinyprof.fleet import Fleet
    from tinyprof.output_file import output_file
    from tinyprof.reporting.page import report_page
    from tinyprof_protocol.counts_text import some

    if results is not None:
        if boards is not None or since_s is not None:
            raise WrongUse("--boards and --since choose from the fleet; a results file is shown whole")
        content = _from_file(results, title)
    else:
        with Fleet(broker_address(broker)) as fleet, ProgressLine() as progress:
            content = _from_fleet(fleet, boards, since_s or DEFAULT_SINCE_S, title, progress)
    page = report_page(content)
    with output_file(output) as stream:
        stream.write(page.encode())
    runs = sum(len(board.runs) for board in content.boards)
    if as_json:
        emit_json({"output": str(output), "boards": [board.name for board in content.boards], "runs": runs})
    else:
        click.echo(
            f"{some(runs, 'run')} of {some(len(content.boards), 'board')} {'is' if runs == 1 else 'are'} in {output}",
            err=True,
        )


def _from_file(path: Path, title: str) -> "Content":
    from tinyprof.benchmarking.results_file import BadResults, read_results
    from tinyprof.reporting.from_results import content_of

    try:
        return content_of(read_results(path), path.name, title, time.time_ns())
    except BadResults as why:
        raise WrongUse(str(why)) from None


def _from_fleet(fleet: "Fleet", names: str | None, since_s: float, title: str, progress: ProgressLine) -> "Content":
    from tinyprof.durations import show_age
    from tinyprof.reporting.content import Content
    from tinyprof.reporting.from_fleet import load_board
    from tinyprof_protocol.counts_text import some

    refs, notes = _boards(fleet, names)
    boards = []
    for number, ref in enumerate(refs):

        def show(runs: int, ref: "BoardRef" = ref, number: int = number) -> None:
            progress.show(f"{number + 1} of {len(refs)}: {ref}, {some(runs, 'run')}")

        boards.append(load_board(ref, fleet.results(str(ref), since_s), show))
    older = [board.name for board in boards if board.left_out]
    if older:
        notes.append(
            f"Only the newest {some(len(boards[0].runs), 'run')} of a board are here; {', '.join(older[:5])} has more."
        )
    return Content(
        title, time.time_ns(), f"What the stores of the fleet hold of the last {show_age(since_s)}", boards, notes
    )


def _boards(fleet: "Fleet", names: str | None) -> "tuple[list[BoardRef], list[str]]":
    """The boards that were asked for, and what is not complete about them."""
    from tinyprof.board_names import BoardRef, parse_full
    from tinyprof.reporting.from_fleet import MAX_BOARDS
    from tinyprof_protocol.counts_text import some

    if names is not None:
        asked = [name for name in (part.strip() for part in names.split(",")) if name]
        return [parse_full(name) or fleet.find(name) for name in dict.fromkeys(asked)], []
    found = fleet.boards()
    refs = [BoardRef(one.node, one.board) for one in found.boards]
    notes = [f"Incomplete: {gap}." for gap in found.gaps]
    if len(refs) > MAX_BOARDS:
        notes.append(f"Only the first {MAX_BOARDS} of {some(len(refs), 'board')} are here; name others with --boards.")
    return refs[:MAX_BOARDS], notes
