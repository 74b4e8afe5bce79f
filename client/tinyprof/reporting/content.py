"""What a report shows, as plain data, and which of it is chosen. Pure.

Figures of runs that cannot be compared never stand together: a board is shown by one series of runs, the others are
listed apart.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from tinyprof_platforms.catalogue import CatalogueError, find_platform
from tinyprof_protocol.records import Figure, Result
from tinyprof_protocol.series import series_of

VERDICTS: Final = ("valid", "unstable", "invalid")
MAX_GAPS: Final = 50_000
MAX_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class Run:
    """A result with its wall time; `time_estimated` where its agent had no clock to trust."""

    time_ns: int
    result: Result
    time_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A board's runs, oldest first, as far as they were loaded: `left_out` says whether there are older ones."""

    name: str
    runs: Sequence[Run]
    left_out: bool = False
    problems: Sequence[str] = ()
    """Runs that have no result, a line each."""


@dataclass(frozen=True, slots=True)
class Content:
    """All that a report is made of. `made_ns` is when, `source` where the results are from."""

    title: str
    made_ns: int
    source: str
    boards: Sequence[Board]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A board as it is shown: the runs of one series, and those of others that cannot be compared with them."""

    board: Board
    runs: Sequence[Run]
    others: Sequence[Sequence[Run]] = ()
    counts: dict[str, int] = field(default_factory=dict)
    """Of all its runs, by verdict."""

    @property
    def newest(self) -> Result:
        """The newest result that is not invalid, else the newest of all."""
        return next(
            (run.result for run in reversed(self.runs) if run.result.verdict != "invalid"), self.runs[-1].result
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of something a platform has, and where that is said."""

    bytes: int
    source: str


def shown(board: Board) -> Shown | None:
    """How a board with runs is shown: by the series of its newest scheduled run, else of its newest; else None."""
    if not board.runs:
        return None
    by_series: dict[str, list[Run]] = {}
    for run in board.runs:
        by_series.setdefault(series_of(run.result), []).append(run)
    standing = next((run for run in reversed(board.runs) if run.result.job_id is None), board.runs[-1])
    chosen = series_of(standing.result)
    others = [runs for series, runs in by_series.items() if series != chosen]
    counts = Counter(run.result.verdict for run in board.runs)
    return Shown(board, by_series[chosen], others, {name: counts.get(name, 0) for name in VERDICTS})


def middle(runs: Iterable[Run], metric: str) -> float | None:
    """The median of a metric over runs that are not invalid."""
    values = [
        run.result.figures[metric].value
        for run in runs
        if run.result.verdict != "invalid" and metric in run.result.figures
    ]
    return median(values) if values else None


def metrics_of(runs: Iterable[Run]) -> list[str]:
    """Metrics that any of the runs has."""
    return list(dict.fromkeys(name for run in runs for name in run.result.figures))


def figure_of(result: Result, metric: str) -> Figure | None:
    """A result's figure; None for one that it does not have, or that an invalid run may not vouch for."""
    return None if result.verdict == "invalid" else result.figures.get(metric)


def gaps_of(runs: Sequence[Run]) -> list[int]:
    """Raw gaps between tokens, us, of the newest runs that are not invalid, as many as are kept."""
    gaps: list[int] = []
    for run in reversed(runs):
        if run.result.verdict != "invalid" and len(gaps) < MAX_GAPS:
            gaps += run.result.itl_us
    return gaps[:MAX_GAPS]


def reasons_of(runs: Iterable[Run]) -> list[tuple[str, int]]:
    """Why runs were not valid, the most frequent first, with how often."""
    counted = Counter(reason for run in runs if run.result.verdict != "valid" for reason in run.result.reasons)
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:MAX_REASONS]


def limits_of(result: Result) -> dict[str, Limit]:
    """What the platform has of RAM and of flash, by metric; nothing for a platform that is not known."""
    name = result.build.stands_for or result.build.platform
    try:
        _, known = find_platform(name)
    except CatalogueError:
        return {}
    limits = {"ram_peak_bytes": Limit(known.ram_bytes, f"largest piece of RAM of {known.title}")}
    if known.flash.where != "none":
        limits["flash_bytes"] = Limit(known.flash.bytes, f"{known.flash.where} flash of {known.title}")
    return {name: limit for name, limit in limits.items() if limit.bytes}
