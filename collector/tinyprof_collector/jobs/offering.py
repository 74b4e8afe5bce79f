"""Runs that wait for any board: which are offered to other collectors, and which of theirs are taken. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from tinyprof_collector.jobs.entry import Entry, Run
from tinyprof_collector.jobs.store import MAX_OFFERED_JOBS, Offer
from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_collector.where import matches
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.presence import BoardPresence

MAX_OFFERED: Final = 256
"""Runs of one collector that are offered at a time, those first whose turn would be first."""
MAX_TAKEN: Final = 32
"""Runs of others that are taken at a time: requests of our own wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Room:
    """A board that nobody here has anything for, and how many runs it would be given now."""

    node: str
    presence: BoardPresence
    runs: int

    @property
    def board(self) -> BoardKey:
        """Node and name."""
        return self.node, self.presence.board


def offers_of(runs: Iterable[Run], entries: dict[bytes, Entry]) -> list[Offer]:
    """The runs that any board of a kind may make and that are with none, each with its jobs."""
    waiting = [
        run
        for run in runs
        if isinstance(run.target, Where)
        and run.place is None
        and not run.cancelling
        and len(run.members) <= MAX_OFFERED_JOBS
    ]
    first = nsmallest(MAX_OFFERED, waiting, key=lambda run: (-run.job.priority, run.job.deadline_ns, run.id))
    return [
        Offer(
            run.id,
            run.target,
            run.job.priority,
            run.job.deadline_ns,
            {one: entries[one].home[0] for one in run.members},
        )
        for run in first
        if isinstance(run.target, Where)
    ]


def wanted(offers: Iterable[Offer], rooms: Iterable[Room], now_ns: int) -> list[tuple[Offer, BoardKey]]:
    """The offers that boards with room take, each with its board: the highest priority first, then by deadline."""
    by_word = _by_word(rooms)
    left = {room.board: room.runs for room in by_word[None]}
    chosen: list[tuple[Offer, BoardKey]] = []
    for offer in sorted(offers, key=lambda one: (-one.priority, one.deadline_ns, one.run_id)):
        if len(chosen) >= MAX_TAKEN:
            break
        board = _first_that_fits(offer.where, by_word, left) if offer.deadline_ns > now_ns else None
        if board is not None:
            chosen.append((offer, board))
            left[board] -= 1
    return chosen


_Word = tuple[str, str] | None
"""What boards may be asked for by, and the value of it; None is of all."""


def _by_word(rooms: Iterable[Room]) -> dict[_Word, list[Room]]:
    """Boards by each word that they may be asked for: of thousands, those of a kind are found without a look at all."""
    found: dict[_Word, list[Room]] = {None: []}
    for room in rooms:
        board = room.presence
        place: list[_Word] = [None, ("site", room.node.partition(".")[0]), ("node", room.node), ("board", board.board)]
        for word in (*place, ("platform", board.platform), *(("label", label) for label in set(board.labels))):
            found.setdefault(word, []).append(room)
    return found


def _first_that_fits(
    where: Where, by_word: Mapping[_Word, list[Room]], left: Mapping[BoardKey, int]
) -> BoardKey | None:
    asked = [(name, value) for name in where.__struct_fields__ if (value := getattr(where, name)) is not None]
    fewest = min((by_word.get(word, []) for word in (None, *asked)), key=len)
    for room in fewest:
        if left[room.board] and matches(where, room.node, room.presence):
            return room.board
    return None
