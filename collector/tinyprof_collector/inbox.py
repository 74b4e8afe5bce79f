"""Batches between the MQTT thread and the pipeline: a few of each agent, handed over in lists, agents in turn.

Nothing here has been acknowledged, so that anything may fall: the agent sends it again. What falls is counted. Where
much waits, small batches, such as those of results of now, have half of each list to themselves: they do not wait
behind the backlogs of all agents.
"""

import threading
from collections import deque
from collections.abc import Collection
from itertools import islice

from msgspec import Struct

from tinyprof_collector.batch_spans import Span, span_of
from tinyprof_collector.counts import Counts
from tinyprof_protocol.connection import Message

MAX_OF_ONE_AGENT = 8
MAX_MESSAGES = 80_000
MAX_BYTES = 24 * 1024 * 1024
"""Some hundred thousand records: half a minute's work and more."""
MAX_TAKEN_WEIGHT = 512 * 1024
"""What one list may weigh: some thousand records. On a slow machine too they must be stored, and answered, well within
the 2 s after which an agent sends again; and decoded they take up to a hundred times the room."""
LARGE_BYTES = 2048
LIVE_OF_ONE_AGENT = 4
LIVE_SHARE = 1 / 4
"""What small batches may be beside the bounds: of an agent whose places its backlog has, and over that of all."""
LOOKED_THROUGH = MAX_OF_ONE_AGENT + LIVE_OF_ONE_AGENT
"""Batches of an agent that are looked through for copies and small ones; more is only where a setting allows it."""
LIVE_BYTES = 8 * 1024
"""A batch of few records that is larger comes after the others: of large records a batch of backlog holds few, too."""
SEVERAL_OF_ONE = 4
"""From so many batches of an agent on, one that was sent again in other bytes, or halved, is looked for among them."""
AT_A_TURN = 4
"""Batches of one agent that follow on each other: one acknowledgement serves them."""
MUCH_BYTES = 2 * 1024 * 1024
"""From here on what waits would take several lists, and small batches are looked for."""
MUCH_LISTS = 2
"""The same where it is small: a turn of all agents would take so many lists."""
GATHER_FROM = 16
GATHER_OF_EACH = 8
GATHER_S = 0.3
GATHER_STEP_S = 0.01
GATHER_QUIET_STEPS = 3
"""The thread that puts may be busy sending the last answers; silence for longer means that no more come."""
_NODE_LEVEL = 3


def weight_of(message: Message) -> int:
    """What a message counts in a list: its bytes, a large one twice, because many records in one deflate better."""
    size = len(message.payload)
    return size if size < LARGE_BYTES else 2 * size


class _Waiting(Struct, gc=False):
    """A batch that waits; its span is looked for when it is wanted, once."""

    message: Message
    number: int
    """By which it came."""
    span: Span | None = None
    looked: bool = False


