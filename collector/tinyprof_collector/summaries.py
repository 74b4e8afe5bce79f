"""Summaries of boards: what a row of the fleet's table shows, made of stored records, presence and health.

A summary is published when it changed, at most once a second for each board, and all anew on each connect.
"""

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter

from msgspec.structs import replace

from tinyprof_collector.config import HealthConfig
from tinyprof_collector.health import BoardFacts, board_health
from tinyprof_collector.presence import Presence
from tinyprof_collector.stores.store import BoardLatest, RunSeen
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.presence import SPARK_POINTS, BoardSummary
from tinyprof_protocol.records import Record, Result, Sample
from tinyprof_protocol.series import KnownSeries, series_of

MIN_INTERVAL_S = 1.0
MAX_BOARDS = 20_000
MAX_AT_ONCE = 200
"""Summaries due at a time, so that acknowledgements find room in the connection between them."""
MAX_LOOKED_AT = 1000
"""Boards looked at in one call, so that none takes long."""
MAX_SERIES = 4
"""Series of a board whose newest runs are kept, so that its schedule may take turns with some suites."""
BoardKey = tuple[str, str]
"""Node and board."""


_time_of = attrgetter("time_ns")


@dataclass(slots=True)
class SeriesRuns:
    """What is kept of a board's runs of one series: the newest result, and how the newest runs went."""

    result: Result | None = None
    result_ns: int = -(2**63)
    newest: list[RunSeen] = field(default_factory=list)
    """The newest runs, oldest first."""

    def add(self, results: Sequence[tuple[int, Result]]) -> None:
        """Takes results of the series with their times, in the order of time."""
        time_ns, newest = results[-1]
        if time_ns >= self.result_ns:
            self.result, self.result_ns = newest, time_ns
        # Of a long list only the newest can stay: the others are not even looked at.
        for time_ns, result in results[-SPARK_POINTS:]:
            decode = result.figures.get("decode_tps")
            run = RunSeen(time_ns, result.verdict, decode.value if decode else None)
            if not self.newest or self.newest[-1].time_ns <= time_ns:
                self.newest.append(run)
            else:
                insort(self.newest, run, key=_time_of)
        del self.newest[:-SPARK_POINTS]

    def invalid_streak(self) -> int:
        """How many of the newest runs in a row are invalid."""
        streak = 0
        for run in reversed(self.newest):
            if run.verdict != "invalid":
                break
            streak += 1
        return streak


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
    """By series, the one that was last added to at the end; at most `MAX_SERIES` of them."""
    verdicts: dict[str, int] = field(default_factory=dict)
    """Runs of every series."""

    def add(self, records: Sequence[Record], seen_ns: int, known: KnownSeries) -> None:
        """Takes stored records; they may come in any order, the newest by their own time are kept."""
        results: list[tuple[int, Result]] = []
        for record in records:
            body = record.body
            if isinstance(body, Result):
                results.append((record.time_ns, body))
            elif isinstance(body, Sample) and (self.sample_ns is None or record.time_ns >= self.sample_ns):
                self.sample, self.sample_ns = body, record.time_ns
        if results:
            self._add_results(results, known)
        if self.last_seen_ns is None or seen_ns > self.last_seen_ns:
            self.last_seen_ns = seen_ns

    def shown(self) -> SeriesRuns:
        """The runs of the series that stands for the board."""
        return self.runs.get(self.series) or SeriesRuns()

    def _add_results(self, results: list[tuple[int, Result]], known: KnownSeries) -> None:
        by_series = self._count(results, known)
        for series, its in by_series.items():
            kept = self.runs.pop(series, None) or SeriesRuns()
            kept.add(its)
            self.runs[series] = kept
        if self.scheduled_ns is None:
            self.series = max(self.runs, key=lambda series: self.runs[series].result_ns)
        if len(self.runs) > MAX_SERIES:
            others = [series for series in self.runs if series != self.series]
            for series in others[: len(self.runs) - MAX_SERIES]:
                del self.runs[series]

    def _count(self, results: list[tuple[int, Result]], known: KnownSeries) -> dict[str, list[tuple[int, Result]]]:
        """Counts verdicts and looks for the newest scheduled run; the results by their series, in the order of time."""
        for _, result in results:
            self.verdicts[result.verdict] = self.verdicts.get(result.verdict, 0) + 1
        if len(results) > 1:
            results.sort(key=itemgetter(0))
        by_series: dict[str, list[tuple[int, Result]]] = {}
        for time_ns, result in results:
            series = known.of(result)
            by_series.setdefault(series, []).append((time_ns, result))
            if result.job_id is None and (self.scheduled_ns is None or time_ns >= self.scheduled_ns):
                self.series, self.scheduled_ns = series, time_ns
        return by_series


