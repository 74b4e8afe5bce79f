"""What records say to whoever follows what is stored: gathered while they are decoded, told once they are stored."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from tinyprof_collector.board_history import BoardHistory, BoardKey
from tinyprof_collector.cache.key import KnownKeys
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.records import Record, Result, Sample
from tinyprof_protocol.series import KnownSeries

_time_of = attrgetter("time_ns")


@dataclass(slots=True)
class Known:
    """What is made once for many results that are alike."""

    series: KnownSeries = field(default_factory=KnownSeries)
    keys: KnownKeys = field(default_factory=KnownKeys)


@dataclass(slots=True)
class News:
    """Of records of any agents. Those of an agent's own host have no board."""

    boards: dict[BoardKey, BoardHistory] = field(default_factory=dict)
    """Their `last_seen_ns` is the newest record's own time."""
    of_jobs: list[Arrival] = field(default_factory=list)
    """Results and events that belong to a job, with their records."""
    new: list[Arrival] = field(default_factory=list)
    """All that are newly stored."""
    held: list[Arrival] = field(default_factory=list)
    """Those that came while the stores held them already: they are counted nowhere."""
    _answers: dict[tuple[str, bytes, str], tuple[int, Arrival]] = field(default_factory=dict)

    def add(self, arrivals: Sequence[Arrival], known: Known) -> None:
        """Takes records of one agent while they are decoded."""
        self.new.extend(arrivals)
        by_board: dict[str, list[Record]] = {}
        for arrival in arrivals:
            record = arrival.kept or arrival.record
            body = record.body
            if body.board in by_board:
                by_board[body.board].append(record)
            elif body.board is not None:
                by_board[body.board] = [record]
            if not isinstance(body, Sample):
                self._add_answer(arrival, record, known)
        node = arrivals[0].node if arrivals else ""
        for board, its in by_board.items():
            history = self.boards.get((node, board))
            if history is None:
                history = self.boards[node, board] = BoardHistory()
            history.add(its, max(map(_time_of, its)), known.series)

    def add_held(self, arrivals: Sequence[Arrival], known: Known) -> None:
        """Takes records that were stored before: they may still be news of a job, and answer what is asked."""
        self.held.extend(arrivals)
        for arrival in arrivals:
            self._add_answer(arrival, arrival.record, known)

    def answers(self) -> Iterable[Arrival]:
        """Of the results of an agent that would answer the same request, the newest of each verdict."""
        return [arrival for _, arrival in self._answers.values()]

    def _add_answer(self, arrival: Arrival, record: Record, known: Known) -> None:
        body = record.body
        if isinstance(body, Sample):
            return
        if body.job_id is not None:
            self.of_jobs.append(_with(arrival, record))
        if isinstance(body, Result) and body.suite_terms:
            key = known.keys.of(arrival.node, body)
            if key is not None:
                place = arrival.node, key, body.verdict
                there = self._answers.get(place)
                if there is None or record.time_ns >= there[0]:
                    self._answers[place] = record.time_ns, _with(arrival, record)


def _with(arrival: Arrival, record: Record) -> Arrival:
    """An arrival that keeps its record, whatever becomes of the one given."""
    return Arrival(arrival.node, arrival.epoch, arrival.seq, arrival.data, record)
