"""Requests for runs, in a thread of their own: what the cache can answer waits behind nobody's slow query."""

import logging
import threading
from collections.abc import Callable

from tinyprof_collector.ingest import BoundedQueue
from tinyprof_collector.jobs import ReplyTo
from tinyprof_collector.replies import MAX_LINE, publication, reply_to_of
from tinyprof_protocol.codec import BadMessage, decode
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.jobs import EncodedProfileReply, ProfileRequest
from tinyprof_protocol.requests import Failure

log = logging.getLogger(__name__)

POLL_S = 0.5

Cached = Callable[[ProfileRequest], EncodedProfileReply | None]
"""The cache's answer to a request, or None where a run is needed."""


class ProfileRequests:
    """Answers from the cache; all else goes on to those who may wait."""

    def __init__(
        self,
        waiting: BoundedQueue,
        cached: Cached,
        hand_on: Callable[[Message, ReplyTo], bool],
        publish: Callable[[Publication], object],
    ) -> None:
        """`hand_on` says whether there was room for a request."""
        self._waiting = waiting
        self._cached = cached
        self._hand_on = hand_on
        self._publish = publish
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="profile-requests", daemon=True)
        self.counts = {"profile_requests": 0, "profile_requests_without_reply_topic": 0, "profile_request_errors": 0}

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread; what still waits is dropped, and comes again from its clients."""
        self._stopping.set()
        self._waiting.wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._waiting.wake.wait(POLL_S)
            self._waiting.wake.clear()
            for message in self._waiting.take():
                try:
                    self.one(message)
                except Exception:
                    self.counts["profile_request_errors"] += 1
                    log.exception("a request for a run could not be answered")

    def one(self, message: Message) -> None:
        """Answers one request, or hands it on."""
        to = reply_to_of(message)
        if to is None:
            self.counts["profile_requests_without_reply_topic"] += 1
            return
        self.counts["profile_requests"] += 1
        reply = self._reply(message, to)
        if reply is not None:
            self._publish(publication(to, reply))

    def _reply(self, message: Message, to: ReplyTo) -> EncodedProfileReply | Failure | None:
        try:
            request = decode(message.payload, ProfileRequest)
        except BadMessage as why:
            return Failure("bad_request", f"this profile request cannot be read: {why}"[:MAX_LINE])
        cached = self._cached(request)
        if cached is not None or self._hand_on(message, to):
            return cached
        return Failure("busy", "the collector has too many requests waiting; ask again later")
