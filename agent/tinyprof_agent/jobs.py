"""Jobs of clients: taken once, kept until their deadline and a day, and told of by events in the spool."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, Protocol

from tinyprof_agent.spool import JobRow, Spool
from tinyprof_protocol.codec import BadMessage, decode, pack, unpack
from tinyprof_protocol.job_states import ENDED, JobState
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.records import Body, Event, Result

log = logging.getLogger(__name__)

KEPT_AFTER_DEADLINE_NS: Final = 24 * 3600 * 10**9
MAX_ATTEMPTS: Final = 2
MAX_MESSAGE: Final = 300
MAX_LISTED: Final = 1024
TELL_AGAIN_AFTER_NS: Final = 60 * 10**9
"""An end is told again to who sends the job again, but no more often: the record of it may only be on its way."""

Decision = Literal["submit", "refuse", "cancel", "tell", "ignore"]


class TakesJobs(Protocol):
    """A board's worker, as far as jobs go."""

    def submit(self, job: Job, attempt: int = 1) -> None:
        """Takes a job in, or refuses it; either is told by the worker's callback."""

    def refusal(self, job: Job, before: int) -> str | None:
        """Why it cannot take a job in after `before` others, in a line; None where it can."""

    def put(self, job: Job, attempt: int = 1) -> None:
        """Takes in a job that it has not refused, and of which it is recorded that it is accepted."""

    def cancel(self, job_id: bytes) -> bool:
        """Cancels a job that waits or runs; False if it is not here."""


def decide(
    job: Job, node: str, known: JobRow | None, boards: Mapping[str, object], now_ns: int
) -> tuple[Decision, str]:
    """What to do with a job that came, and why it is refused. A repeated job is the same job.

    A cancellation has an answer whatever is known of its job: who sends it waits for one.
    """
    if job.node != node:
        return "ignore", ""
    if job.cancel:
        return ("tell" if known is not None and known.state in ENDED else "cancel"), ""
    if known is not None:
        return ("tell" if known.state in ENDED else "ignore"), ""
    if job.deadline_ns <= now_ns:
        return "refuse", "its deadline is past"
    if job.board not in boards:
        return "refuse", f"this agent has no board {job.board}"
    return "submit", ""


def after_restart(row: JobRow) -> tuple[Decision, int]:
    """What becomes of a job that was held when the agent died, and as which attempt: one that ran runs once more."""
    if row.state in ENDED:
        return "ignore", row.attempt
    if row.state == "accepted":
        return "submit", row.attempt
    return ("submit", row.attempt + 1) if row.attempt < MAX_ATTEMPTS else ("refuse", row.attempt)


