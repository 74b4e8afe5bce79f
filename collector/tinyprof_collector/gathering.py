"""Gathers messages for a store that is best asked seldom: up to a time, or until there are enough.

What came while the list before was being stored has waited already: its time runs from when that list was handed over.
"""

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
        self._handed_over_s: float | None = None

    def take(self, limit: int, timeout_s: float | None) -> list[Message]:
        """Up to `limit` messages, or some thousand records; waits up to `timeout_s` for the first.

        A source that is closed is not waited for.
        """
        waited = len(self._source) > 0 and self._handed_over_s is not None
        taken = self._source.take(limit, timeout_s)
        if not taken:
            return taken
        began_s = self._handed_over_s if waited and self._handed_over_s is not None else self._monotonic_s()
        deadline_s = began_s + self._max_wait_s
        weight = sum(map(weight_of, taken))
        while len(taken) < limit and weight < MAX_TAKEN_WEIGHT:
            left_s = deadline_s - self._monotonic_s()
            if left_s <= 0:
                break
            more = self._source.take(limit - len(taken), left_s)
            if not more:  # the time is over, or the source is closed: nothing more comes
                break
            weight += sum(map(weight_of, more))
            taken += more
        self._handed_over_s = self._monotonic_s()
        return taken

    def __len__(self) -> int:
        """How many wait."""
        return len(self._source)
