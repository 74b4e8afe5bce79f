"""Jobs of clients: sent to the board's agent until it has them, followed by its records, answered to who asked.

Pure: what is to be sent comes back as data, every time is an argument. An agent tells a job's states by events in its
records (`tinyprof_protocol.job_states`), so what happened to a job survives what the broker and the collector do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tinyprof_collector.presence import Liveness
from tinyprof_protocol.job_states import ENDED, STATE_OF_EVENT, JobState
from tinyprof_protocol.jobs import Job, ProfileReply
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Event, Record, Result
from tinyprof_protocol.requests import Failure

KEEP_S = 86_400
"""Ids of jobs are kept so long after their deadline: a repeated request is the same job."""
RESULT_GRACE_S = 60
"""How long a job that finished waits for its result, which may come in a later batch."""
MAX_ASKING = 8
_WAITS: Final[dict[Liveness | None, str]] = {
    "online": "",
    "stale": "no word from its agent {node}; the job waits for it until its deadline",
    "offline": "its agent {node} is offline; the job waits for it until its deadline",
    None: "nothing was heard of its agent {node} yet; the job waits for it until its deadline",
}
_ORDER: Final[dict[JobState, int]] = {"queued": 0, "accepted": 1, "started": 2}


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a client waits for its reply, and what tells it which request is answered."""

    topic: str
    correlation: bytes | None


