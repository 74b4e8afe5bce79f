"""What the records of a board say, kept small. It may be gathered before they are stored, and merged then. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from tinyprof_collector.newest_runs import NewestRuns
from tinyprof_collector.stores.store import BoardLatest
from tinyprof_protocol.presence import SPARK_POINTS
from tinyprof_protocol.records import Record, Result, Sample
from tinyprof_protocol.series import KnownSeries, series_of

MAX_SERIES = 4
"""Series of a board whose newest runs are kept, so that its schedule may take turns with some suites."""

BoardKey = tuple[str, str]
"""Node and board."""


@dataclass(slots=True)
class SeriesRuns:
    """What is kept of a board's runs of one series: the newest result, and how the newest runs went."""

    result: Result | None = None
    result_ns: int = -(2**63)
    newest: NewestRuns = field(default_factory=NewestRuns)

    def add(self, results: Sequence[tuple[int, Result]]) -> None:
        """Takes results of the series with their times, in the order of time."""
        time_ns, newest = results[-1]
        if time_ns >= self.result_ns:
            self.result, self.result_ns = newest, time_ns
        # Of a long list only the newest can stay: the others are not even looked at.
        for time_ns, result in results[-SPARK_POINTS:]:
            decode = result.figures.get("decode_tps")
            self.newest.add(time_ns, result.verdict, decode.value if decode else None)

    def merge(self, other: "SeriesRuns") -> None:
        """Takes runs that were gathered apart."""
        if other.result is not None and other.result_ns >= self.result_ns:
            self.result, self.result_ns = other.result, other.result_ns
        self.newest.merge(other.newest)


@dataclass(slots=True)
class BoardHistory:
    """What the stored records of a board say, kept small: its newest runs by series, the newest sample, counts.

    One series stands for the board, because figures of several cannot be compared: that of its newest scheduled run, or
    of its newest run where none was scheduled.
    """

    series: str = ""
    """The series that stands for the board; empty before its first result."""
    scheduled_ns: int | None = None
    """The time of the newest run that no client asked for."""
    sample: Sample | None = None
    sample_ns: int | None = None
    last_seen_ns: int | None = None
    """The collector's time at which its last record was stored, or (after a restart) that record's own time."""
    runs: dict[str, SeriesRuns] = field(default_factory=dict)
    """By series, the one that was last added to at the end; at most `MAX_SERIES` of them after a merge."""
    verdicts: dict[str, int] = field(default_factory=dict)
    """Runs of every series."""

    def add(self, records: Sequence[Record], seen_ns: int, known: KnownSeries) -> None:
        """Takes records; they may come in any order, the newest by their own time are kept."""
        results: list[tuple[int, Result]] = []
        for record in records:
            body = record.body
            if isinstance(body, Result):
                results.append((record.time_ns, body))
            elif isinstance(body, Sample) and (self.sample_ns is None or record.time_ns >= self.sample_ns):
                self.sample, self.sample_ns = body, record.time_ns
        if results:
            self._add_results(results, known)
        self._see(seen_ns)

    def merge(self, said: "BoardHistory", seen_ns: int) -> None:
        """Takes what was gathered apart; only so many series are kept here."""
        if said.sample_ns is not None and (self.sample_ns is None or said.sample_ns >= self.sample_ns):
            self.sample, self.sample_ns = said.sample, said.sample_ns
        for verdict, count in said.verdicts.items():
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + count
        for series, runs in said.runs.items():
            kept = self.runs.pop(series, None) or SeriesRuns()
            kept.merge(runs)
            self.runs[series] = kept
        if said.scheduled_ns is not None and (self.scheduled_ns is None or said.scheduled_ns >= self.scheduled_ns):
            self.series, self.scheduled_ns = said.series, said.scheduled_ns
        self._show_newest()
        self._forget_series()
        self._see(seen_ns)

    def shown(self) -> SeriesRuns:
        """The runs of the series that stands for the board."""
        return self.runs.get(self.series) or SeriesRuns()

    def _add_results(self, results: list[tuple[int, Result]], known: KnownSeries) -> None:
        by_series = self._count(results, known)
        for series, its in by_series.items():
            kept = self.runs.pop(series, None) or SeriesRuns()
            kept.add(its)
            self.runs[series] = kept
        self._show_newest()

    def _see(self, seen_ns: int) -> None:
        if self.last_seen_ns is None or seen_ns > self.last_seen_ns:
            self.last_seen_ns = seen_ns

    def _show_newest(self) -> None:
        if self.scheduled_ns is None and self.runs:
            self.series = max(self.runs, key=lambda series: self.runs[series].result_ns)

    def _forget_series(self) -> None:
        if len(self.runs) > MAX_SERIES:
            others = [series for series in self.runs if series != self.series]
            for series in others[: len(self.runs) - MAX_SERIES]:
                del self.runs[series]

    def _count(self, results: list[tuple[int, Result]], known: KnownSeries) -> dict[str, list[tuple[int, Result]]]:
        """Counts verdicts and looks for the newest scheduled run; the results by their series, in the order of time."""
        if len(results) > 1:
            results.sort(key=itemgetter(0))
        verdicts = self.verdicts
        by_series: dict[str, list[tuple[int, Result]]] = {}
        for one in results:
            time_ns, result = one
            verdicts[result.verdict] = verdicts.get(result.verdict, 0) + 1
            series = known.of(result)
            its = by_series.get(series)
            if its is None:
                its = by_series[series] = []
            its.append(one)
            if result.job_id is None and (self.scheduled_ns is None or time_ns >= self.scheduled_ns):
                self.series, self.scheduled_ns = series, time_ns
        return by_series


def history_of(latest: BoardLatest, now_ns: int) -> BoardHistory:
    """A board as the store knows it."""
    history = BoardHistory(verdicts={"valid": latest.valid, "unstable": latest.unstable, "invalid": latest.invalid})
    times = []
    if latest.result is not None and isinstance(latest.result.body, Result):
        history.series, history.scheduled_ns = series_of(latest.result.body), latest.scheduled_ns
        shown = SeriesRuns(latest.result.body, latest.result.time_ns, NewestRuns(latest.newest))
        history.runs[history.series] = shown
        times.append(shown.result_ns)
    if latest.sample is not None and isinstance(latest.sample.body, Sample):
        history.sample, history.sample_ns = latest.sample.body, latest.sample.time_ns
        times.append(latest.sample.time_ns)
    history.last_seen_ns = min(max(times), now_ns) if times else None
    return history
