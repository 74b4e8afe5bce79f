"""A job of the fleet as its client holds it: how it is, its end, its result."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from tinyprof.fleet_errors import FleetError
from tinyprof.job_result import JobResult
from tinyprof_protocol.job_states import JobState
from tinyprof_protocol.jobs import CachedFrom, ProfileReply, ProfileRequest

MAX_UPDATES: Final = 64


class JobTimeout(FleetError, TimeoutError):
    """The job has not ended in the time that it was waited for; it goes on."""


class JobFailed(FleetError):
    """The job has ended without a result; `state` says how."""

    def __init__(self, state: JobState, message: str) -> None:
        super().__init__(message)
        self.state = state


class FleetJob:
    """A job that was asked for. Every method may be called from any thread."""

    def __init__(self, request: ProfileRequest, cancel: Callable[["FleetJob"], None]) -> None:
        self.request = request
        self._cancel = cancel
        self._changed = threading.Condition()
        self._updates: deque[ProfileReply] = deque(maxlen=MAX_UPDATES)
        self._last: ProfileReply | None = None
        self._error: Exception | None = None
        self._waits_for = ""

    # ---- for its client

    @property
    def id(self) -> str:
        """Its id, 32 hexadecimal digits: `fleet.job(id)` finds it again, from another program too."""
        return self.request.job.id.hex()

    @property
    def state(self) -> JobState:
        """`queued`, `accepted`, `started`; in the end `finished`, `refused`, `interrupted`, `cancelled`, `expired`."""
        return self._last.state if self._last is not None else "queued"

    @property
    def message(self) -> str:
        """What is said of its state, in a line; of a job that waits, for what."""
        return self._waits_for or (self._last.message if self._last is not None else "")

    @property
    def node(self) -> str:
        """The node whose board makes the run; that of its first choice until it is known."""
        return (self._last.node if self._last is not None else "") or self.request.job.node

    @property
    def board(self) -> str:
        """The board that makes the run; its first choice until it is known."""
        return (self._last.board if self._last is not None else "") or self.request.job.board

    @property
    def cached(self) -> CachedFrom | None:
        """Where its result is from, if that is the cache."""
        return self._last.cached if self._last is not None else None

    @property
    def joined(self) -> str | None:
        """The id of the job that it shares a run with, where that was asked for first."""
        joined = self._last.joined if self._last is not None else None
        return joined.hex() if joined is not None else None

    def done(self) -> bool:
        """Whether it has ended, with a result or without."""
        return self._error is not None or (self._last is not None and self._last.final)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits for its end, at most `timeout` seconds; whether it has ended."""
        with self._changed:
            return self._changed.wait_for(self.done, timeout)

    def reply(self, timeout: float | None = None) -> ProfileReply:
        """The final reply, with a result or without.

        Raises JobTimeout; RequestFailed where the collector refused the request, FleetError where none answered.
        """
        if not self.wait(timeout):
            said = f"{self.state}{f': {self.message}' if self.message else ''}"
            raise JobTimeout(f"job {self.id} on {self.node}/{self.board} has not ended in {timeout:g} s ({said})")
        if self._error is not None:
            raise self._error
        assert self._last is not None
        return self._last

    def result(self, timeout: float | None = None) -> JobResult:
        """The result of its run, waited for at most `timeout` seconds.

        Raises JobTimeout, JobFailed where it ended without one, and what `reply` raises.
        """
        reply = self.reply(timeout)
        if reply.result is None:
            said = f": {reply.message}" if reply.message else ""
            raise JobFailed(reply.state, f"the run on {self.node}/{self.board} was {reply.state}{said}")
        return JobResult(reply.result, self.node, reply.cached, reply.joined)

    def cancel(self) -> None:
        """Asks for its end; a run that others wait for too goes on for them. `wait` for what becomes of it."""
        if not self.done():
            self._cancel(self)

    def updates(self, timeout: float) -> list[ProfileReply]:
        """What came since the last call, waited for at most `timeout` seconds; the oldest of very many are left out."""
        with self._changed:
            self._changed.wait_for(lambda: self._updates or self._error is not None, timeout)
            taken = list(self._updates)
            self._updates.clear()
        return taken

    def __repr__(self) -> str:
        return f"<FleetJob {self.id} on {self.node}/{self.board}: {self.state}>"

    # ---- for its dispatcher

    def note(self, reply: ProfileReply) -> None:
        """A reply came; after the final one nothing changes."""
        with self._changed:
            if self.done():
                return
            self._last, self._waits_for = reply, ""
            self._updates.append(reply)
            self._changed.notify_all()

    def waits_for(self, why: str) -> None:
        """It cannot be asked for right now; after its end that is of no matter."""
        with self._changed:
            if not self.done():
                self._waits_for = why

    def fail(self, why: Exception) -> None:
        """Nothing will come of it."""
        with self._changed:
            if not self.done():
                self._error = why
                self._changed.notify_all()