@dataclass(frozen=True, slots=True)
class Send:
    """Publish the job to its agent; it expires in `expiry_s`."""

    job: Job
    expiry_s: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Publish a reply to a client."""

    to: ReplyTo
    reply: ProfileReply | Failure


Action = Send | Answer


@dataclass(slots=True)
class _Entry:
    job: Job
    state: JobState = "queued"
    message: str = ""
    asking: list[ReplyTo] = field(default_factory=list)
    accepted_told: bool = False
    cancelling: bool = False
    result: Record | None = None
    finished_ns: int | None = None


class Jobs:
    """The jobs that clients asked for, at most `max_jobs`; those that ended longest ago make room for new ones."""

    def __init__(self, max_jobs: int) -> None:
        self._max_jobs = max_jobs
        self._entries: dict[bytes, _Entry] = {}
        self.counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def state_of(self, job_id: bytes) -> JobState | None:
        """The state of a job, or None if it is not known."""
        entry = self._entries.get(job_id)
        return None if entry is None else entry.state

    def request(self, job: Job, reply_to: ReplyTo, now_ns: int, agent: Liveness | None = "online") -> list[Action]:
        """A client asks for a job, again for one that it asked for before, or for a job's cancellation.

        It is answered at once, as `queued` until the agent has said something; `agent` is how its agent is, None where
        nothing was heard of it.
        """
        entry = self._entries.get(job.id)
        if entry is None:
            return self._new(job, reply_to, now_ns, agent)
        if (entry.job.node, entry.job.board) != (job.node, job.board):
            return [Answer(reply_to, Failure("job_exists", "a job of that id is for another board; ask with a new id"))]
        if entry.state in ENDED:
            return [Answer(reply_to, _reply(entry))]
        if reply_to not in entry.asking:
            entry.asking = [*entry.asking, reply_to][-MAX_ASKING:]
        if job.cancel:
            entry.cancelling = True
            return self._send(entry, now_ns)
        return [Answer(reply_to, _reply(entry) if entry.accepted_told else _queued(job, agent))]

    def _new(self, job: Job, reply_to: ReplyTo, now_ns: int, agent: Liveness | None) -> list[Action]:
        if job.deadline_ns <= now_ns:
            late = ProfileReply(job.id, "expired", "its deadline has passed already", final=True)
            return [Answer(reply_to, late)]
        if not self._make_room(now_ns):
            self._count("jobs_over_bound")
            text = f"the collector holds {self._max_jobs} jobs that have not ended; ask again later"
            return [Answer(reply_to, Failure("busy", text))]
        entry = self._entries[job.id] = _Entry(job, asking=[reply_to], cancelling=job.cancel)
        self._count("jobs_asked")
        sent = self._send(entry, now_ns)
        return sent if job.cancel else [Answer(reply_to, _queued(job, agent)), *sent]

    def stored(self, node: str, record: Record, now_ns: int) -> list[Action]:
        """Takes a stored record of an agent: a job's state, or its result."""
        body = record.body
        if not isinstance(body, Event | Result) or body.job_id is None:
            return []
        entry = self._entries.get(body.job_id)
        if entry is None or entry.job.node != node:
            return []
        if isinstance(body, Result):
            entry.result = record
            # Result and `finished` are one transaction of the agent's; a final reply may have gone without it.
            return self._end(entry, "finished", "") if entry.state not in ENDED else []
        state = STATE_OF_EVENT.get(body.name)
        return [] if state is None else self._step(entry, state, body.message, now_ns)

    def _step(self, entry: _Entry, state: JobState, message: str, now_ns: int) -> list[Action]:
        if entry.state in ENDED:
            return []
        if state == "finished" and entry.result is None:
            entry.finished_ns = entry.finished_ns or now_ns
            return []
        if state in ENDED:
            return self._end(entry, state, message)
        if _ORDER[state] > _ORDER[entry.state]:
            entry.state, entry.message = state, message
        if entry.accepted_told:
            return []
        entry.accepted_told = True
        return [Answer(to, _reply(entry)) for to in entry.asking]

    def _end(self, entry: _Entry, state: JobState, message: str) -> list[Action]:
        entry.state, entry.message = state, message
        self._count(f"jobs_{state}")
        answers: list[Action] = [Answer(to, _reply(entry)) for to in entry.asking]
        entry.asking = []
        return answers

    def status(self, status: AgentStatus, now_ns: int) -> list[Action]:
        """An agent's status: each job for it that it does not list is sent again; a cancellation while it does."""
        if status.state != "online":
            return []
        held = set(status.jobs)
        actions: list[Action] = []
        for entry in list(self._open()):
            if entry.job.node != status.node or entry.finished_ns is not None:
                continue
            if (entry.job.id in held) == entry.cancelling:
                actions += self._send(entry, now_ns)
            elif entry.cancelling and entry.state == "queued":
                actions += self._end(entry, "cancelled", "before its agent had it")
        return actions

    def tick(self, now_ns: int) -> list[Action]:
        """What time alone brings: deadlines, and results that did not come."""
        actions: list[Action] = []
        for entry in list(self._open()):
            if entry.finished_ns is not None and now_ns - entry.finished_ns > RESULT_GRACE_S * 10**9:
                actions += self._end(entry, "finished", "it finished, but its result has not come")
            elif entry.finished_ns is None and now_ns > entry.job.deadline_ns:
                actions += self._end(entry, "expired", f"its deadline passed while it was {entry.state}")
        for job_id in [job_id for job_id, entry in self._entries.items() if _is_old(entry, now_ns)]:
            del self._entries[job_id]
        return actions

    def _open(self) -> Iterator[_Entry]:
        return (entry for entry in self._entries.values() if entry.state not in ENDED)

    def _send(self, entry: _Entry, now_ns: int) -> list[Action]:
        left_s = (entry.job.deadline_ns - now_ns) // 10**9
        if left_s < 1:
            return []
        job = entry.job
        if entry.cancelling and not job.cancel:
            job = Job(id=job.id, node=job.node, board=job.board, deadline_ns=job.deadline_ns, cancel=True)
        self._count("jobs_sent")
        return [Send(job, min(left_s, 2**31))]

    def _make_room(self, now_ns: int) -> bool:
        if len(self._entries) < self._max_jobs:
            return True
        ended: Iterable[tuple[bytes, _Entry]] = ((i, e) for i, e in self._entries.items() if e.state in ENDED)
        oldest = min(ended, key=lambda item: (item[1].job.deadline_ns > now_ns, item[1].job.deadline_ns), default=None)
        if oldest is None:
            return False
        del self._entries[oldest[0]]
        return True

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


def _is_old(entry: _Entry, now_ns: int) -> bool:
    return entry.state in ENDED and now_ns > entry.job.deadline_ns + KEEP_S * 10**9


def _queued(job: Job, agent: Liveness | None) -> ProfileReply:
    return ProfileReply(job.id, "queued", _WAITS[agent].format(node=job.node))


def _reply(entry: _Entry) -> ProfileReply:
    final = entry.state in ENDED
    return ProfileReply(entry.job.id, entry.state, entry.message, final, entry.result if final else None)
