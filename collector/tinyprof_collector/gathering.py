"""Gathers messages for a store that is best asked seldom: up to a time, or until there are enough."""

import time
from collections.abc import Callable

from tinyprof_collector.inbox import MAX_TAKEN_WEIGHT, weight_of
from tinyprof_collector.pipeline_thread import Source
from tinyprof_protocol.connection import Message


class Gathering:
    """A source over another one: after the first message it waits up to `max_wait_s` for more."""

    def __init__(self, source: Source, max_wait_s: float, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._max_wait_s = max_wait_s
        self._monotonic_s = monotonic_s

    def take(self, limit: int, timeout_s: float | None) -> list[Message]:
        """Up to `limit` messages, or some thousand records; waits up to `timeout_s` for the first."""
        taken = self._source.take(limit, timeout_s)
        if not taken:
            return taken
        deadline_s = self._monotonic_s() + self._max_wait_s
        weight = sum(map(weight_of, taken))
        while len(taken) < limit and weight < MAX_TAKEN_WEIGHT:
            left_s = deadline_s - self._monotonic_s()
            if left_s <= 0:
                break
            more = self._source.take(limit - len(taken), left_s)
            weight += sum(map(weight_of, more))
            taken += more
        return taken

    def __len__(self) -> int:
        """How many wait."""
        return len(self._source)
