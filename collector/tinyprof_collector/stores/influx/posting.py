"""Posts lines until each has its answer: written, refused and to blame, past the retention, or put off.

The plan is `blame.Halving`; this is the loop around it, over one server.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tinyprof_collector.stores.influx.answers import (
    MAX_BODY,
    HttpAnswer,
    is_past_retention,
    meaning_of,
    oldest_kept_ns,
    reason_of,
)
from tinyprof_collector.stores.influx.blame import Halving
from tinyprof_collector.stores.store import StoreFailed

MIN_LINES = 1


class Server(Protocol):
    """What takes the posts."""

    def write(self, lines: Sequence[bytes]) -> HttpAnswer:
        """Posts lines; what came back, whatever it is."""

    def failed(self, answer: HttpAnswer) -> StoreFailed:
        """The error that an answer is."""


class Poster:
    """Posts for several threads; what it learns of the server's limits it keeps."""

    def __init__(self, server: Server, max_lines: int, canary: Callable[[], bytes]) -> None:
        """`canary` makes a line of the collector's own for the present time."""
        self._server = server
        self._max_lines = max_lines
        self._canary = canary
        self._lock = threading.Lock()
        self.counts = {"posts": 0, "posts_refused": 0, "lines_blamed": 0, "canaries_refused": 0}

    @property
    def max_lines(self) -> int:
        """Lines that a post holds at most: fewer once a post was too large."""
        return self._max_lines

    def post(
        self, lines: Sequence[bytes], times_ns: Sequence[int], owners: Sequence[str], struck: list[str] | None = None
    ) -> Halving:
        """Posts all lines and returns the plan with what became of each. Raises StoreFailed: then some are written.

        The owner of each line that is to blame is added to `struck` at once.
        """
        plan = Halving(owners, self._max_lines)
        while (taken := plan.take()) is not None:
            answer = self._post([lines[n] for n in taken])
            meaning = meaning_of(answer)
            if meaning == "written":
                plan.note_written(taken)
            elif meaning == "hold":
                raise self._server.failed(answer)
            elif meaning == "refused" and is_past_retention(reason_of(answer)):
                self._expire(plan, taken, times_ns, reason_of(answer, MAX_BODY))
            else:
                if meaning == "too_large":
                    self._max_lines = max(MIN_LINES, min(self._max_lines, len(taken) // 2))
                if not plan.halve(taken):
                    self._judge(plan, taken[0], reason_of(answer))
                    if struck is not None:
                        struck.append(owners[taken[0]])
        return plan

    def _expire(self, plan: Halving, taken: tuple[int, ...], times_ns: Sequence[int], reason: str) -> None:
        """Some lie before what the bucket keeps: those that the server's own bound names, else found by halving."""
        oldest = oldest_kept_ns(reason)
        past = [n for n in taken if oldest is not None and times_ns[n] < oldest]
        if past:
            plan.note_expired(past)
            plan.retry(taken)
        elif not plan.halve(taken):
            plan.note_expired(taken)

    def _judge(self, plan: Halving, line: int, reason: str) -> None:
        """A line refused alone is to blame only if a line of our own is accepted straight after."""
        answer = self._post([self._canary()])
        meaning = meaning_of(answer)
        if meaning == "written":
            self._count("lines_blamed")
            plan.note_refused(line, reason)
        else:
            self._count("canaries_refused")
            raise self._server.failed(answer)

    def _post(self, lines: Sequence[bytes]) -> HttpAnswer:
        answer = self._server.write(lines)
        self._count("posts")
        if meaning_of(answer) == "refused":
            self._count("posts_refused")
        return answer

    def _count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1
