"""Runs that wait for a board, and whose turn is next. Pure.

First by priority. Within a priority clients take turns, one run each, so that a thousand runs of one do not hold up
another's single one; each client's own runs go by deadline, then as they came. Deadlines are not compared between
clients: whoever named the nearest would go before everybody else.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tinyprof_protocol.jobs import Where

BoardKey = tuple[str, str]
"""Node and board."""
Target = BoardKey | Where
MAX_CLIENTS_REMEMBERED = 4096
MAX_STALE = 64


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits, with all that decides about its turn."""

    run_id: bytes
    client: str
    priority: int
    deadline_ns: int
    arrival: int
    """Rises with each run that comes; unique."""


_Heap = list[tuple[int, int, Waiting]]


@dataclass(slots=True)
class Lane:
    """The runs that wait for one board, or for any board of a kind."""

    _rings: dict[int, OrderedDict[str, _Heap]] = field(default_factory=dict)
    _alive: dict[bytes, int] = field(default_factory=dict)
    _stale: int = 0
    """How many in the heaps wait no longer, or elsewhere."""

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._alive

    def __len__(self) -> int:
        return len(self._alive)

    def put(self, waiting: Waiting) -> None:
        """Adds a run; one that waits already gets its new place."""
        self._stale += waiting.run_id in self._alive
        self._alive[waiting.run_id] = waiting.arrival
        heap = self._rings.setdefault(waiting.priority, OrderedDict()).setdefault(waiting.client, [])
        heapq.heappush(heap, (waiting.deadline_ns, waiting.arrival, waiting))
        self._tidy()

    def remove(self, run_id: bytes) -> bool:
        """Takes a run out; False if it does not wait here."""
        found = self._alive.pop(run_id, None) is not None
        self._stale += found
        self._tidy()
        return found

    def _tidy(self) -> None:
        """Drops what is stale once it is the greater part: where a board is away nobody takes anything."""
        if self._stale <= MAX_STALE + len(self._alive):
            return
        for ring in self._rings.values():
            for client, heap in ring.items():
                ring[client] = [one for one in heap if self._alive.get(one[2].run_id) == one[1]]
                heapq.heapify(ring[client])
            for client in [client for client, heap in ring.items() if not heap]:
                del ring[client]
        self._stale = 0

    def head(self) -> Waiting | None:
        """The run whose turn it is."""
        for priority in sorted(self._rings, reverse=True):
            ring = self._rings[priority]
            while ring:
                client, heap = next(iter(ring.items()))
                while heap and self._alive.get(heap[0][2].run_id) != heap[0][1]:
                    heapq.heappop(heap)
                    self._stale -= 1
                if heap:
                    return heap[0][2]
                del ring[client]
            del self._rings[priority]
        return None

    def take(self) -> Waiting | None:
        """Removes the run whose turn it is; its client goes to the end of the line."""
        head = self.head()
        if head is not None:
            ring = self._rings[head.priority]
            heapq.heappop(ring[head.client])
            ring.move_to_end(head.client)
            del self._alive[head.run_id]
        return head

    def order(self) -> Iterator[bytes]:
        """All runs in the order in which they would be taken if no more came."""
        copy = Lane({p: OrderedDict((c, list(h)) for c, h in ring.items()) for p, ring in self._rings.items()},
                    dict(self._alive))  # fmt: skip
        while (waiting := copy.take()) is not None:
            yield waiting.run_id


@dataclass(slots=True)
class Lanes:
    """All lanes by their target, and how long ago each client had its turn, whichever lane that was in."""

    lanes: dict[Target, Lane] = field(default_factory=dict)
    _turn: int = 0
    _served: OrderedDict[str, int] = field(default_factory=OrderedDict)

    def put(self, target: Target, waiting: Waiting) -> None:
        """Adds a run to the lane of its target."""
        self.lanes.setdefault(target, Lane()).put(waiting)

    def remove(self, target: Target, run_id: bytes) -> bool:
        """Takes a run out; False if it does not wait there."""
        lane = self.lanes.get(target)
        found = lane is not None and lane.remove(run_id)
        if lane is not None and not len(lane):
            del self.lanes[target]
        return found

    def wheres(self) -> list[Where]:
        """The targets that are kinds of boards."""
        return [target for target in self.lanes if isinstance(target, Where)]

    def take(self, targets: Iterable[Target]) -> bytes | None:
        """Removes the run whose turn it is among those of some targets."""
        heads = [
            (-head.priority, self._served.get(head.client, 0), head.deadline_ns, head.arrival, target)
            for target in targets
            if (lane := self.lanes.get(target)) is not None and (head := lane.head()) is not None
        ]
        if not heads:
            return None
        target = min(heads, key=lambda found: found[:4])[4]
        taken = self.lanes[target].take()
        assert taken is not None
        if not len(self.lanes[target]):
            del self.lanes[target]
        self._note_turn(taken.client)
        return taken.run_id

    def _note_turn(self, client: str) -> None:
        self._turn += 1
        self._served[client] = self._turn
        self._served.move_to_end(client)
        while len(self._served) > MAX_CLIENTS_REMEMBERED:
            self._served.popitem(last=False)
