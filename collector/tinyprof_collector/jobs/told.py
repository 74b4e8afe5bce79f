"""What agents say of jobs, by events and results among their records and by their statuses. Pure."""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Action, Send
from tinyprof_collector.jobs.entry import Run, left_s
from tinyprof_collector.jobs.jobs_and_runs import JobsAndRuns
from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_protocol.job_states import ENDED, STATE_OF_EVENT, JobState
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Event, Record, Result

S: Final = 10**9
RESEND_AFTER_S: Final = 1
"""A run that was sent less long ago may be on its way while its agent says what it has."""
_ORDER: Final[dict[JobState, int]] = {"queued": 0, "accepted": 1, "started": 2}


class Told:
    """The states of runs as their agents tell them."""

    def __init__(self, jobs: JobsAndRuns) -> None:
        self._jobs = jobs

    def stored(self, records: Iterable[tuple[str, Record]], now_ns: int) -> list[Action]:
        """Takes stored records of agents, each with its node: states of jobs, and results."""
        actions: list[Action] = []
        moved: dict[bytes, Run] = {}
        freed: dict[BoardKey, None] = {}
        for node, record in records:
            body = record.body
            if not isinstance(body, Event | Result) or body.job_id is None:
                continue
            run = self._jobs.runs.by_id.get(body.job_id)
            if run is None:
                self._take_late(body, record)
            elif self._jobs.runs.is_with(run, node, body.board or "", now_ns):
                actions += self._take(run, body, record, now_ns)
                moved[run.id] = run
                if run.id not in self._jobs.runs.by_id and run.place is not None:
                    freed[run.place] = None
        for run in moved.values():
            if run.id in self._jobs.runs.by_id:
                actions += self._jobs.tell_members(run)
        return actions + self._jobs.runs.dispatch(freed, now_ns)

    def _take(self, run: Run, body: Event | Result, record: Record, now_ns: int) -> list[Action]:
        if isinstance(body, Result):
            # Result and `finished` are one transaction of the agent's.
            run.result = record
            if run.began_ns is not None and run.place is not None and record.time_ns >= run.began_ns:
                self._jobs.runs.dispatcher.took(run.place, (record.time_ns - run.began_ns) / 1e9)
            return self._jobs.end_run(run, "finished", "", now_ns)
        state = STATE_OF_EVENT.get(body.name)
        if state is None:
            return []
        if state == "finished":
            run.finished_ns = run.finished_ns or now_ns
            return []
        if state in ENDED:
            return self._jobs.end_run(run, state, body.message, now_ns)
        if _ORDER[state] > _ORDER[run.state]:
            run.state, run.message = state, body.message
        if state == "started":
            run.started_ns, run.began_ns = run.started_ns or now_ns, record.time_ns
        return []

    def _take_late(self, body: Event | Result, record: Record) -> None:
        """The result of a run that was given up: whoever of its jobs asks again gets it."""
        if isinstance(body, Result):
            for entry in self._jobs.register.without_result(body.job_id or b""):
                self._jobs.register.add_result(entry, record)

    def status(self, status: AgentStatus, now_ns: int) -> list[Action]:
        """An agent's status: each run that it does not list is sent again, and each cancellation: listed or not, the
        agent says what became of that job.
        """
        if status.state != "online":
            return []
        held = set(status.jobs)
        actions = self._take_held(status.node, held, now_ns)
        for run_id in list(self._jobs.runs.dispatcher.runs_of(status.node)):
            run = self._jobs.runs.by_id.get(run_id)
            if run is None or run.finished_ns is not None:
                continue
            if run.cancelling and run_id not in held and run.state == "queued":
                actions += self._jobs.end_run(run, "cancelled", "before its agent had it", now_ns)
            elif (run.cancelling or run_id not in held) and not 0 <= now_ns - run.sent_ns < RESEND_AFTER_S * S:
                actions += self._jobs.runs.send(run, now_ns)
        return actions + self._jobs.runs.dispatch(self._jobs.runs.dispatcher.boards_of(status.node), now_ns)

    def _take_held(self, node: str, held: set[bytes], now_ns: int) -> list[Action]:
        """What an agent holds is with it, whatever was thought; what nobody waits for any more is cancelled."""
        actions: list[Action] = []
        for run_id in held:
            run, entry = self._jobs.runs.by_id.get(run_id), self._jobs.entries.get(run_id)
            if (
                run is not None
                and isinstance(run.target, tuple)
                and self._jobs.runs.is_with(run, node, run.target[1], now_ns)
            ):
                if run.state == "queued":
                    run.state = "accepted"
                    actions += self._jobs.tell_members(run)
            elif run is None and entry is not None and entry.ended == "cancelled" and entry.place is not None:
                gone = replace(entry.request.job, node=node, board=entry.place[1], prompts=[], cancel=True)
                actions.append(Send(gone, max(1, left_s(gone, now_ns))))
        return actions
