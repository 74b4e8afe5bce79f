"""The jobs of one client: asked for over its one connection, and asked for again where a word may have been lost.

One thread for all of them. A job that is asked for again by its id is the same job, so that asking costs nothing but
the asking: seldom while all is well, at once after a connection or a collector was made anew.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from tinyprof.board_finder import BELIEVED_AFTER_S
from tinyprof.fleet_errors import FleetError
from tinyprof.job_handle import FleetJob
from tinyprof.request_channel import BrokerUnreachable, RequestChannel
from tinyprof_protocol.codec import BadMessage
from tinyprof_protocol.jobs import ProfileReply, ProfileRequest
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.request_reply import RequestFailed, decode_reply

MAX_OPEN: Final = 20_000
"""Jobs of one client that have not ended."""
GRACE_S: Final = 20.0
"""How much longer than its deadline a job is waited for: its collector tells how it ended."""
FIRST_WORD_WITHIN_S: Final = 20.0
"""A collector says at once that it has the job, or why not."""
ASK_AGAIN_S: Final = 5.0
ASK_AGAIN_AT_MOST_S: Final = 60.0
BUSY_S: Final = 2.0
FULL_S: Final = 0.05
"""The client library takes no more messages until it has sent some."""
NOBODY_S: Final = 1.0
EXPIRY_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.25
_FOR_LATER: Final = frozenset({"busy", "not_kept", "store_failed", "elsewhere"})
"""Failures that are over in a moment."""
_UNKNOWN: Final = "unknown_board"
UNKNOWN_AGAIN_S: Final = 0.5


@dataclass(slots=True)
class _Open:
    job: FleetJob
    give_up_s: float
    next_s: float = 0.0
    asked: int = 0
    heard: bool = False
    first_s: float = 0.0
    cancel: bool = False
    unknown_s: float | None = None
    """Since when collectors know no board for it."""


@dataclass(slots=True)
class _Seen:
    """What a lost word shows by."""

    connections: int = -1
    starts: dict[str, int] = field(default_factory=dict)


class JobDispatcher:
    """Asks for jobs and takes their replies. Every method may be called from any thread."""

    def __init__(
        self, channel: RequestChannel, wall_ns: Callable[[], int], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._channel = channel
        self._wall_ns = wall_ns
        self._clock = clock
        self._changed = threading.Condition()
        self._open: dict[bytes, _Open] = {}
        self._seen = _Seen()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def submit(self, request: ProfileRequest, *, of_before: bool = False) -> FleetJob:
        """Asks for a job and returns at once; `of_before`: it was asked for before, so that its deadline may be past.

        Raises NoCollector where nobody takes it now, FleetError for one job too many.
        """
        self._channel.owner_of(partition_of(request.job.node), request.job.node)
        job = FleetJob(request, self._cancel)
        now_s = self._clock()
        left_s = (request.job.deadline_ns - self._wall_ns()) / 1e9
        left_s = max(left_s, 0.0) if of_before else left_s
        one = _Open(job, now_s + left_s + GRACE_S, first_s=now_s)
        with self._changed:
            if self._stopping:
                raise FleetError("this fleet is closed; connect anew")
            if len(self._open) >= MAX_OPEN:
                raise FleetError(f"{MAX_OPEN} jobs of this client have not ended; wait for some of them")
            if request.job.id in self._open:
                return self._open[request.job.id].job
            self._open[request.job.id] = one
            self._channel.listen(request.job.id, self._on_reply)
            self._start()
        self._ask(one, now_s)
        return job

    def stop(self) -> None:
        """Ends the thread; jobs that have not ended go on without this client, and whoever waits is told so."""
        with self._changed:
            self._stopping = True
            left = list(self._open.values())
            self._changed.notify_all()
        for one in left:
            said = f"the connection was closed while job {one.job.id} was {one.job.state}"
            self._end(one, FleetError(f"{said}; it goes on: ask for it by its id"))
        if self._thread is not None:
            self._thread.join(2.0)

    def _start(self) -> None:
        if self._thread is None:
            self._made_anew()
            self._thread = threading.Thread(target=self._run, name="fleet-jobs", daemon=True)
            self._thread.start()

    # ---- asking

    def _cancel(self, job: FleetJob) -> None:
        with self._changed:
            one = self._open.get(job.request.job.id)
            if one is None:
                return
            one.cancel = True
        self._ask(one, self._clock())

    def _ask(self, one: _Open, now_s: float) -> None:
        """Sends the request, now or, where that is not possible, in a moment."""
        request = one.job.request
        if one.cancel:
            request = replace(request, job=replace(request.job, cancel=True))
        elif one.asked:
            request = replace(request, repeated=True)
        owner = self._owner_of(one)
        if owner is None:
            one.next_s = now_s + NOBODY_S
            one.job.waits_for("no live collector takes it now")
            return
        try:
            self._channel.send_as(request.job.id, owner, "profile", request, EXPIRY_S)
        except BrokerUnreachable as why:
            one.next_s = now_s + FULL_S
            one.job.waits_for(str(why))
            return
        one.job.waits_for("")
        one.next_s = now_s + min(ASK_AGAIN_S * 2 ** min(one.asked, 8), ASK_AGAIN_AT_MOST_S)
        one.asked += 1

    def _owner_of(self, one: _Open) -> str | None:
        """Who is to be asked: who serves the board that the job is with or is to be with, else, where any board will
        do, anybody, who knows where it is now.
        """
        request = one.job.request
        if request.where is None:
            return self._channel.owner_now(partition_of(request.job.node))
        owner = self._channel.owner_now(partition_of(one.job.node))
        live = self._channel.live_now() if owner is None and one.asked else []
        return live[one.asked % len(live)] if live else owner

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._stopping:
                    self._changed.wait(self._wait_s())
                if self._stopping:
                    return
                waiting = list(self._open.values())
            now_s = self._clock()
            anew = self._made_anew()
            for one in waiting:
                if anew:
                    one.first_s, one.unknown_s = now_s, None
                silent = not one.heard and one.asked and now_s - one.first_s > FIRST_WORD_WITHIN_S
                if now_s >= one.give_up_s or silent:
                    self._give_up(one, now_s)
                elif anew or now_s >= one.next_s:
                    self._ask(one, now_s)

    def _wait_s(self) -> float:
        soon = any(one.next_s - self._clock() < _LOOK_EVERY_S for one in self._open.values())
        return FULL_S if soon else _LOOK_EVERY_S

    def _made_anew(self) -> bool:
        """Whether the connection or a collector is another than at the last look."""
        starts = {**self._seen.starts, **self._channel.starts()}
        seen = _Seen(self._channel.connections, starts)
        before, self._seen = self._seen, seen
        known = all(before.starts.get(name, start) == start for name, start in starts.items())
        return before.connections >= 0 and (before.connections != seen.connections or not known)

    def _give_up(self, one: _Open, now_s: float) -> None:
        job = one.job
        said = f"{job.state}{f': {job.message}' if job.message else ''}"
        if not one.heard:
            text = f"no collector has answered within {now_s - one.first_s:.0f} s; see 'tinyprof status'"
        else:
            text = f"the run on {job.node}/{job.board} had not ended after its deadline ({said}); give it more time"
        self._end(one, FleetError(text))

    # ---- from the connection's thread

    def _on_reply(self, job_id: bytes, payload: bytes) -> None:
        one = self._open.get(job_id)
        if one is None:
            return
        try:
            reply = decode_reply(payload, ProfileReply)
        except RequestFailed as why:
            self._on_failure(one, why)
            return
        except BadMessage as why:
            self._end(one, FleetError(f"a reply to job {one.job.id} cannot be read: {why}"))
            return
        if reply.job_id != job_id:
            return
        one.heard, one.unknown_s = True, None
        before = self._owner_of(one)
        one.job.note(reply)
        if reply.final:
            self._forget(job_id)
        elif self._owner_of(one) != before:
            one.next_s = self._clock()  # another collector has it: that one tells how it goes on

    def _on_failure(self, one: _Open, why: RequestFailed) -> None:
        """Asks again later where that may help: that no such board is known is believed after a moment."""
        now_s = self._clock()
        if why.code == _UNKNOWN:
            one.unknown_s = now_s if one.unknown_s is None else one.unknown_s
        if why.code in _FOR_LATER or (why.code == _UNKNOWN and now_s - (one.unknown_s or 0.0) < BELIEVED_AFTER_S):
            one.heard = True
            one.job.waits_for(str(why))
            one.next_s = now_s + (UNKNOWN_AGAIN_S if why.code == _UNKNOWN else BUSY_S)
            return
        self._end(one, why)

    def _end(self, one: _Open, why: Exception) -> None:
        self._forget(one.job.request.job.id)
        one.job.fail(why)

    def _forget(self, job_id: bytes) -> None:
        with self._changed:
            self._open.pop(job_id, None)
        self._channel.unlisten(job_id)