class Inbox:
    """A bounded queue of record messages. `put` is for the MQTT thread, `take` for the pipeline's."""

    def __init__(
        self,
        max_of_one_agent: int = MAX_OF_ONE_AGENT,
        max_messages: int = MAX_MESSAGES,
        max_bytes: int = MAX_BYTES,
        gather_s: float = GATHER_S,
    ) -> None:
        """`gather_s` is how long at most a list waits for more where many come."""
        self._max_of_one = max_of_one_agent
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._gather_steps = round(gather_s / GATHER_STEP_S)
        self._changed = threading.Condition(threading.Lock())
        self._queues: dict[str, deque[_Waiting]] = {}
        self._size = 0
        self._bytes = 0
        self._came = 0
        self.copies = 0
        """Batches that fell because they waited here already."""
        self._closed = False
        self._counts = Counts()

    def put(self, message: Message) -> bool:
        """Takes a message in, or lets it fall and counts it as deferred (False).

        A copy of one that waits falls too: an agent that hears nothing sends again, and its copies would take the
        places of what is new.
        """
        levels = message.topic.split("/", _NODE_LEVEL + 1)
        node = levels[_NODE_LEVEL] if len(levels) > _NODE_LEVEL else ""
        size = len(message.payload)
        with self._changed:
            queue = self._queues.get(node)
            waiting = _Waiting(message, self._came)
            if queue is not None and _is_there(queue, waiting):
                self.copies += 1
                return False
            if not self._has_room(queue or (), size) and not self._has_room_beside(queue or (), waiting):
                self._counts.defer(node)
                return False
            if queue is None:
                queue = self._queues[node] = deque()
            queue.append(waiting)
            self._bytes += size
            self._size += 1
            self._came += 1
            if self._size == 1:
                self._changed.notify()
        return True

    def _has_room(self, queue: Collection[_Waiting], size: int, more: float = 0.0) -> bool:
        return (
            len(queue) < self._max_of_one
            and self._size < self._max_messages * (1 + more)
            and self._bytes + size <= self._max_bytes * (1 + more)
        )

    def _has_room_beside(self, queue: Collection[_Waiting], new: _Waiting) -> bool:
        """Whether a batch is one of results of now, for which there is room though its agent's backlog has it all."""
        if not _is_live(new):
            return False
        live = [waiting for waiting in islice(queue, LOOKED_THROUGH) if _is_live(waiting)]
        return len(live) < LIVE_OF_ONE_AGENT and self._has_room((), len(new.message.payload), LIVE_SHARE)

    def take(self, limit: int = 256, timeout_s: float | None = 0.0) -> list[Message]:
        """Up to `limit` messages, a few of each agent in turn; waits for the first. Empty after the timeout or `close`.

        A list ends early, at a weight of 512 Ki. An agent that was served goes behind those that were not.
        """
        with self._changed:
            if not self._size and not self._closed:
                self._changed.wait_for(lambda: self._size or self._closed, timeout_s)
            self._gather(limit)
            taken: list[Message] = []
            room = MAX_TAKEN_WEIGHT
            if self._bytes >= MUCH_BYTES or self._is_much(limit):
                room -= self._take_live(taken, limit // 2, room // 2)
            while self._queues and len(taken) < limit and room > 0:
                room -= self._one_round(taken, limit, room)
            return taken

    def _gather(self, limit: int) -> None:
        """Where many come, waits a little while more come, to about 8 of each agent: fewer answers serve them."""
        quiet = 0
        for _ in range(self._gather_steps):
            before = self._size
            enough = min(limit, GATHER_OF_EACH * len(self._queues))
            if not GATHER_FROM <= before < enough or self._bytes >= MAX_TAKEN_WEIGHT or self._closed:
                return
            self._changed.wait(GATHER_STEP_S)
            quiet = quiet + 1 if self._size == before else 0
            if quiet >= GATHER_QUIET_STEPS:
                return

    def _take_live(self, taken: list[Message], limit: int, room: int) -> int:
        """Takes small batches in the order in which they came, and returns what they weigh."""
        small = [
            (len(waiting.message.payload) > LIVE_BYTES, waiting.number, node)
            for node, queue in self._queues.items()
            for waiting in islice(queue, LOOKED_THROUGH)
            if _is_live(waiting)
        ]
        weight = 0
        for _, number, node in sorted(small)[:limit]:
            if weight >= room:
                break
            queue = self._queues[node]
            at = next(at for at, waiting in enumerate(queue) if waiting.number == number)
            message = queue[at].message
            del queue[at]
            if not queue:
                del self._queues[node]
            weight += self._leave(message)
            taken.append(message)
        return weight

    def _is_much(self, limit: int) -> bool:
        return min(self._size, AT_A_TURN * len(self._queues)) >= MUCH_LISTS * limit

    def _one_round(self, taken: list[Message], limit: int, room: int) -> int:
        """A turn of each agent, as far as there is room; returns what they weigh."""
        weight = 0
        for node in list(self._queues):
            queue = self._queues.pop(node)
            for _ in range(min(AT_A_TURN, len(queue), limit - len(taken))):
                message = queue.popleft().message
                taken.append(message)
                weight += self._leave(message)
                if weight >= room:
                    break
            if queue:
                self._queues[node] = queue
            if weight >= room or len(taken) >= limit:
                break
        return weight

    def _leave(self, message: Message) -> int:
        self._size -= 1
        self._bytes -= len(message.payload)
        return weight_of(message)

    def close(self) -> None:
        """Wakes whoever waits; what is in the inbox can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def has_full_list(self) -> bool:
        """Whether what waits would fill a list by its weight."""
        return self._bytes >= MAX_TAKEN_WEIGHT

    def deferred(self) -> dict[str, int]:
        """How many messages of each node fell, as a copy. Past 10,000 nodes the rest is counted under ''."""
        with self._changed:
            return dict(self._counts.deferred)

    def __len__(self) -> int:
        """How many messages wait."""
        return self._size


def _is_there(queue: deque[_Waiting], new: _Waiting) -> bool:
    """Whether a batch waits already: its very bytes, or where several wait, one that holds all its records.

    What waits on another topic is no copy: only one of the two is where it belongs.
    """
    others = [one for one in islice(queue, LOOKED_THROUGH) if one.message.topic == new.message.topic]
    if any(one.message.payload == new.message.payload for one in others):
        return True
    span = _span(new) if len(others) >= SEVERAL_OF_ONE else None
    return span is not None and any(there is not None and there.covers(span) for there in map(_span, others))


def _is_live(waiting: _Waiting) -> bool:
    span = _span(waiting)
    return span is not None and span.is_live()


def _span(waiting: _Waiting) -> Span | None:
    if not waiting.looked:
        waiting.span, waiting.looked = span_of(waiting.message.payload), True
    return waiting.span
