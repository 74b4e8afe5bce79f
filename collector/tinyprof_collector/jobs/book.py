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
from tinyprof_collector.jobs.entry import KeptJob, entry_of, kept_of, state_of
from tinyprof_collector.jobs.jobs_and_runs import JobsAndRuns
from tinyprof_collector.jobs.store import JobChanges
from tinyprof_collector.jobs.told import Told
from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_collector.presence import Agent
from tinyprof_protocol.job_states import JobState
from tinyprof_protocol.jobs import JobsReply, JobsRequest, ProfileRequest
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record

__all__ = ["KEEP_S", "LATE_GRACE_S", "RESULT_GRACE_S", "JobBook"]


class JobBook:
    """All jobs of a collector, at most `max_jobs`. `agents` are those that are known, by node, as they change."""

    def __init__(self, max_jobs: int, agents: Mapping[str, Agent], stale_intervals: float = 3.0) -> None:
        self._jobs = JobsAndRuns(max_jobs, agents, stale_intervals)
        self._asked = Asked(self._jobs, agents, stale_intervals)
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

    def open_boards(self) -> dict[BoardKey, int]:
        """The boards that open runs may be with, each with when the first of their jobs was asked for."""
        return self._jobs.runs.open_boards()

    # ---- what outlives the collector

    def restore(self, kept: Iterable[KeptJob]) -> None:
        """Takes what was kept, at the start. All that has not ended waits for its turn; its agent may have it already.

        What was sent to a board that any would have done for stays with that one.
        """
        for one in kept:
            entry = entry_of(one)
            self._jobs.register.restore(entry)
            if entry.ended is not None:
                continue
            run = self._jobs.runs.by_id.get(entry.run_id)
            if run is None:
                run = self._jobs.runs.open(entry, replace(entry.request.job, id=entry.run_id), entry.place)
            run.members.append(entry.id)
            run.cancelling = run.cancelling or one.cancelling
        for run in self._jobs.runs.by_id.values():
            self._jobs.runs.dispatcher.put(run)

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

    def leave(self, partitions: Collection[int]) -> tuple[set[bytes], list[Action]]:
        """Other collectors serve these partitions: the ids of the jobs that are theirs now, and what is to be said."""
        left = self._jobs.leave(partitions)
        return left, self._asked.leave(left)

    # ---- what agents say

    def stored(self, records: Iterable[tuple[str, Record]], now_ns: int) -> list[Action]:
        """Takes stored records of agents, each with its node: states of jobs, and results."""
        return self._told.stored(records, now_ns)

    def status(self, status: AgentStatus, now_ns: int) -> list[Action]:
        """An agent's status: each run that it does not list is sent again; a cancellation while it does."""
        return self._told.status(status, now_ns)

    # ---- what time brings

    def tick(self, now_ns: int) -> list[Action]:
        """Deadlines, results that did not come, ids that are old enough to be forgotten."""
        return self._deadlines.tick(now_ns)
