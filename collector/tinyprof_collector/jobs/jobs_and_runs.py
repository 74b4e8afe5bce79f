"""The jobs and their runs, and what becomes of both: who is told of a state, and how a job or a run ends. Pure."""

from collections.abc import Collection, Iterable, Mapping

from tinyprof_collector.jobs.actions import Action, Answer
from tinyprof_collector.jobs.entry import Entry, Run, reply_of
from tinyprof_collector.jobs.register import Register
from tinyprof_collector.jobs.runs import Runs
from tinyprof_collector.presence import Agent
from tinyprof_protocol.job_states import JobState
from tinyprof_protocol.names import partition_of


class JobsAndRuns:
    """What the parts of the book share."""

    def __init__(self, max_jobs: int, agents: Mapping[str, Agent], stale_intervals: float) -> None:
        self.register = Register(max_jobs)
        self.runs = Runs(agents, stale_intervals, self.register)
        self.entries = self.register.entries
        self.counts: dict[str, int] = {}

    def run_of(self, entry: Entry) -> Run | None:
        """The run of a job that has not ended."""
        return self.runs.by_id.get(entry.run_id) if entry.ended is None else None

    def leave(
        self, partitions: Collection[int], jobs: Collection[bytes], now_ns: int
    ) -> tuple[list[Entry], list[Action]]:
        """Forgets these jobs and those that are kept in these partitions: others have them now. Nobody is told of them.

        Those that had only joined a run which is another's now get one of their own.
        """
        self.runs.dispatcher.leave(partitions)
        left = [one for one in self.entries.values() if one.id in jobs or partition_of(one.home[0]) in partitions]
        for entry in left:
            run = self.run_of(entry)
            if run is not None:
                run.members.remove(entry.id)
            self.register.leave(entry)
        ids, actions = {entry.id for entry in left}, list[Action]()
        for run in list(self.runs.by_id.values()):
            if not run.members:
                self.runs.close(run)
            elif run.id in ids or (run.at is not None and partition_of(run.at[0]) in partitions):
                actions += self._lose(run, now_ns)
        return left, actions

    def _lose(self, run: Run, now_ns: int) -> list[Action]:
        self.runs.close(run)
        members = [self.entries[member] for member in run.members]
        for entry in members:
            entry.go_home()
        return self._make_anew(members, now_ns)

    def end_run(self, run: Run, state: JobState, message: str, now_ns: int) -> list[Action]:
        """Ends a run and its jobs; what ended without a result is made anew for those that were only joined to it."""
        self.runs.close(run)
        actions: list[Action] = []
        rest: list[Entry] = []
        for member in run.members:
            entry = self.entries[member]
            if state != "finished" and member != run.id and entry.request.job.deadline_ns > now_ns:
                rest.append(entry)
            else:
                actions += self.end(entry, state, message, now_ns, run)
        return actions + (self._make_anew(rest, now_ns) if rest else [])

    def _make_anew(self, entries: list[Entry], now_ns: int) -> list[Action]:
        """A run of their own for jobs that have lost the one that they were joined to."""
        first, *others = entries
        first.run_id = first.id
        run = self.runs.open(first, first.request.job)
        run.members = [entry.id for entry in entries]
        for entry in others:
            entry.run_id, entry.place = run.id, first.place
        self.register.change(*run.members)
        self.runs.dispatcher.put(run)
        # Who was told nothing yet is told nothing before the job is kept.
        told = [one for one in entries if one.told is not None]
        return self._tell(told, run) + self.runs.dispatch(self.runs.dispatcher.boards_for([run.target]), now_ns)

    def end(self, entry: Entry, state: JobState, message: str, now_ns: int, run: Run | None = None) -> list[Action]:
        """A job ends, with its run or for itself: who asked for it is told."""
        entry.ended, entry.message, entry.ended_ns = state, message, now_ns
        entry.started_ns = run.started_ns if run is not None else None
        record = run.result if run is not None and state == "finished" else None
        self.register.end(entry, record)
        self.count(f"jobs_{state}")
        answers: list[Action] = [Answer(to, reply_of(entry, None, result=record)) for to in entry.asking]
        entry.asking, entry.told = [], state
        return answers

    def tell_members(self, run: Run) -> list[Action]:
        """Tells those who asked for a run's jobs the state that it has come to."""
        return self._tell([self.entries[member] for member in run.members], run)

    def _tell(self, entries: Iterable[Entry], run: Run) -> list[Action]:
        answers: list[Action] = []
        for entry in entries:
            if entry.told != run.state:
                entry.told = run.state
                answers += [Answer(to, reply_of(entry, run)) for to in entry.asking]
        return answers

    def count(self, name: str) -> None:
        """Counts one more."""
        self.counts[name] = self.counts.get(name, 0) + 1
