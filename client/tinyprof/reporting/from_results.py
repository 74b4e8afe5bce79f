"""A report's content from a results file of `tinyprof benchmark`. Pure."""

import datetime as dt
from collections.abc import Iterator

from tinyprof.benchmarking.results_file import BoardResults, Results, RunMade
from tinyprof.reporting.content import Board, Content, Run


def content_of(results: Results, file_name: str, title: str, made_ns: int) -> Content:
    """What a page of the file shows; `made_ns` is when the page is made. Raises ValueError for a time that is none."""
    machine = results.machine
    where = ", ".join(word for word in (machine.cpu, machine.system) if word)
    source = f"{file_name}: a benchmark by tinyprof {results.tinyprof}{f' on {where}' if where else ''}"
    return Content(title, made_ns, source, [_board(board) for board in results.boards], list(_notes(results)))


def _notes(results: Results) -> Iterator[str]:
    if not results.complete:
        yield f"Incomplete: {results.why}"


def _board(board: BoardResults) -> Board:
    runs = sorted((_run(run) for run in board.runs), key=lambda run: run.time_ns)
    problems = [f"run {failure.run} {failure.state}: {failure.why or 'no reason given'}" for failure in board.failures]
    return Board(board.board, runs, problems=problems)


def _run(run: RunMade) -> Run:
    """A run at its agent's time; one that was made here at the time that it ended."""
    time_ns = run.recorded_ns or round(dt.datetime.fromisoformat(run.ended).timestamp() * 1e9)
    return Run(time_ns, run.result, run.recorded == "estimated")
