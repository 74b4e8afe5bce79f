"""What is said of a benchmark at its end: a line a board, and what changed from its first runs to its last. Pure."""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final

from tinyprof.benchmarking.results_file import BoardResults, Results
from tinyprof.comparison.judging import judge
from tinyprof.comparison.samples import samples
from tinyprof.formats.markdown import figure_text
from tinyprof.metric_names import column_title
from tinyprof.terminal import one_line, table
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Result

HEAD: Final = ("board", "suite", "runs", "valid", "unstable", "invalid", "failed")
_COLUMNS: Final = (
    "ttft_ms", "decode_tps", "e2e_ms", "inference_ms", "instructions_per_token", "model_cycles_per_token",
    "ram_peak_bytes",
)  # fmt: skip
DRIFT_FROM_RUNS: Final = 12
"""A third of them is four runs, and fewer cannot tell a drift from what differs from run to run."""
_DRIFTS: Final = ("ttft_ms", "decode_tps")


def as_text(results: Results) -> str:
    """A table with the median of each metric over a board's runs; `~` marks what was estimated."""
    columns = [name for name in _COLUMNS if any(_middle(board, name) for board in results.boards)]
    head = (*HEAD, *map(column_title, columns))
    rows = [(*_counts(board), *(_middle(board, name) or "-" for name in columns)) for board in results.boards]
    lines = [table(head, rows, right="ll" + "r" * (len(head) - 2)), *remarks(results)]
    return "\n".join(lines)


def as_json(results: Results, output: str) -> dict[str, Any]:
    """For programs; the file itself has everything."""
    return {
        "output": output,
        "complete": results.complete,
        "why": results.why,
        "boards": [
            {
                "board": board.board,
                "suite": board.suite,
                "runs_asked": board.runs_asked,
                "runs": len(board.runs),
                **{verdict: _with_verdict(board, verdict) for verdict in ("valid", "unstable", "invalid")},
                "failures": board.failures,
                "drift": drift(board.results),
                "medians": {name: value for name in _COLUMNS if (value := _value(board, name)) is not None},
            }
            for board in results.boards
        ],
    }


def remarks(results: Results) -> Iterator[str]:
    """What a person should know beside the figures, a line each."""
    for board in results.boards:
        for failure in board.failures[:3]:
            yield f"{board.board}: run {failure.run} {failure.state}: {one_line(failure.why) or 'no reason given'}"
        for verdict in ("unstable", "invalid"):
            of_it = [one for one in board.results if one.verdict == verdict]
            if of_it:
                reason = of_it[0].reasons[0] if of_it[0].reasons else "no reason given"
                yield f"{board.board}: {len(of_it)} of {some(len(board.runs), 'run')} {verdict}: {one_line(reason)}"
        throttled = sum(one.conditions.throttled is True for one in board.results)
        if throttled:
            yield f"{board.board}: throttled in {throttled} of {some(len(board.runs), 'run')}"
        for line in drift(board.results):
            yield f"{board.board}: {line}"
    if not results.complete:
        yield f"incomplete: {results.why}"


def drift(results: Sequence[Result]) -> list[str]:
    """What differs between the first third of a board's runs and the last, a line each; nothing for few runs."""
    usable = [result for result in results if result.verdict != "invalid"]
    if len(usable) < DRIFT_FROM_RUNS:
        return []
    third = len(usable) // 3
    lines = []
    for metric in _DRIFTS:
        found = judge(metric, usable[:third], usable[-third:])
        if found.verdict in ("faster", "slower") and found.change is not None:
            lines.append(
                f"drift: {METRICS[metric].label} {found.verdict} by {100 * abs(found.change):.1f}% from the first "
                f"{some(third, 'run')} to the last {third} (p={found.p or 0:.3f})"
                f"{_hotter(usable[:third], usable[-third:])}"
            )
    return lines


def _hotter(first: Sequence[Result], last: Sequence[Result]) -> str:
    temperatures = [
        [one.conditions.temperature_c for one in side if one.conditions.temperature_c is not None]
        for side in (first, last)
    ]
    if not all(temperatures):
        return ""
    before, after = map(median, temperatures)
    return f", at {before:.0f} °C and {after:.0f} °C"


def _counts(board: BoardResults) -> tuple[str, ...]:
    verdicts = (str(_with_verdict(board, verdict)) for verdict in ("valid", "unstable", "invalid"))
    return (board.board, board.suite, f"{len(board.runs)}/{board.runs_asked}", *verdicts, str(len(board.failures)))


def _with_verdict(board: BoardResults, verdict: str) -> int:
    return sum(one.verdict == verdict for one in board.results)


def _value(board: BoardResults, metric: str) -> float | None:
    """The median over the runs that are not invalid, measured ones only."""
    values = samples(metric, [one for one in board.results if one.verdict != "invalid"])
    return median(values) if values else None


def _middle(board: BoardResults, metric: str) -> str:
    return figure_text([one for one in board.results if one.verdict != "invalid"], metric)
