"""Batches between the MQTT thread and the pipeline: a few of each agent, handed over in lists, agents in turn.

Nothing here has been acknowledged, so that anything may fall: the agent sends it again. What falls is counted.
"""

import threading
from collections import deque

from tinyprof_collector.counts import Counts
from tinyprof_protocol.connection import Message

MAX_OF_ONE_AGENT = 8
MAX_MESSAGES = 80_000
MAX_BYTES = 96 * 1024 * 1024
MAX_TAKEN_WEIGHT = 512 * 1024
"""What one list may weigh: some thousand records. On a slow machine too they must be stored, and answered, well within
the 2 s after which an agent sends again; and decoded they take up to a hundred times the room."""
LARGE_BYTES = 2048
GATHER_FROM = 16
GATHER_OF_EACH = 8
GATHER_STEP_S = 0.01
GATHER_STEPS = 30
GATHER_QUIET_STEPS = 3
"""The thread that puts may be busy sending the last answers; silence for longer means that no more come."""
_NODE_LEVEL = 3


def weight_of(message: Message) -> int:
    """What a message counts in a list: its bytes, a large one twice, because many records in one deflate better."""
    size = len(message.payload)
    return size if size < LARGE_BYTES else 2 * size


class Inbox:
    """A bounded queue of record messages. `put` is for the MQTT thread, `take` for the pipeline's."""

    def __init__(
        self, max_of_one_agent: int = MAX_OF_ONE_AGENT, max_messages: int = MAX_MESSAGES, max_bytes: int = MAX_BYTES
    ) -> None:
        self._max_of_one = max_of_one_agent
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._changed = threading.Condition(threading.Lock())
        self._queues: dict[str, deque[Message]] = {}
        self._size = 0
        self._bytes = 0
        self._closed = False
        self._counts = Counts()

    def put(self, message: Message) -> bool:
        """Takes a message in, or lets it fall and counts it as deferred (False)."""
        levels = message.topic.split("/", _NODE_LEVEL + 1)
        node = levels[_NODE_LEVEL] if len(levels) > _NODE_LEVEL else ""
        size = len(message.payload)
        with self._changed:
            queue = self._queues.get(node)
            if (
                (queue is not None and len(queue) >= self._max_of_one)
                or self._size >= self._max_messages
                or self._bytes + size > self._max_bytes
            ):
                self._counts.defer(node)
                return False
            if queue is None:
                queue = self._queues[node] = deque()
            queue.append(message)
            self._bytes += size
            self._size += 1
            if self._size == 1:
                self._changed.notify()
        return True

    def take(self, limit: int = 256, timeout_s: float | None = 0.0) -> list[Message]:
        """Up to `limit` messages, one of each agent in turn; waits for the first. Empty after the timeout or `close`.

        A list ends early, at a weight of 512 Ki. An agent that was served goes behind those that were not.
        """
        with self._changed:
            if not self._size and not self._closed:
                self._changed.wait_for(lambda: self._size or self._closed, timeout_s)
            self._gather(limit)
            taken: list[Message] = []
            room = MAX_TAKEN_WEIGHT
            while self._queues and len(taken) < limit and room > 0:
                room -= self._one_round(taken, limit)
            return taken

    def _gather(self, limit: int) -> None:
        """Where many come, waits up to 0.3 s while more come, to about 8 of each agent: fewer answers serve them."""
        quiet = 0
        for _ in range(GATHER_STEPS):
            before = self._size
            enough = min(limit, GATHER_OF_EACH * len(self._queues))
            if not GATHER_FROM <= before < enough or self._bytes >= MAX_TAKEN_WEIGHT or self._closed:
                return
            self._changed.wait(GATHER_STEP_S)
            quiet = quiet + 1 if self._size == before else 0
            if quiet >= GATHER_QUIET_STEPS:
                return

    def _one_round(self, taken: list[Message], limit: int) -> int:
        weight = 0
        for node in list(self._queues)[: limit - len(taken)]:
            queue = self._queues.pop(node)
            message = queue.popleft()
            taken.append(message)
            self._size -= 1
            self._bytes -= len(message.payload)
            weight += weight_of(message)
            if queue:
                self._queues[node] = queue
            if weight >= MAX_TAKEN_WEIGHT:
                break
        return weight

    def close(self) -> None:
        """Wakes whoever waits; what is in the inbox can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def deferred(self) -> dict[str, int]:
        """How many messages of each node fell, as a copy. Past 10,000 nodes the rest is counted under ''."""
        with self._changed:
            return dict(self._counts.deferred)

    def __len__(self) -> int:
        """How many messages wait."""
        return self._size
