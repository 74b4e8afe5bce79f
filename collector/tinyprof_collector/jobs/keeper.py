"""The book of jobs with its store behind one lock: nothing is promised or sent before it is kept.

Three threads come here: the desk with what clients ask, the control thread with statuses and the time, the pipeline
with stored records. What is to be published is returned, never sent.
"""

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Action, Answer, ReplyTo, Send
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_collector.jobs.store import JobStore, JobStoreFailed, Offer, SharedJobStore, TakenByOthers
from tinyprof_collector.jobs.words import with_another
from tinyprof_collector.stores.store import Reader
from tinyprof_protocol.codec import BadMessage, unpack
from tinyprof_protocol.jobs import JobsReply, JobsRequest, ProfileReply, ProfileRequest
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record

log = logging.getLogger(__name__)

MAX_RUNS = 32
"""Of a board that are looked at first: more of a collector's own cannot have been under way."""
MAX_RUNS_OF_A_BACKLOG = 1024
"""Of a board whose agent may have sent others with them: a backlog of its schedule, stored in one step."""
MAX_RUNS_LOOKED_AT = 20_000
"""Of all boards together, beyond the first of each: a start waits for them."""
MAX_LEFT_AT_ONCE = 3
"""How often what others have is left before the rest is kept: they may take more meanwhile."""
SKEW_NS = 60 * 10**9
"""An agent's clock may be so far behind."""


