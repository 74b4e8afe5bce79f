"""Group commit: threads that come while a commit is under way share the next one.

There is no thread of its own: the first to come leads, commits what has gathered a few times over, and hands the lead
to the first of those who wait. So nobody leads for long, and an idle spool costs nothing.
"""

import threading
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Request = TypeVar("Request")

MAX_TURNS: Final = 8


class _Ticket(Generic[Request]):
    __slots__ = ("error", "gate", "leads", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.gate = threading.Lock()
        self.gate.acquire()
        self.leads = False
        self.error: BaseException | None = None


class GroupCommit(Generic[Request]):
    """Calls `commit` with lists of at most `max_group` requests, one list at a time, in the order they came."""

    def __init__(self, commit: Callable[[list[Request]], None], max_group: int = 256) -> None:
        self._commit = commit
        self._max_group = max_group
        self._lock = threading.Lock()
        self._waiting: list[_Ticket[Request]] = []
        self._led = False

    def submit(self, request: Request) -> None:
        """Returns once `commit` returned for a list with this request in it; raises what it raised."""
        ticket = _Ticket(request)
        with self._lock:
            self._waiting.append(ticket)
            leads, self._led = not self._led, True
        if not leads:
            ticket.gate.acquire()
            leads = ticket.leads
        if leads:
            self._lead()
        if ticket.error is not None:
            raise ticket.error

    def _lead(self) -> None:
        """Commits what waits, its own request first, then passes the lead on: waking an heir costs as much as a commit.

        After `MAX_TURNS` groups the lead goes on whatever waits, so that no caller is held for long.
        """
        for turn in range(MAX_TURNS):
            with self._lock:
                group = self._waiting[: self._max_group]
                del self._waiting[: self._max_group]
            self._commit_group(group)
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._led = heir is not None
                last = heir is None or turn == MAX_TURNS - 1
            if last:
                break
        if heir is not None:
            heir.leads = True
            heir.gate.release()

    def _commit_group(self, group: list[_Ticket[Request]]) -> None:
        error: BaseException | None = None
        try:
            self._commit([ticket.request for ticket in group])
        except BaseException as why:  # noqa: BLE001  (each of the group raises it in its own thread)
            error = why
        for ticket in group:
            ticket.error = error
            ticket.gate.release()
