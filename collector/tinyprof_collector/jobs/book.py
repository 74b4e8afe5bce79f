"""The book of jobs: which run is made for each, and what is to be said and sent about them.

Pure: what is to be done comes back as data, every time is an argument. A new job is pending until its owner has kept
it and says `begin`: nothing is promised or sent before. An agent tells a job's states by events in its records
(`tinyprof_protocol.job_states`), so what happened to a job survives what the broker and the collector do.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Action, Answer, ReplyTo, Send
from tinyprof_collector.jobs.entry import (
    Entry,
    KeptJob,
    Run,
    entry_of,
    kept_of,
    left_s,
    reply_of,
    state_of,
    view_of,
    weight_of,
)
from tinyprof_collector.jobs.register import Register
from tinyprof_collector.jobs.runs import Runs
from tinyprof_collector.jobs.store import JobChanges
from tinyprof_collector.jobs.waiting import BoardKey, Target
from tinyprof_collector.jobs.words import unmatched, waits_for
from tinyprof_collector.presence import Agent
from tinyprof_collector.where import boards_like
from tinyprof_platforms.suites import MAX_PROMPT_BYTES
from tinyprof_protocol.job_states import ENDED, STATE_OF_EVENT, JobState
from tinyprof_protocol.jobs import JobsReply, JobsRequest, JobView, ProfileReply, ProfileRequest
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Event, Record, Result
from tinyprof_protocol.requests import Failure

S: Final = 10**9
KEEP_S: Final = 86_400
"""Ids of jobs are kept so long after their deadline: a repeated request is the same job."""
RESULT_GRACE_S: Final = 60
"""How long a job that finished waits for its result, which may come in a later batch."""
LATE_GRACE_S: Final = 15
"""How long after its deadline a run that has started is waited for: its agent ends it soon after, and says so."""
RESEND_AFTER_S: Final = 1
"""A run that was sent less long ago may be on its way while its agent says what it has."""
MAX_ASKING: Final = 8
_ORDER: Final[dict[JobState, int]] = {"queued": 0, "accepted": 1, "started": 2}


class JobBook:
    """All jobs of a collector, at most `max_jobs`. `agents` are those that are known, by node, as they change."""

    def __init__(self, max_jobs: int, agents: Mapping[str, Agent], stale_intervals: float = 3.0) -> None:
        self._agents = agents
        self._stale_intervals = stale_intervals
        self._register = Register(max_jobs)
        self._runs = Runs(agents, stale_intervals, self._register)
        self._entries = self._register.entries
        self._pending: list[tuple[Entry, ReplyTo]] = []
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def state_of(self, job_id: bytes) -> JobState | None:
        """The state of a job, or None if it is not known."""
        entry = self._entries.get(job_id)
        return None if entry is None else state_of(entry, self._run_of(entry))

    def counts(self) -> dict[str, int]:
        """What was counted since the start: jobs asked, sent, joined, and ended in each way."""
        return {**self._counts, "jobs_sent": self._runs.sent, "jobs_let_go": self._register.let_go}

    def gauges(self) -> dict[str, int]:
        """How many runs wait for a board, are with one, and how many jobs are known in all."""
        queued = self._runs.waiting()
        running = len(self._runs.by_id) - queued
        return {"jobs_queued": queued, "jobs_running": running, "jobs_kept": len(self._entries)}

    def open_boards(self) -> set[BoardKey]:
        """The boards that open runs may be with."""
        return self._runs.open_boards()

    # ---- what outlives the collector

    def restore(self, kept: Iterable[KeptJob]) -> None:
        """Takes what was kept, at the start. All that has not ended waits for its turn; its agent may have it already.

        What was sent to a board that any would have done for stays with that one.
        """
        for one in kept:
            entry = entry_of(one)
            self._register.restore(entry)
            if entry.ended is not None:
                continue
            run = self._runs.by_id.get(entry.run_id)
            if run is None:
                run = self._runs.open(entry, replace(entry.request.job, id=entry.run_id), entry.place)
            run.members.append(entry.id)
            run.cancelling = run.cancelling or one.cancelling
        for run in self._runs.by_id.values():
            self._runs.dispatcher.put(run)

    def changes(self) -> JobChanges:
        """What is to be kept, until `kept` says that it is."""
        return self._register.changes(lambda entry: kept_of(entry, self._run_of(entry)))

    def kept(self) -> None:
        """All that `changes` gave is kept."""
        self._register.kept()

    # ---- what clients ask

    def ask(self, request: ProfileRequest, to: ReplyTo, now_ns: int) -> list[Action]:
        """A client asks for a job, again for one that it asked for before, or for a job's cancellation.

        A new job is answered by `begin`, all else at once.
        """
        entry = self._entries.get(request.job.id)
        if entry is None:
            return self._new(request, to, now_ns)
        if (entry.request.job.node, entry.request.job.board) != (request.job.node, request.job.board):
            return [Answer(to, Failure("job_exists", "a job of that id is for another board; ask with a new id"))]
        if entry.ended is not None:
            record, kept_under = self._register.result_of(entry)
            return [Answer(to, reply_of(entry, None, result=record), kept_under)]
        if to not in entry.asking:
            entry.asking = [*entry.asking, to][-MAX_ASKING:]
        if request.job.cancel:
            return self._cancel(entry, now_ns)
        if any(pending is entry for pending, _ in self._pending):
            self._pending.append((entry, to))
            return []
        return [Answer(to, self._reply(entry, now_ns))]

    def _new(self, request: ProfileRequest, to: ReplyTo, now_ns: int) -> list[Action]:
        job = request.job
        if job.cancel:
            gone = ProfileReply(job.id, "cancelled", "no such job is known here", final=True)
            return [Send(job, max(1, left_s(job, now_ns))), Answer(to, gone)]
        if job.deadline_ns <= now_ns:
            return [Answer(to, ProfileReply(job.id, "expired", "its deadline has passed already", final=True))]
        weight = weight_of(request)
        refusal = self._refusal(request, weight)
        if refusal is not None:
            return [Answer(to, refusal)]
        entry = Entry(request, to.client, now_ns, job.id, asking=[to], weight=weight)
        self._register.add(entry)
        self._pending.append((entry, to))
        self._runs.join_or_open(entry, now_ns)
        return []

    def _refusal(self, request: ProfileRequest, weight: int) -> Failure | None:
        if weight > MAX_PROMPT_BYTES:
            return Failure("too_long", f"its prompts have {weight} bytes together, over {MAX_PROMPT_BYTES}")
        where = request.where
        if where is not None and not any(True for _ in boards_like(where, self._agents)):
            return Failure("unknown_board", unmatched(where))
        if not self._runs.dispatcher.takes(where) or not self._register.make_room(weight):
            self._count("jobs_over_bound")
            open_jobs = self._register.open_jobs()
            return Failure("busy", f"the collector holds {open_jobs} jobs that have not ended; ask again later")
        return None

    def begin(self, now_ns: int) -> list[Action]:
        """The new jobs are kept: they are promised to who asked, and wait for their turn."""
        actions: list[Action] = []
        targets: dict[Target, None] = {}
        begun: set[bytes] = set()
        for entry, to in self._pending:
            run = self._run_of(entry)
            if run is None:
                continue  # cancelled at once
            if entry.id not in begun:
                begun.add(entry.id)
                self._count("jobs_asked")
                if run.id == entry.id:
                    self._runs.dispatcher.put(run)
                else:
                    self._count("jobs_joined")
            targets[run.target] = None
            entry.told = run.state
            actions.append(Answer(to, self._reply(entry, now_ns)))
        self._pending.clear()
        return actions + self._runs.dispatch(self._runs.dispatcher.boards_for(targets), now_ns)

    def give_up(self, why: str) -> list[Action]:
        """The new jobs cannot be kept: they are none."""
        answers: list[Action] = []
        for entry, to in reversed(self._pending):
            answers.append(Answer(to, Failure("not_kept", f"the job cannot be kept: {why}"[:300])))
            if entry.id not in self._entries:
                continue
            run = self._run_of(entry)
            if run is not None:
                run.members.remove(entry.id)
                if not run.members:
                    self._runs.close(run)
            self._register.forget(entry)
        self._pending.clear()
        return answers

    def listing(self, asked: JobsRequest) -> JobsReply:
        """A page of jobs: those that are open first, as they were asked for; then those that ended, newest first."""
        chosen = sorted(
            self._register.chosen(asked), key=lambda e: (e.ended is not None, -(e.ended_ns or 0), e.asked_ns)
        )
        return JobsReply(self._views(chosen[asked.offset : asked.offset + asked.limit]), len(chosen))

    def cancel(self, asked: JobsRequest, now_ns: int) -> tuple[JobsReply, list[Action]]:
        """Cancels the open jobs that are meant; of leaving everything out, none."""
        named = asked.ids or asked.node or asked.client
        chosen = [entry for entry in self._register.chosen(asked) if entry.ended is None] if named else []
        actions = [action for entry in chosen for action in self._cancel(entry, now_ns)]
        return JobsReply(self._views(chosen[: asked.limit]), len(chosen), len(chosen)), actions

    def _views(self, page: list[Entry]) -> list[JobView]:
        waiting = {run.target for entry in page if (run := self._run_of(entry)) and run.place is None}
        ahead = self._runs.dispatcher.ahead(waiting)
        return [view_of(entry, self._run_of(entry), ahead.get(entry.run_id, 0)) for entry in page]

    def _cancel(self, entry: Entry, now_ns: int) -> list[Action]:
        run = self._run_of(entry)
        if run is None:
            return []
        if len(run.members) > 1:
            run.members.remove(entry.id)
            return self._end(entry, "cancelled", "cancelled; others wait for the same run, which goes on", now_ns)
        if run.place is None:
            return self._end_run(run, "cancelled", "cancelled before it was sent", now_ns)
        run.cancelling = True
        self._register.change(entry.id)
        return self._runs.send(run, now_ns)

    # ---- what agents say

    def stored(self, records: Iterable[tuple[str, Record]], now_ns: int) -> list[Action]:
        """Takes stored records of agents, each with its node: states of jobs, and results."""
        actions: list[Action] = []
        moved: dict[bytes, Run] = {}
        freed: dict[BoardKey, None] = {}
        for node, record in records:
            body = record.body
            if not isinstance(body, Event | Result) or body.job_id is None:
                continue
            run = self._runs.by_id.get(body.job_id)
            if run is None:
                self._take_late(body, record)
            elif self._runs.is_with(run, node, body.board or "", now_ns):
                actions += self._take(run, body, record, now_ns)
                moved[run.id] = run
                if run.id not in self._runs.by_id and run.place is not None:
                    freed[run.place] = None
        for run in moved.values():
            if run.id in self._runs.by_id:
                actions += self._tell_members(run)
        return actions + self._runs.dispatch(freed, now_ns)

    def _take(self, run: Run, body: Event | Result, record: Record, now_ns: int) -> list[Action]:
        if isinstance(body, Result):
            # Result and `finished` are one transaction of the agent's.
            run.result = record
            if run.began_ns is not None and run.place is not None and record.time_ns >= run.began_ns:
                self._runs.dispatcher.took(run.place, (record.time_ns - run.began_ns) / 1e9)
            return self._end_run(run, "finished", "", now_ns)
        state = STATE_OF_EVENT.get(body.name)
        if state is None:
            return []
        if state == "finished":
            run.finished_ns = run.finished_ns or now_ns
            return []
        if state in ENDED:
            return self._end_run(run, state, body.message, now_ns)
        if _ORDER[state] > _ORDER[run.state]:
            run.state, run.message = state, body.message
        if state == "started":
            run.started_ns, run.began_ns = run.started_ns or now_ns, record.time_ns
        return []

    def _take_late(self, body: Event | Result, record: Record) -> None:
        """The result of a run that was given up: who asks again gets it."""
        entry = self._entries.get(body.job_id or b"")
        if isinstance(body, Result) and entry is not None and entry.ended == "finished" and not entry.has_result:
            self._register.add_result(entry, record)

    def status(self, status: AgentStatus, now_ns: int) -> list[Action]:
        """An agent's status: each run that it does not list is sent again; a cancellation while it does."""
        if status.state != "online":
            return []
        held = set(status.jobs)
        actions = self._take_held(status.node, held, now_ns)
        for run_id in list(self._runs.dispatcher.runs_of(status.node)):
            run = self._runs.by_id.get(run_id)
            if run is None or run.finished_ns is not None:
                continue
            if run.cancelling and run_id not in held and run.state == "queued":
                actions += self._end_run(run, "cancelled", "before its agent had it", now_ns)
            elif (run_id in held) == run.cancelling and now_ns - run.sent_ns >= RESEND_AFTER_S * S:
                actions += self._runs.send(run, now_ns)
        return actions + self._runs.dispatch(self._runs.dispatcher.boards_of(status.node), now_ns)

    def _take_held(self, node: str, held: set[bytes], now_ns: int) -> list[Action]:
        """What an agent holds is with it, whatever was thought; what nobody waits for any more is cancelled."""
        actions: list[Action] = []
        for run_id in held:
            run, entry = self._runs.by_id.get(run_id), self._entries.get(run_id)
            if (
                run is not None
                and isinstance(run.target, tuple)
                and self._runs.is_with(run, node, run.target[1], now_ns)
            ):
                if run.state == "queued":
                    run.state = "accepted"
                    actions += self._tell_members(run)
            elif run is None and entry is not None and entry.ended == "cancelled" and entry.place is not None:
                gone = replace(entry.request.job, node=node, board=entry.place[1], prompts=[], cancel=True)
                actions.append(Send(gone, max(1, left_s(gone, now_ns))))
        return actions

    # ---- what time brings

    def tick(self, now_ns: int) -> list[Action]:
        """Deadlines, results that did not come, ids that are old enough to be forgotten."""
        actions: list[Action] = []
        freed: dict[BoardKey, None] = {}
        for run in list(self._runs.by_id.values()):
            actions += self._expire_members(run, now_ns)
            if run.id in self._runs.by_id:
                actions += self._expire(run, now_ns)
            if run.id not in self._runs.by_id and run.place is not None:
                freed[run.place] = None
        old = [i for i in self._register.ended if now_ns > self._entries[i].request.job.deadline_ns + KEEP_S * S]
        for job_id in old:
            self._register.forget(self._entries[job_id])
        return actions + self._runs.dispatch(freed, now_ns)

    def _expire(self, run: Run, now_ns: int) -> list[Action]:
        if run.finished_ns is not None and now_ns - run.finished_ns > RESULT_GRACE_S * S:
            return self._end_run(run, "finished", "it finished, but its result has not come", now_ns)
        if run.finished_ns is None and now_ns > run.job.deadline_ns + _grace_s(run) * S:
            return self._end_run(run, "expired", f"its deadline passed while it was {run.state}", now_ns)
        return []

    def _expire_members(self, run: Run, now_ns: int) -> list[Action]:
        """Those that are joined to a run and want it earlier than it ends; the last one stays with it."""
        actions: list[Action] = []
        for member in list(run.members):
            entry = self._entries[member]
            late = now_ns > entry.request.job.deadline_ns + _grace_s(run) * S
            if late and member != run.id and len(run.members) > 1:
                run.members.remove(member)
                actions += self._end(entry, "expired", f"its deadline passed while it was {run.state}", now_ns)
        return actions

    # ---- runs

    def _end_run(self, run: Run, state: JobState, message: str, now_ns: int) -> list[Action]:
        """Ends a run and its jobs; what ended without a result is made anew for those that were only joined to it."""
        self._runs.close(run)
        actions: list[Action] = []
        rest: list[Entry] = []
        for member in run.members:
            entry = self._entries[member]
            if state != "finished" and member != run.id and entry.request.job.deadline_ns > now_ns:
                rest.append(entry)
            else:
                actions += self._end(entry, state, message, now_ns, run)
        return actions + (self._make_anew(rest, now_ns) if rest else [])

    def _make_anew(self, entries: list[Entry], now_ns: int) -> list[Action]:
        """A run of their own for jobs that have lost the one that they were joined to."""
        first, *others = entries
        first.run_id = first.id
        run = self._runs.open(first, first.request.job)
        run.members = [entry.id for entry in entries]
        for entry in others:
            entry.run_id, entry.place = run.id, first.place
        self._register.change(*run.members)
        self._runs.dispatcher.put(run)
        return self._tell_members(run) + self._runs.dispatch(self._runs.dispatcher.boards_for([run.target]), now_ns)

    # ---- jobs

    def _end(self, entry: Entry, state: JobState, message: str, now_ns: int, run: Run | None = None) -> list[Action]:
        entry.ended, entry.message, entry.ended_ns = state, message, now_ns
        entry.started_ns = run.started_ns if run is not None else None
        record = run.result if run is not None and state == "finished" else None
        self._register.end(entry, record)
        self._count(f"jobs_{state}")
        answers: list[Action] = [Answer(to, reply_of(entry, None, result=record)) for to in entry.asking]
        entry.asking, entry.told = [], state
        return answers

    def _run_of(self, entry: Entry) -> Run | None:
        return self._runs.by_id.get(entry.run_id) if entry.ended is None else None

    def _tell_members(self, run: Run) -> list[Action]:
        answers: list[Action] = []
        for member in run.members:
            entry = self._entries[member]
            if entry.told != run.state:
                entry.told = run.state
                answers += [Answer(to, reply_of(entry, run)) for to in entry.asking]
        return answers

    def _reply(self, entry: Entry, now_ns: int) -> ProfileReply:
        """How an open job is; of one that waits, for what."""
        run = self._run_of(entry)
        if run is None or run.state != "queued":
            return reply_of(entry, run)
        agent = self._agents.get(run.target[0]) if isinstance(run.target, tuple) else None
        liveness = agent.liveness(now_ns, self._stale_intervals) if agent is not None else None
        return reply_of(entry, run, waits_for(run.target, liveness, placed=run.place is not None))

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def _grace_s(run: Run) -> int:
    return LATE_GRACE_S if run.state == "started" else 0