class JobKeeper:
    """All that happens to jobs comes through here. Every method may be called from any thread."""

    def __init__(self, book: JobBook, store: JobStore) -> None:
        """Takes up what the store kept. Raises JobStoreFailed."""
        self._book = book
        self._store = store
        self._shared = store if isinstance(store, SharedJobStore) else None
        self._lock = threading.Lock()
        self._error = ""
        self._failures = 0
        self._left = 0
        self._taken = 0
        book.restore(store.load())

    @property
    def shared(self) -> bool:
        """Whether other collectors keep their jobs in the same place."""
        return self._shared is not None

    def catch_up(self, reader: Reader, now_ns: int) -> None:
        """Takes the results that the store got just before an earlier collector was killed. Raises StoreFailed."""
        with self._lock:
            boards = sorted(self._book.open_boards().items())
        left = MAX_RUNS_LOOKED_AT
        for (node, board), asked_ns in boards:
            runs = reader.runs(node, board, MAX_RUNS)
            self.stored([(node, record) for record in runs], now_ns)
            while MAX_RUNS <= len(runs) <= left and self._may_be_before(node, board, runs, asked_ns):
                known = len(runs)
                runs = reader.runs(node, board, min(4 * known, MAX_RUNS_OF_A_BACKLOG))
                left -= len(runs)
                self.stored([(node, record) for record in runs[known:]], now_ns)
                if len(runs) <= known or len(runs) >= MAX_RUNS_OF_A_BACKLOG:
                    break

    def _may_be_before(self, node: str, board: str, runs: Sequence[Record], asked_ns: int) -> bool:
        """Whether the result of an open job may be older than the runs of its board that were looked at."""
        if runs[-1].time_ns < asked_ns - SKEW_NS:
            return False
        with self._lock:
            return (node, board) in self._book.open_boards()

    def ask(self, asked: Iterable[tuple[ProfileRequest, ReplyTo]], now_ns: int) -> list[Action]:
        """Requests for jobs, new ones and old ones; all new ones of a list are kept together."""
        with self._lock:
            actions = [action for request, to in asked for action in self._book.ask(request, to, now_ns)]
            actions, is_kept = self._keep(actions, now_ns)
            if not is_kept:
                return self._with_results([*_without_sends(actions), *self._book.give_up(self._error)])
            return self._kept([*actions, *self._book.begin(now_ns)], now_ns)

    def listing(self, asked: JobsRequest) -> JobsReply:
        """A page of jobs."""
        with self._lock:
            return self._book.listing(asked)

    def cancel(self, asked: JobsRequest, now_ns: int) -> tuple[JobsReply, list[Action]]:
        """Cancels jobs that are meant; what follows from that is for the caller to publish."""
        with self._lock:
            reply, actions = self._book.cancel(asked, now_ns)
            left = self._left
            actions = self._kept(actions, now_ns)
            # What others have is theirs to cancel: the client asks them too.
            return replace(reply, cancelled=max(0, reply.cancelled - (self._left - left))), actions

    def stored(self, records: Iterable[tuple[str, Record]], now_ns: int) -> list[Action]:
        """Takes stored records of agents, each with its node."""
        with self._lock:
            return self._kept(self._book.stored(records, now_ns), now_ns)

    def status(self, status: AgentStatus, now_ns: int) -> list[Action]:
        """Takes an agent's status, once it is known as an agent."""
        with self._lock:
            return self._kept(self._book.status(status, now_ns), now_ns)

    def tick(self, now_ns: int) -> list[Action]:
        """What time alone brings."""
        with self._lock:
            taken = self._store.taken()
            actions = self._leave(taken, [], now_ns) if taken is not None else []
            return self._kept([*actions, *self._book.tick(now_ns)], now_ns)

    # ---- what collectors that share a store take from each other

    def share(self, now_ns: int) -> list[Action]:
        """Offers to others what waits here for any board, and takes from them what boards here would make at once.

        Raises JobStoreFailed where it cannot be seen what is offered. Does nothing where the store is not shared.
        """
        if self._shared is None:
            return []
        there = self._shared.offers(now_ns)
        with self._lock:
            actions = self._kept([], now_ns)
            if self._book.changes():
                return actions  # an offer is of what is kept
            try:
                self._shared.offer(self._book.offers(), there)
                for one in self._taken_from(self._shared, there.values(), now_ns):
                    actions += self._adopt(one, now_ns)
            except TakenByOthers as why:
                actions = self._leave(why, actions, now_ns)
            except JobStoreFailed as why:
                log.warning("jobs could not be shared: %s", why)
            return self._kept(actions, now_ns)

    def _taken_from(self, shared: SharedJobStore, offers: Iterable[Offer], now_ns: int) -> Iterator[Sequence[KeptJob]]:
        yield shared.taken_unheard()
        for offer, board in self._book.wanted(offers, now_ns):
            yield shared.take(offer, board)

    def _adopt(self, taken: Sequence[KeptJob], now_ns: int) -> list[Action]:
        self._taken += len(taken)
        return self._book.adopt(taken, now_ns) if taken else []

    def elsewhere(self, request: ProfileRequest, now_ns: int) -> tuple[ProfileReply | None, list[Action]]:
        """Of a job that is not known here, and that any board of a kind may make: that another collector has it.

        None where nobody has, and where it is ours after all: then it is known from now on. Raises JobStoreFailed.
        """
        job_id = request.job.id
        if self._shared is None or request.where is None:
            return None, []
        with self._lock:
            board = None if self.knows(job_id) else self._shared.board_of(job_id)
            if board is None:
                return None, []
            if not self._book.serves(board[0]):
                return with_another(job_id, board), []
            return None, self._kept(self._book.adopt(self._shared.find(job_id, board[0]), now_ns), now_ns)

    def knows(self, job_id: bytes) -> bool:
        """Whether a job was asked for and is still known. One look into a map: it waits for nobody."""
        return self._book.state_of(job_id) is not None

    def counters(self) -> Mapping[str, int]:
        """What was counted since the start."""
        return {
            **self._book.counts(),
            "jobs_keep_failures": self._failures,
            "jobs_left": self._left,
            "jobs_taken": self._taken,
        }

    def gauges(self) -> Mapping[str, int]:
        """How many jobs wait for a board, are with one, and are known in all."""
        return self._book.gauges()

    def check(self) -> str:
        """What was wrong with the last write, in a line; empty if nothing was."""
        return self._error

    # ---- with the lock held

    def _kept(self, actions: list[Action], now_ns: int) -> list[Action]:
        """What may be done: where the rest could not be kept nothing is sent; it is sent with a later status."""
        actions, is_kept = self._keep(actions, now_ns)
        return self._with_results(actions if is_kept else _without_sends(actions))

    def _keep(self, actions: list[Action], now_ns: int) -> tuple[list[Action], bool]:
        """What is left to do of `actions`, and whether all that is ours is kept."""
        for _ in range(MAX_LEFT_AT_ONCE):
            try:
                return actions, self._try_to_keep()
            except TakenByOthers as why:
                actions, taken = self._leave(why, actions, now_ns), why
        self._note_failure(taken)
        return actions, False

    def _try_to_keep(self) -> bool:
        changes = self._book.changes()
        if not changes:
            return True
        try:
            self._store.keep(changes)
        except TakenByOthers:
            raise
        except JobStoreFailed as why:
            self._note_failure(why)
            return False
        self._error = ""
        self._book.kept()
        return True

    def _note_failure(self, why: JobStoreFailed) -> None:
        if str(why) != self._error:
            log.error("%s", why)
        self._error = str(why)
        self._failures += 1

    def _leave(self, taken: TakenByOthers, actions: list[Action], now_ns: int) -> list[Action]:
        """What is left to do of `actions` once jobs are left to who has them now."""
        left, more = self._book.leave(taken.partitions, taken.jobs, now_ns)
        self._left += len(left)
        if left and taken.partitions:
            log.warning("%d jobs are left to the collectors that serve their partitions now", len(left))
        elif left:
            log.info("%d jobs that wait for any board are left to collectors that have one", len(left))
        return [*(still for one in actions if (still := _still_to_do(one, taken, left)) is not None), *more]

    def _with_results(self, actions: list[Action]) -> list[Action]:
        return [self._with_result(action) if isinstance(action, Answer) else action for action in actions]

    def _with_result(self, answer: Answer) -> Answer:
        if answer.result_of is None or not isinstance(answer.reply, ProfileReply):
            return answer
        try:
            data = self._store.result(answer.result_of)
            result = None if data is None else unpack(data, Record)
        except (JobStoreFailed, BadMessage) as why:
            log.error("the result of job %s cannot be read: %s", answer.reply.job_id.hex(), why)
            result = None
        return Answer(answer.to, replace(answer.reply, result=result))


def _without_sends(actions: Iterable[Action]) -> list[Action]:
    return [action for action in actions if not isinstance(action, Send)]


def _still_to_do(action: Action, taken: TakenByOthers, left: Collection[bytes]) -> Action | None:
    """What is to be done of an action once jobs are left to others: of those it is only said where they are."""
    if isinstance(action, Send):
        theirs = partition_of(action.job.node) in taken.partitions or action.job.id in left
        return None if theirs else action
    if not isinstance(action.reply, ProfileReply) or action.reply.job_id not in left:
        return action
    board = taken.jobs.get(action.reply.job_id)
    return None if board is None else Answer(action.to, with_another(action.reply.job_id, board))
