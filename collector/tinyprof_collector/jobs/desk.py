"""The desk where clients ask for jobs: a thread that takes all that wait at once, so that they are kept together.

A disk that takes a millisecond to keep something takes hardly longer to keep a hundred.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tinyprof_collector.jobs.actions import Action, ReplyTo, Send
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.store import JobStoreFailed
from tinyprof_collector.replies import MAX_LINE, MAX_RUNS, CannotAnswer, failure_of, publication
from tinyprof_collector.stores.store import Reader, StoreFailed
from tinyprof_protocol import topics
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.jobs import EncodedProfileReply, JobsReply, JobsRequest, ProfileReply, ProfileRequest
from tinyprof_protocol.records import Result
from tinyprof_protocol.requests import Failure

log = logging.getLogger(__name__)

MAX_TAKEN = 256
"""Requests that are kept together at most."""
MAX_QUEUED = 20_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
_WAIT_S = 0.5


def is_for_the_desk(topic: str) -> bool:
    """Whether a request is about jobs."""
    return topic.endswith(("/profile", "/jobs"))


def publications_of(actions: Iterable[Action]) -> list[Publication]:
    """The messages that do what is to be done."""
    made = []
    for action in actions:
        if isinstance(action, Send):
            topic = topics.agent_topic(action.job.node, "jobs")
            made.append(Publication(topic, encode(action.job), expiry_s=action.expiry_s))
        else:
            made.append(publication(action.to, action.reply))
    return made


@dataclass(frozen=True, slots=True)
class JobSources:
    """What answers a request without a run. `reader` may raise StoreFailed."""

    reader: Callable[[], AbstractContextManager[Reader]]
    check_board: Callable[[str, str], None]
    """Raises CannotAnswer for a board that is not known, or that another collector serves."""
    cached: Callable[[ProfileRequest], EncodedProfileReply | None]
    """The cache's answer; None where a run is needed."""


@dataclass(frozen=True, slots=True)
class _Asked:
    message: Message
    to: ReplyTo


class JobDesk:
    """Takes requests for jobs and about jobs; at most so many wait."""

    def __init__(
        self,
        keeper: JobKeeper,
        sources: JobSources,
        publish: Callable[[Iterable[Publication]], object],
        wall_ns: Callable[[], int],
    ) -> None:
        self._keeper = keeper
        self._sources = sources
        self._publish = publish
        self._wall_ns = wall_ns
        self._waiting: deque[_Asked] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)
        self.counts = {"job_requests": 0, "job_requests_failed": 0, "job_requests_over_bound": 0}

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Ends the thread once it has answered what it is at; what waits comes again from its clients."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def submit(self, message: Message, to: ReplyTo) -> bool:
        """Queues a request; False, and counted, where too many wait."""
        with self._changed:
            size = len(message.payload)
            if len(self._waiting) >= MAX_QUEUED or self._waiting_bytes + size > MAX_QUEUED_BYTES:
                self.counts["job_requests_over_bound"] += 1
                return False
            self._waiting.append(_Asked(message, to))
            self._waiting_bytes += size
            self._changed.notify()
        return True

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            try:
                self._do(taken)
            except Exception:
                self.counts["job_requests_failed"] += len(taken)
                log.exception("%d requests for jobs could not be taken", len(taken))

    def _take(self) -> list[_Asked] | None:
        with self._changed:
            while not self._waiting and not self._stopping:
                self._changed.wait(_WAIT_S)
            if self._stopping:
                return None
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_TAKEN))]
            self._waiting_bytes -= sum(len(asked.message.payload) for asked in taken)
            return taken

    def _do(self, taken: list[_Asked]) -> None:
        runs: list[tuple[ProfileRequest, ReplyTo]] = []
        for asked in taken:
            self.counts["job_requests"] += 1
            reply = self._read(asked, runs)
            if reply is not None:
                self.counts["job_requests_failed"] += isinstance(reply, Failure)
                self._publish([publication(asked.to, reply)])
        if runs:
            self._publish_all(self._keeper.ask(runs, self._wall_ns()))

    def _read(
        self, asked: _Asked, runs: list[tuple[ProfileRequest, ReplyTo]]
    ) -> ProfileReply | EncodedProfileReply | JobsReply | Failure | None:
        """The reply to a request, or None for one that is now among `runs`. Never raises for what a client sent."""
        kind = asked.message.topic.rpartition("/")[2]
        try:
            if kind == "jobs":
                return self._jobs(decode(asked.message.payload, JobsRequest))
            request = decode(asked.message.payload, ProfileRequest)
            reply = None if self._keeper.knows(request.job.id) else self._elsewhere(request) or self._before(request)
            if reply is None:
                runs.append((request, asked.to))
            return reply
        except JobStoreFailed as why:
            return Failure("not_kept", str(why)[:MAX_LINE])
        except (CannotAnswer, BadMessage, StoreFailed) as why:
            return failure_of(kind, why)

    def _elsewhere(self, request: ProfileRequest) -> ProfileReply | None:
        """The reply where another collector has the job that is asked for again."""
        if not (request.repeated or request.job.cancel):
            return None
        reply, actions = self._keeper.elsewhere(request, self._wall_ns())
        self._publish_all(actions)
        return reply

    def _before(self, request: ProfileRequest) -> ProfileReply | EncodedProfileReply | None:
        """The reply to a request for a job that is not known: its board may not exist, and it may be long over.

        What was not sent before has been looked for in the cache already.
        """
        job = request.job
        if self._keeper.knows(job.id):
            return None  # it has just been found
        if not job.cancel:
            self._sources.check_board(job.node, job.board)
        if not request.repeated:
            return None
        with self._sources.reader() as reader:
            runs = reader.runs(job.node, job.board, MAX_RUNS)
        for record in runs:
            if isinstance(record.body, Result) and record.body.job_id == job.id:
                place = (job.node, job.board)
                return ProfileReply(job.id, "finished", "", True, record, *place)
        return self._sources.cached(request)

    def _jobs(self, asked: JobsRequest) -> JobsReply:
        if asked.action == "list":
            return self._keeper.listing(asked)
        reply, actions = self._keeper.cancel(asked, self._wall_ns())
        self._publish_all(actions)
        return reply

    def _publish_all(self, actions: Iterable[Action]) -> None:
        self._publish(publications_of(actions))
