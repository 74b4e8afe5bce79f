"""When a run must stop: because somebody says so, or because its time is up. Drivers see one event for both."""

import threading
from collections.abc import Callable

RUN_ON_S = 5.0
"""How long after its job's deadline a run may go on; then it is aborted and its board reset."""


class StopEvent(threading.Event):
    """An event that is set by itself once the clock has reached `limit_ns`; None: never.

    Who only waits for it without looking at the clock is not woken by that: look with `is_set`.
    """

    def __init__(self, clock_ns: Callable[[], int], limit_ns: int | None = None) -> None:
        super().__init__()
        self._clock_ns = clock_ns
        self._limit_ns = limit_ns

    def is_set(self) -> bool:
        """Whether to stop."""
        return super().is_set() or self.time_is_up()

    def time_is_up(self) -> bool:
        """Whether the clock has reached the limit."""
        return self._limit_ns is not None and self._clock_ns() >= self._limit_ns


def run_until_ns(left_s: float, now_ns: int) -> int | None:
    """Until when a run may go on whose job has `left_s` seconds left; None: without a limit."""
    return None if left_s == float("inf") else now_ns + round((max(0.0, left_s) + RUN_ON_S) * 1e9)
