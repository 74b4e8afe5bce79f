"""The book of jobs: which run is made for each, and what is to be said and sent about them.

Pure: what is to be done comes back as data, every time is an argument. A new job is pending until its owner has kept
it and says `begin`: nothing is promised or sent before. An agent tells a job's states by events in its records
(`tinyprof_protocol.job_states`), so what happened to a job survives what the broker and the collector do.
"""

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Action, ReplyTo
from tinyprof_collector.jobs.asked import Asked
from tinyprof_collector.jobs.deadlines import KEEP_S, LATE_GRACE_S, RESULT_GRACE_S, Deadlines
from tinyprof_collector.jobs.entry import Entry, KeptJob, Run, entry_of, kept_of, state_of
from tinyprof_collector.jobs.jobs_and_runs import JobsAndRuns
from tinyprof_collector.jobs.offering import offers_of, wanted
from tinyprof_collector.jobs.store import JobChanges, Offer
from tinyprof_collector.jobs.told import Told
from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_collector.presence import Agent
from tinyprof_protocol.job_states import JobState
from tinyprof_protocol.jobs import JobsReply, JobsRequest, ProfileRequest
from tinyprof_protocol.names import PARTITIONS, partition_of
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record

__all__ = ["KEEP_S", "LATE_GRACE_S", "RESULT_GRACE_S", "JobBook"]


