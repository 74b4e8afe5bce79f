"""`tinyprof convert RESULTS.json --to FORMAT`: a results file in the forms that others read."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyprof.options import json_option
from tinyprof.terminal import CheckFailed, WrongUse, emit_json

if TYPE_CHECKING:
    from tinyprof.benchmarking.results_file import BoardResults, Results

FORMATS = ("llama-bench", "markdown", "badge-svg", "badge-json")


@click.command("convert")
@click.argument("results", type=click.Path(path_type=Path), metavar="RESULTS.json")
@click.option("--to", "form", type=click.Choice(FORMATS), required=True, help="Which form.")
@click.option("--boards", metavar="B,...", help="These boards of the file.  [default: all]")
@click.option("--metric", default="decode_tps", show_default=True, metavar="METRIC", help="What a badge shows.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Instead of stdout.")
@json_option
def command(results: Path, form: str, boards: str | None, metric: str, output: Path | None, as_json: bool) -> None:
    """Turns a results file into another form.

    RESULTS.json is a file of 'tinyprof benchmark'; the form is llama-bench's JSON, a Markdown table, or a badge.
    """
    from tinyprof.benchmarking.results_file import BadResults, read_results
    from tinyprof.output_file import output_file

    try:
        read = read_results(results)
    except BadResults as why:
        raise WrongUse(str(why)) from None
    text = _converted(read, _chosen(read, boards), form, metric)
    if output is not None:
        with output_file(output) as stream:
            stream.write(text.encode())
    if as_json:
        emit_json({"format": form, "output": None if output is None else str(output), "text": text})
    elif output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"written to {output}", err=True)


def _chosen(results: "Results", boards: str | None) -> "list[BoardResults]":
    """The boards of the file that are named, in the file's order; a board's own name will do where it is unique."""
    import difflib

    if boards is None:
        return results.boards
    chosen = []
    for name in filter(None, (part.strip() for part in boards.split(","))):
        found = [one for one in results.boards if name in (one.board, one.board.rpartition("/")[2])]
        if len(found) != 1:
            there = [one.board for one in results.boards]
            near = difflib.get_close_matches(name, there, 3) or there[:3]
            many = "more than one board of the file is" if found else "no board of the file is"
            raise WrongUse(f"{many} called {name!r}; there are {', '.join(near) or 'none'}")
        chosen += found
    return chosen


def _converted(results: "Results", boards: "list[BoardResults]", form: str, metric: str) -> str:
    import json

    if form == "llama-bench":
        return json.dumps(_tests(results, boards), indent=2, ensure_ascii=False) + "\n"
    if form == "markdown":
        from tinyprof.formats.markdown import results_table

        return results_table({board.board: board.results for board in boards}) + "\n"
    return _badge(boards, form, metric)


def _badge(boards: "list[BoardResults]", form: str, metric: str) -> str:
    import json

    from tinyprof.formats.badge import badge_endpoint, badge_svg, badge_text
    from tinyprof.metric_names import UnknownMetric, check_metric

    try:
        check_metric(metric)
    except UnknownMetric as why:
        raise WrongUse(str(why)) from None
    if len(boards) != 1:
        raise WrongUse(f"a badge is of one board, and these are {len(boards)}: name one with --boards")
    words = badge_text(boards[0].board.rpartition("/")[2], metric, boards[0].results)
    return badge_svg(*words) if form == "badge-svg" else json.dumps(badge_endpoint(*words), ensure_ascii=False) + "\n"


def _tests(results: "Results", boards: "list[BoardResults]") -> list[dict[str, object]]:
    import datetime as dt

    from tinyprof.formats.llama_bench import TimedRun, llama_bench_tests
    from tinyprof.formats.model_sizes import shipped_size

    tested = []
    for board in boards:
        cpu = results.machine.cpu if "/" not in board.board and board.driver == "host" else ""
        for run in board.runs:
            time_ns = run.recorded_ns or round(dt.datetime.fromisoformat(run.ended).timestamp() * 1e9)
            tested.append(TimedRun(run.result, time_ns, cpu))
    tests = llama_bench_tests(tested, shipped_size)
    if not tests:
        raise CheckFailed("no run of these boards was timed: llama-bench has no form for counts of an emulator")
    return tests
