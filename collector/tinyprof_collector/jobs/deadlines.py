"""What time brings to jobs: deadlines, results that did not come, ids that are old enough to be forgotten. Pure."""

from typing import Final

from tinyprof_collector.jobs.actions import Action
from tinyprof_collector.jobs.entry import Run
from tinyprof_collector.jobs.jobs_and_runs import JobsAndRuns
from tinyprof_collector.jobs.waiting import BoardKey

S: Final = 10**9
KEEP_S: Final = 86_400
"""Ids of jobs are kept so long after their deadline: a repeated request is the same job."""
RESULT_GRACE_S: Final = 60
"""How long a job that finished waits for its result, which may come in a later batch."""
LATE_GRACE_S: Final = 15
"""How long after its deadline a run that has started is waited for: its agent ends it soon after, and says so."""


class Deadlines:
    """Looked at every second or so."""

    def __init__(self, jobs: JobsAndRuns) -> None:
        self._jobs = jobs

    def tick(self, now_ns: int) -> list[Action]:
        """Deadlines, results that did not come, ids that are old enough to be forgotten."""
        actions: list[Action] = []
        freed: dict[BoardKey, None] = {}
        for run in list(self._jobs.runs.by_id.values()):
            actions += self._expire_members(run, now_ns)
            if run.id in self._jobs.runs.by_id:
                actions += self._expire(run, now_ns)
            if run.id not in self._jobs.runs.by_id and run.place is not None:
                freed[run.place] = None
        old = [
            i for i in self._jobs.register.ended if now_ns > self._jobs.entries[i].request.job.deadline_ns + KEEP_S * S
        ]
        for job_id in old:
            self._jobs.register.forget(self._jobs.entries[job_id])
        return actions + self._jobs.runs.dispatch(freed, now_ns)

    def _expire(self, run: Run, now_ns: int) -> list[Action]:
        if run.finished_ns is not None:
            run.finished_ns = min(run.finished_ns, now_ns)  # the clock may have been set back
        if run.finished_ns is not None and now_ns - run.finished_ns > RESULT_GRACE_S * S:
            return self._jobs.end_run(run, "finished", "it finished, but its result has not come", now_ns)
        if run.finished_ns is None and now_ns > run.job.deadline_ns + _grace_s(run) * S:
            return self._jobs.end_run(run, "expired", f"its deadline passed while it was {run.state}", now_ns)
        return []

    def _expire_members(self, run: Run, now_ns: int) -> list[Action]:
        """Those that are joined to a run and want it earlier than it ends; the last one stays with it."""
        actions: list[Action] = []
        for member in list(run.members):
            entry = self._jobs.entries[member]
            late = now_ns > entry.request.job.deadline_ns + _grace_s(run) * S
            if late and member != run.id and len(run.members) > 1:
                run.members.remove(member)
                actions += self._jobs.end(entry, "expired", f"its deadline passed while it was {run.state}", now_ns)
        return actions


def _grace_s(run: Run) -> int:
    return LATE_GRACE_S if run.state == "started" else 0