class JobBook:
    """All jobs of a collector, at most `max_jobs`. `agents` are those that are known, by node, as they change.

    `partitions` are those that the collector serves; `shared`: others may make runs that any board would do for.
    """

    def __init__(
        self,
        max_jobs: int,
        agents: Mapping[str, Agent],
        stale_intervals: float = 3.0,
        partitions: Collection[int] = range(PARTITIONS),
        *,
        shared: bool = False,
    ) -> None:
        self._partitions = frozenset(partitions)
        self._jobs = JobsAndRuns(max_jobs, agents, stale_intervals)
        self._asked = Asked(self._jobs, agents, stale_intervals, shared=shared)
        self._told = Told(self._jobs)
        self._deadlines = Deadlines(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs.entries)

    def state_of(self, job_id: bytes) -> JobState | None:
        """The state of a job, or None if it is not known."""
        entry = self._jobs.entries.get(job_id)
        return None if entry is None else state_of(entry, self._jobs.run_of(entry))

    def counts(self) -> dict[str, int]:
        """What was counted since the start: jobs asked, sent, joined, and ended in each way."""
        return {**self._jobs.counts, "jobs_sent": self._jobs.runs.sent, "jobs_let_go": self._jobs.register.let_go}

    def gauges(self) -> dict[str, int]:
        """How many runs wait for a board, are with one, and how many jobs are known in all."""
        queued = self._jobs.runs.waiting()
        running = len(self._jobs.runs.by_id) - queued
        return {"jobs_queued": queued, "jobs_running": running, "jobs_kept": len(self._jobs.entries)}

    def serves(self, node: str) -> bool:
        """Whether a node's boards are this collector's."""
        return partition_of(node) in self._partitions - self._jobs.runs.dispatcher.left

    def open_boards(self) -> dict[BoardKey, int]:
        """The boards that open runs may be with, each with when the first of their jobs was asked for."""
        return self._jobs.runs.open_boards()

    # ---- what outlives the collector

    def restore(self, kept: Iterable[KeptJob]) -> None:
        """Takes what was kept, at the start. All that has not ended waits for its turn; its agent may have it already.

        What was sent to a board that any would have done for stays with that one. What is joined to a run that
        another collector has now gets one of its own.
        """
        kept = list(kept)
        ids, anew = {one.request.job.id for one in kept}, dict[bytes, bytes]()
        opened: list[Run] = []
        for one in kept:
            entry = entry_of(one)
            self._jobs.register.restore(entry)
            if entry.ended is not None:
                continue
            if self._is_lost(entry, ids):
                entry.run_id, entry.place = anew.setdefault(entry.run_id, entry.id), None
                self._jobs.register.change(entry.id)
            run = self._jobs.runs.by_id.get(entry.run_id)
            if run is None:
                run = self._jobs.runs.open(entry, replace(entry.request.job, id=entry.run_id), entry.place)
                opened.append(run)
            run.members.append(entry.id)
            run.cancelling = run.cancelling or one.cancelling
        for run in opened:
            self._jobs.runs.dispatcher.put(run)

    def _is_lost(self, entry: Entry, ids: Collection[bytes]) -> bool:
        """Whether a job is joined to a run that is not ours: it is at a node of others, or waits with theirs."""
        if entry.run_id == entry.id:
            return False
        if entry.place is not None:
            return not self.serves(entry.place[0])
        return entry.run_id not in ids

    def changes(self) -> JobChanges:
        """What is to be kept, until `kept` says that it is."""
        return self._jobs.register.changes(lambda entry: kept_of(entry, self._jobs.run_of(entry)))

    def kept(self) -> None:
        """All that `changes` gave is kept."""
        self._jobs.register.kept()

    # ---- what clients ask

    def ask(self, request: ProfileRequest, to: ReplyTo, now_ns: int) -> list[Action]:
        """A client asks for a job, again for one that it asked for before, or for a job's cancellation.

        A new job is answered by `begin`, all else at once.
        """
        return self._asked.ask(request, to, now_ns)

    def begin(self, now_ns: int) -> list[Action]:
        """The new jobs are kept: they are promised to who asked, and wait for their turn."""
        return self._asked.begin(now_ns)

    def give_up(self, why: str) -> list[Action]:
        """The new jobs cannot be kept: they are none."""
        return self._asked.give_up(why)

    def listing(self, asked: JobsRequest) -> JobsReply:
        """A page of jobs: those that are open first, as they were asked for; then those that ended, newest first."""
        return self._asked.listing(asked)

    def cancel(self, asked: JobsRequest, now_ns: int) -> tuple[JobsReply, list[Action]]:
        """Cancels the open jobs that are meant; of leaving everything out, none."""
        return self._asked.cancel(asked, now_ns)

    def leave(
        self, partitions: Collection[int], jobs: Mapping[bytes, BoardKey | None], now_ns: int
    ) -> tuple[set[bytes], list[Action]]:
        """Other collectors serve these partitions and have these jobs, each with the board that it was taken for.

        The ids of the jobs that are theirs now, and what is to be said and sent.
        """
        left, actions = self._jobs.leave(partitions, jobs, now_ns)
        return {entry.id for entry in left}, [*actions, *self._asked.leave(left, jobs)]

    # ---- what collectors take from each other

    def offers(self) -> list[Offer]:
        """The runs that wait here and that a board of any collector may make."""
        return offers_of(self._jobs.runs.by_id.values(), self._jobs.entries)

    def wanted(self, offers: Iterable[Offer], now_ns: int) -> list[tuple[Offer, BoardKey]]:
        """Of what others offer, what boards here would make at once, each with its board."""
        others = [offer for offer in offers if not any(job_id in self._jobs.entries for job_id in offer.jobs)]
        if not others or not self._jobs.register.make_room(0):
            return []
        return wanted(others, self._jobs.runs.dispatcher.rooms(now_ns), now_ns)

    def adopt(self, kept: Iterable[KeptJob], now_ns: int) -> list[Action]:
        """Takes jobs that are ours now, as they are kept; those that wait get their turn."""
        new = [one for one in kept if one.request.job.id not in self._jobs.entries]
        self.restore(new)
        runs = [self._jobs.runs.by_id.get(one.run_id) for one in new]
        targets = dict.fromkeys(run.target for run in runs if run is not None)
        return self._jobs.runs.dispatch(self._jobs.runs.dispatcher.boards_for(targets), now_ns)

    # ---- what agents say

    def stored(self, records: Iterable[tuple[str, Record]], now_ns: int) -> list[Action]:
        """Takes stored records of agents, each with its node: states of jobs, and results."""
        return self._told.stored(records, now_ns)

    def status(self, status: AgentStatus, now_ns: int) -> list[Action]:
        """An agent's status: each run that it does not list is sent again, and each cancellation."""
        return self._told.status(status, now_ns)

    # ---- what time brings

    def tick(self, now_ns: int) -> list[Action]:
        """Deadlines, results that did not come, ids that are old enough to be forgotten."""
        return self._deadlines.tick(now_ns)