def history_of(latest: BoardLatest, now_ns: int) -> BoardHistory:
    """A board as the store knows it."""
    history = BoardHistory(verdicts={"valid": latest.valid, "unstable": latest.unstable, "invalid": latest.invalid})
    times = []
    if latest.result is not None and isinstance(latest.result.body, Result):
        history.series, history.scheduled_ns = series_of(latest.result.body), latest.scheduled_ns
        shown = SeriesRuns(latest.result.body, latest.result.time_ns, list(latest.newest))
        history.runs[history.series] = shown
        times.append(shown.result_ns)
    if latest.sample is not None and isinstance(latest.sample.body, Sample):
        history.sample, history.sample_ns = latest.sample.body, latest.sample.time_ns
        times.append(latest.sample.time_ns)
    history.last_seen_ns = min(max(times), now_ns) if times else None
    return history


@dataclass(slots=True)
class _Shown:
    summary: BoardSummary
    published_s: float


@dataclass(slots=True)
class Summaries:
    """The histories of all boards, and which summaries are due. Times are arguments; nothing is published here."""

    rules: HealthConfig
    boards: dict[BoardKey, BoardHistory] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """boards_over_bound: boards that there was no room for."""
    _touched: set[BoardKey] = field(default_factory=set)
    _shown: dict[BoardKey, _Shown] = field(default_factory=dict)
    _known: KnownSeries = field(default_factory=KnownSeries)

    def stored(self, node: str, records: Iterable[Record], now_ns: int, skew_ns: int = 0) -> None:
        """Takes records of a node that the stores have. Those of the agent's own host have no board and no summary.

        `skew_ns` is how far the agent's clock is ahead of the collector's.
        """
        by_board: dict[str, list[Record]] = {}
        for record in records:
            board = record.body.board
            if board is not None:
                by_board.setdefault(board, []).append(record)
        for board, its in by_board.items():
            history = self._history((node, board))
            if history is not None:
                # When it was made, by the collector's clock: a backlog that arrives now says nothing of now.
                history.add(its, min(now_ns, max(map(_time_of, its)) - skew_ns), self._known)

    def restore(self, key: BoardKey, history: BoardHistory) -> None:
        """Takes a board's history as the store had it at the start."""
        if self._history(key) is not None:
            self.boards[key] = history

    def let_go(self, is_left: Callable[[str], bool]) -> None:
        """Forgets the boards of nodes that are no longer ours; what is published of them stays as it is."""
        for key in [key for key in self.boards if is_left(key[0])]:
            del self.boards[key]
            self._shown.pop(key, None)
            self._touched.discard(key)

    def forget(self, key: BoardKey) -> bool:
        """Lets go of all that is known of a board; False where nothing is. It begins anew with its next word."""
        self._touched.discard(key)
        self._shown.pop(key, None)
        return self.boards.pop(key, None) is not None

    def touch(self, keys: Iterable[BoardKey]) -> None:
        """Boards whose presence or health may have changed."""
        for key in keys:
            self._history(key)

    def touch_all(self) -> None:
        """For changes that come with time alone: silence."""
        self._touched.update(self.boards)

    def forget_published(self) -> None:
        """On each connect: a broker that restarted remembers nothing, so all are due anew."""
        self._shown.clear()
        self._touched.update(self.boards)

    def due(self, presence: Presence, now_ns: int, now_s: float, most: int = MAX_AT_ONCE) -> list[BoardSummary]:
        """Summaries to publish now, at most `most`: changed since last published, and not within the last second.

        `now_s` is a monotonic clock. What is changed but too soon stays due for the next call.
        """
        due: list[BoardSummary] = []
        later = set()
        for _ in range(min(len(self._touched), MAX_LOOKED_AT)):
            if len(due) >= most:
                break
            key = self._touched.pop()
            shown = self._shown.get(key)
            if shown is not None and now_s - shown.published_s < MIN_INTERVAL_S:
                later.add(key)
                continue
            summary = self.summary(key, presence, now_ns)
            if shown is not None and replace(summary, time_ns=shown.summary.time_ns) == shown.summary:
                continue
            self._shown[key] = _Shown(summary, now_s)
            due.append(summary)
        self._touched |= later
        return due

    def waiting(self) -> int:
        """How many boards are still to be looked at."""
        return len(self._touched)

    def unpublished(self, summary: BoardSummary) -> None:
        """Tells that a summary could not be handed to the broker: it is due again."""
        key = (summary.node, summary.board)
        self._shown.pop(key, None)
        self._touched.add(key)

    def summary(self, key: BoardKey, presence: Presence, now_ns: int) -> BoardSummary:
        """A board as it is now."""
        node, name = key
        history = self.boards.get(key) or BoardHistory()
        agent = presence.agents.get(node)
        listed = presence.board(node, name)
        shown = history.shown()
        result = shown.result
        assessment = board_health(
            BoardFacts(
                agent=None if agent is None else agent.liveness(now_ns, self.rules.stale_intervals),
                presence=listed,
                since_ns=0 if agent is None else agent.board_since_ns.get(name, 0),
                last_seen_ns=history.last_seen_ns,
                verdict=None if result is None else result.verdict,
                verdict_reasons=() if result is None else result.reasons,
                invalid_streak=shown.invalid_streak(),
            ),
            now_ns,
            self.rules,
        )
        summary = BoardSummary(
            node=node,
            board=name,
            health=assessment.health,
            reasons=list(assessment.reasons),
            time_ns=now_ns,
            last_result_ns=None if result is None else shown.result_ns,
            last_seen_ns=history.last_seen_ns,
            readings={} if history.sample is None else history.sample.readings,
            spark=[run.decode_tps for run in shown.newest if run.decode_tps is not None],
            results=min(sum(history.verdicts.values()), MAX_COUNT),
            valid=history.verdicts.get("valid", 0),
            unstable=history.verdicts.get("unstable", 0),
            invalid=history.verdicts.get("invalid", 0),
        )
        if result is not None:
            summary = _with_result(summary, result)
        if listed is not None:
            summary = replace(
                summary,
                driver=listed.driver,
                platform=summary.platform or listed.platform,
                model=summary.model or listed.model,
                emulated=summary.emulated or listed.emulated,
                state=listed.state,
                interval_s=listed.interval_s,
                labels=listed.labels,
            )
        return summary

    def _history(self, key: BoardKey) -> BoardHistory | None:
        """The board's history, and it is looked at again; None where there is no room for one more board."""
        history = self.boards.get(key)
        if history is None:
            if len(self.boards) >= MAX_BOARDS:
                self.counts["boards_over_bound"] = self.counts.get("boards_over_bound", 0) + 1
                return None
            history = self.boards[key] = BoardHistory()
        self._touched.add(key)
        return history


def _with_result(summary: BoardSummary, result: Result) -> BoardSummary:
    build = result.build
    return replace(
        summary,
        platform=build.platform,
        stands_for=build.stands_for,
        emulated=build.emulated,
        model=build.model,
        quantisation=build.quantisation,
        engine=build.engine,
        verdict=result.verdict,
        golden=result.golden,
        figures=result.figures,
    )


def page(
    keys: Iterable[BoardKey], node: str | None, offset: int, limit: int, make: Callable[[BoardKey], BoardSummary]
) -> tuple[list[BoardSummary], int]:
    """A page of summaries by node and board, and how many there are in all."""
    wanted = sorted(key for key in keys if node is None or key[0] == node)
    return [make(key) for key in wanted[offset : offset + limit]], len(wanted)