class JobBook:
    """Keeps the jobs of an agent. `came` and `resume` are called from one thread, `on_state` from any worker's."""

    def __init__(
        self, spool: Spool, node: str, now_ns: Callable[[], int], on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._spool = spool
        self._node = node
        self._now_ns = now_ns
        self._on_change = on_change
        self._workers: Mapping[str, TakesJobs] = {}
        self._rows: dict[bytes, JobRow] = {row.id: row for row in spool.jobs()}
        self._moving = threading.Lock()
        self._ended_ns: dict[bytes, int] = {}
        """When the end of a job was told last, since the start."""
        self.counters: dict[str, int] = {}

    def resume(self, workers: Mapping[str, TakesJobs]) -> None:
        """Takes up what an earlier start of the agent left, now that there are workers."""
        self._workers = workers
        self.forget_old()
        for row in list(self._rows.values()):
            decision, attempt = after_restart(row)
            if decision == "ignore":
                continue
            try:
                job = unpack(row.job, Job)
            except BadMessage:
                continue
            worker = workers.get(job.board)
            if decision == "refuse":
                self.on_state("interrupted", job, "the agent ended while it ran, twice")
            elif worker is None:
                self.on_state("interrupted", job, f"this agent has no board {job.board} any more")
            else:
                self._rows[row.id] = JobRow(row.id, row.deadline_ns, row.state, attempt, row.job)
                worker.submit(job, attempt)

    def came(self, payloads: Iterable[bytes]) -> None:
        """Messages on this agent's `jobs` topic. Those that are accepted are recorded together, then taken in."""
        accepted: dict[bytes, Job] = {}
        for payload in payloads:
            try:
                job = decode(payload, Job)
            except BadMessage as why:
                self._count("bad_jobs")
                log.warning("a job cannot be read: %s", why)
                continue
            if job.cancel:
                self._accept(accepted)  # what it cancels may have come just before
                accepted = {}
            if job.id not in accepted:
                self._take(job, accepted)
        self._accept(accepted)

    def _take(self, job: Job, accepted: dict[bytes, Job]) -> None:
        decision, why_not = decide(job, self._node, self._rows.get(job.id), self._workers, self._now_ns())
        self._count(f"jobs_{decision}")
        if decision == "submit":
            before = sum(other.board == job.board for other in accepted.values())
            refusal = self._workers[job.board].refusal(job, before)
            if refusal is None:
                accepted[job.id] = job
            else:
                self.on_state("refused", job, refusal)
        elif decision == "refuse":
            self.on_state("refused", job, why_not)
        elif decision == "tell":
            self._tell_again(self._rows[job.id], job)
        elif decision == "cancel" and not self._cancel(job.id):
            self.on_state("cancelled", job, "no board had it any more")

    def _accept(self, accepted: Mapping[bytes, Job]) -> None:
        if not accepted:
            return
        rows = [JobRow(job.id, job.deadline_ns, "accepted", 1, pack(job)) for job in accepted.values()]
        events = [Event("job_accepted", board=job.board, job_id=job.id, attempt=1) for job in accepted.values()]
        self._rows.update({row.id: row for row in rows})
        if not self._spool.record(events, jobs=rows):
            log.error("%d jobs: that they are accepted could not be spooled", len(rows))
        self._on_change()
        for job in accepted.values():
            self._workers[job.board].put(job)

    def _tell_again(self, row: JobRow, job: Job) -> None:
        """Whoever sends a job that has ended here has lost the word of it, or that word is still on its way."""
        now_ns = self._now_ns()
        if not 0 <= now_ns - self._ended_ns.get(row.id, 0) < TELL_AGAIN_AFTER_NS:
            self._ended_ns[row.id] = now_ns
            text = "told again: it had ended when it was sent again"
            told = Event(f"job_{row.state}", message=text, board=job.board, job_id=row.id, attempt=row.attempt)
            self._spool.record([told])

    def _cancel(self, job_id: bytes) -> bool:
        return any(worker.cancel(job_id) for worker in self._workers.values())

    def on_state(self, state: JobState, job: Job, message: str = "", result: Result | None = None) -> None:
        """Records a job's new state; with its result, if it has one, in the same transaction."""
        row = self._moved(state, job)
        if row is None:
            return
        event = Event(
            f"job_{state}", message=message[:MAX_MESSAGE], board=job.board, job_id=job.id, attempt=row.attempt
        )
        bodies: list[Body] = [event] if result is None else [event, result]
        if not self._spool.record(bodies, jobs=[row]):
            log.error("job %s: %s could not be spooled", job.id.hex(), state)
        self._on_change()

    def _moved(self, state: JobState, job: Job) -> JobRow | None:
        """The job in its new state; None where it has ended already, in this thread or in another."""
        with self._moving:
            known = self._rows.get(job.id)
            if known is not None and known.state in ENDED:
                return None
            attempt, packed = (known.attempt, known.job) if known is not None else (1, pack(job))
            row = self._rows[job.id] = JobRow(job.id, job.deadline_ns, state, attempt, packed)
            if state in ENDED:
                self._ended_ns[job.id] = self._now_ns()
            return row

    def held(self) -> list[bytes]:
        """Jobs that are accepted and not yet ended."""
        return [row.id for row in list(self._rows.values()) if row.state not in ENDED][:MAX_LISTED]

    def forget_old(self) -> None:
        """Drops what is past its deadline by a day."""
        before_ns = self._now_ns() - KEPT_AFTER_DEADLINE_NS
        old = [row.id for row in list(self._rows.values()) if row.deadline_ns < before_ns]
        if old:
            self._spool.forget_jobs(before_ns)
        for job_id in old:
            self._rows.pop(job_id, None)
            self._ended_ns.pop(job_id, None)

    def _count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1
