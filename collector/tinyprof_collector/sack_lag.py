"""How long a batch waits here for its acknowledgement, measured for each node.

One batch of each node is followed at a time, from the moment it came to the moment its acknowledgement is handed to the
connection: enough for a median, and next to nothing for the others.
"""

from collections.abc import Callable, Sequence
from statistics import median

from tinyprof_protocol.mqtt_messages import Message
from tinyprof_protocol.topics import agent_topic

NEWEST = 9
MAX_NODES = 10_000


class SackLag:
    """The connection's thread calls `received` and `fell`, the pipeline's `taken` and `published`, any the others."""

    def __init__(self, monotonic_s: Callable[[], float], max_nodes: int = MAX_NODES) -> None:
        self._monotonic_s = monotonic_s
        self._max_nodes = max_nodes
        self._followed: dict[str, tuple[Message, float]] = {}
        self._awaited: dict[str, tuple[str, float]] = {}
        self._lags_ms: dict[str, tuple[float, ...]] = {}

    def received(self, message: Message) -> None:
        """A batch came; called before it can be taken."""
        if message.topic not in self._followed and len(self._followed) < self._max_nodes:
            self._followed[message.topic] = (message, self._monotonic_s())

    def fell(self, message: Message) -> None:
        """There was no room for the batch that was last received."""
        followed = self._followed.get(message.topic)
        if followed is not None and followed[0] is message:
            del self._followed[message.topic]

    def taken(self, messages: Sequence[Message], *, holding: bool) -> None:
        """Batches are about to be stored. Unless some are held, those of before that got no answer never will."""
        if not holding:
            for topic, _ in self._awaited.values():
                self._followed.pop(topic, None)
            self._awaited.clear()
        for message in messages:
            followed = self._followed.get(message.topic)
            if followed is not None and followed[0] is message:
                sack_topic = f"{message.topic.rpartition('/')[0]}/sack"
                self._awaited[sack_topic] = (message.topic, followed[1])

    def published(self, sack_topic: str) -> None:
        """An acknowledgement was handed to the connection."""
        awaited = self._awaited.pop(sack_topic, None)
        if awaited is None:
            return
        topic, received_s = awaited
        self._followed.pop(topic, None)
        before = self._lags_ms.get(sack_topic, ())
        if before or len(self._lags_ms) < self._max_nodes:
            lag_ms = (self._monotonic_s() - received_s) * 1000
            self._lags_ms[sack_topic] = (*before[1 - NEWEST :], lag_ms)

    def median_ms(self, node: str) -> float | None:
        """The median of the last nine that were measured, in milliseconds; None before the first."""
        lags_ms = self._lags_ms.get(agent_topic(node, "sack"))
        return median(lags_ms) if lags_ms else None

    def waiting_s(self, node: str) -> float | None:
        """For how long the batch that is followed has been without its acknowledgement; None where none is."""
        followed = self._followed.get(agent_topic(node, "records"))
        return max(0.0, self._monotonic_s() - followed[1]) if followed is not None else None
