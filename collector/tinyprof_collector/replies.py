"""Answers to what clients ask but for jobs, in threads of their own, so that a slow query holds up nothing else.

A reply goes only to a reply topic, carries the request's correlation data, and is cut to fit a message. What cannot be
answered gets a `Failure`: a code for programs and a line that says what to do.
"""

import difflib
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from tinyprof_collector.jobs import ReplyTo
from tinyprof_collector.stores.store import Reader, StoreFailed
from tinyprof_protocol import topics
from tinyprof_protocol.codec import BadMessage, decode, encode
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import JobsReply
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.requests import (
    REQUEST_KINDS,
    BoardsReply,
    BoardsRequest,
    CacheReply,
    CacheRequest,
    Failure,
    ForgetReply,
    ForgetRequest,
    HistoryReply,
    HistoryRequest,
    LedgerReply,
    LedgerRequest,
    QuarantineReply,
    QuarantineRequest,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
)
from tinyprof_protocol.series import ALL_SERIES, is_series

log = logging.getLogger(__name__)

REPLY_EXPIRY_S = 60
MAX_LINE = 300
MAX_NAMED = 3
MAX_RUNS = 32
MAX_DESCRIBED = 32
_STOP = None


class CannotAnswer(Exception):
    """A request that gets a `Failure`; the code is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Sources:
    """Where answers come from. Each may raise CannotAnswer; `reader` may raise StoreFailed."""

    reader: Callable[[], AbstractContextManager[Reader]]
    boards: Callable[[], Sequence[tuple[str, str]]]
    """Node and name of every board that is known."""
    summaries: Callable[[BoardsRequest], BoardsReply]
    status: Callable[[], StatusReply]
    ledger: Callable[[LedgerRequest], LedgerReply]
    quarantine: Callable[[QuarantineRequest], QuarantineReply]
    forget: Callable[[ForgetRequest], ForgetReply]
    cache: Callable[[CacheRequest], CacheReply]


def reply_to_of(message: Message) -> ReplyTo | None:
    """Where the reply to a request goes, or None: a collector replies only to reply topics."""
    if message.response_topic is None or not topics.is_reply_topic(message.response_topic):
        return None
    return ReplyTo(message.response_topic, message.correlation)


def answer(message: Message, sources: Sources) -> object:
    """The reply to a request, a `Failure` where it cannot be answered. Never raises for what a client sent."""
    kind = message.topic.rpartition("/")[2]
    try:
        return _ANSWERS[kind](message.payload, sources) if kind in _ANSWERS else _unknown_kind(kind)
    except (CannotAnswer, BadMessage, StoreFailed) as why:
        return failure_of(kind, why)


def failure_of(kind: str, why: CannotAnswer | BadMessage | StoreFailed) -> Failure:
    """What a client is told of a request of that kind which cannot be answered, in a line."""
    if isinstance(why, CannotAnswer):
        return Failure(why.code, str(why)[:MAX_LINE])
    if isinstance(why, BadMessage):
        return Failure("bad_request", f"this {kind} request cannot be read: {why}"[:MAX_LINE])
    return Failure("store_failed", f"the store cannot be read: {why}"[:MAX_LINE])


def check_board(node: str, board: str, known: Sequence[tuple[str, str]]) -> None:
    """Raises CannotAnswer with the nearest names if a board is not known."""
    if (node, board) in known:
        return
    names = [f"{known_node}/{known_board}" for known_node, known_board in known]
    near = difflib.get_close_matches(f"{node}/{board}", names, MAX_NAMED, 0.5)
    near = [f"{n}/{b}" for n, b in known if b == board][:MAX_NAMED] or near
    hint = f"did you mean {' or '.join(near)}?" if near else "`tinyprof boards` lists those that are known"
    raise CannotAnswer("unknown_board", f"no board {node}/{board} is known; {hint}")


def _history(payload: bytes, sources: Sources) -> HistoryReply:
    asked = decode(payload, HistoryRequest)
    if asked.metric not in METRICS:
        near = difflib.get_close_matches(asked.metric, METRICS, MAX_NAMED, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(METRICS)}"
        raise CannotAnswer("unknown_metric", f"no metric is called {asked.metric!r}; {hint}")
    if asked.series not in ("", ALL_SERIES) and not is_series(asked.series):
        line = f"{asked.series!r} is no series: 16 hexadecimal digits, {ALL_SERIES!r} or nothing are"
        raise CannotAnswer("unknown_series", line)
    check_board(asked.node, asked.board, sources.boards())
    with sources.reader() as reader:
        return _history_of(asked, reader)


def _history_of(asked: HistoryRequest, reader: Reader) -> HistoryReply:
    who = (asked.node, asked.board)
    series = asked.series or reader.shown_series(*who)
    one = None if series in ("", ALL_SERIES) else series
    points = reader.history(*who, asked.metric, asked.since_ns, asked.limit + 1, one)
    truncated, points = len(points) > asked.limit, points[-asked.limit :]
    # Of the others, those that an older window would hide as well are not counted.
    since_ns = points[0].time_ns if truncated else asked.since_ns
    others = 0 if one is None else reader.others(*who, asked.metric, one, since_ns)
    seen = dict.fromkeys(point.series for point in reversed(points) if point.series)
    described = reader.describe(*who, list(seen)[:MAX_DESCRIBED])
    return HistoryReply(points, reader.runs(*who, MAX_RUNS), truncated, series, others, described)


def _results(payload: bytes, sources: Sources) -> ResultsReply:
    asked = decode(payload, ResultsRequest)
    with sources.reader() as reader:
        records = reader.results(asked.node, asked.board, asked.after_ns, asked.until_ns, asked.limit + 1)
    if not records:
        # A board that was forgotten may have results all the same; one that has none must be known.
        check_board(asked.node, asked.board, sources.boards())
    return ResultsReply(records[: asked.limit], more=len(records) > asked.limit)


def _unknown_kind(kind: str) -> Failure:
    return Failure("unknown_request", f"no request is called {kind[:64]!r}; there are {', '.join(REQUEST_KINDS)}")


def _boards(payload: bytes, sources: Sources) -> BoardsReply:
    return sources.summaries(decode(payload, BoardsRequest))


def _status(payload: bytes, sources: Sources) -> StatusReply:
    decode(payload, StatusRequest)
    return sources.status()


def _ledger(payload: bytes, sources: Sources) -> LedgerReply:
    return sources.ledger(decode(payload, LedgerRequest))


def _forget(payload: bytes, sources: Sources) -> ForgetReply:
    asked = decode(payload, ForgetRequest)
    check_board(asked.node, asked.board, sources.boards())
    return sources.forget(asked)


def _cache(payload: bytes, sources: Sources) -> CacheReply:
    return sources.cache(decode(payload, CacheRequest))


def _quarantine(payload: bytes, sources: Sources) -> QuarantineReply:
    return sources.quarantine(decode(payload, QuarantineRequest))


_ANSWERS: dict[str, Callable[[bytes, Sources], object]] = {
    "history": _history,
    "results": _results,
    "boards": _boards,
    "status": _status,
    "ledger": _ledger,
    "quarantine": _quarantine,
    "cache": _cache,
    "forget": _forget,
}


def fit(reply: Any) -> bytes:
    """A reply as it travels; one that is too long for a message is cut, again and again by half, and says so."""
    while True:
        try:
            return encode(reply)
        except BadMessage as why:
            cut = _cut(reply)
            if cut is None:
                return encode(Failure("too_long", f"the reply does not fit a message: {why}"[:MAX_LINE]))
            reply = cut


def _cut(reply: Any) -> Any | None:
    """The reply with half as much in it, or None if nothing can be left out."""
    match reply:
        case HistoryReply(runs=runs) if runs:
            return replace(reply, runs=runs[: len(runs) // 2], truncated=True)
        case HistoryReply(points=points) if points:
            return replace(reply, points=points[len(points) - len(points) // 2 :], truncated=True)
        case ResultsReply(records=records) if len(records) > 1:
            return replace(reply, records=records[: len(records) // 2], more=True)
        case BoardsReply(boards=boards) if boards:
            return replace(reply, boards=boards[: len(boards) // 2])
        case LedgerReply(rows=rows) if rows:
            note = f"only the first {some(len(rows) // 2, 'row')} fit this reply; ask for one node"
            problems = [line for line in reply.problems if not line.startswith("only the first")][:15]
            rows = rows[: len(rows) // 2]
            nodes = {row.node for row in rows}
            agents = [agent for agent in reply.agents if agent.node in nodes]
            return replace(reply, rows=rows, problems=[*problems, note], agents=agents)
        case StatusReply(agents=agents) if agents:
            note = f"only {len(agents) // 2} of the agents fit this reply"
            reasons = [line for line in reply.collector.reasons if not line.startswith("only ")][:15]
            return replace(
                reply, agents=agents[: len(agents) // 2], collector=replace(reply.collector, reasons=[*reasons, note])
            )
        case QuarantineReply(items=items) if items:
            return replace(reply, items=items[: len(items) // 2])
        case CacheReply(items=entries) if entries:
            return replace(reply, items=entries[: len(entries) // 2])
        case JobsReply(jobs=jobs) if jobs:
            return replace(reply, jobs=jobs[: len(jobs) // 2])
    return None


def publication(to: ReplyTo, reply: object) -> Publication:
    """The message that carries a reply."""
    return Publication(to.topic, fit(reply), expiry_s=REPLY_EXPIRY_S, correlation=to.correlation)


class Replies:
    """Threads that answer requests from a bounded queue."""

    def __init__(
        self, sources: Sources, publish: Callable[[Publication], object], *, workers: int, max_queued: int
    ) -> None:
        self._sources = sources
        self._publish = publish
        self._queue: queue.Queue[tuple[Message, ReplyTo] | None] = queue.Queue(max_queued)
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"replies-{number}", daemon=True) for number in range(workers)
        ]
        self._lock = threading.Lock()
        self._counts = {"requests_answered": 0, "requests_failed": 0, "requests_over_bound": 0}

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def submit(self, message: Message, to: ReplyTo) -> bool:
        """Queues a request; False, and counted, if the queue is full."""
        try:
            self._queue.put_nowait((message, to))
        except queue.Full:
            self._count("requests_over_bound")
            return False
        return True

    def stop(self, timeout_s: float) -> None:
        """Ends the threads once each has given the answer it is at; what is still queued is dropped."""
        self._stopping.set()
        for _ in self._threads:
            try:
                self._queue.put_nowait(_STOP)
            except queue.Full:
                break
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_s / len(self._threads))

    def dead_threads(self) -> list[str]:
        """Names of threads that have ended while they should run."""
        return [thread.name for thread in self._threads if not thread.is_alive() and not self._stopping.is_set()]

    def counters(self) -> dict[str, int]:
        """How many requests were answered, failed, and found the queue full."""
        return dict(self._counts)

    def _run(self) -> None:
        while not self._stopping.is_set():
            work = self._queue.get()
            if work is _STOP:
                return
            try:
                self._one(*work)
            except Exception:
                log.exception("a reply could not be sent")

    def _one(self, message: Message, to: ReplyTo) -> None:
        try:
            reply = answer(message, self._sources)
            made = publication(to, reply)
        except Exception:
            log.exception("a request to %s could not be answered", message.topic)
            reply = Failure("internal", "the collector could not answer; its log says why")
            made = publication(to, reply)
        self._count("requests_failed" if isinstance(reply, Failure) else "requests_answered")
        self._publish(made)

    def _count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1


def counted_by_health(healths: Iterable[str]) -> dict[str, int]:
    """How many there are of each health."""
    counts: dict[str, int] = {}
    for health in healths:
        counts[health] = counts.get(health, 0) + 1
    return counts
