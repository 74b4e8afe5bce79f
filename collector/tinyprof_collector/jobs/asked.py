"""What clients ask of the book of jobs: runs, cancellations and lists. Pure.

A new job is pending until its owner has kept it and says `begin`: nothing is promised or sent before.
"""

from collections.abc import Collection, Mapping
from typing import Final

from tinyprof_collector.jobs.actions import Action, Answer, ReplyTo, Send
from tinyprof_collector.jobs.entry import Entry, left_s, reply_of, view_of, weight_of
from tinyprof_collector.jobs.jobs_and_runs import JobsAndRuns
from tinyprof_collector.jobs.waiting import BoardKey, Target
from tinyprof_collector.jobs.words import unmatched, waits_for, with_another
from tinyprof_collector.presence import Agent
from tinyprof_collector.where import boards_like
from tinyprof_platforms.suites import MAX_PROMPT_BYTES
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import Job, JobsReply, JobsRequest, JobView, ProfileReply, ProfileRequest, Where
from tinyprof_protocol.requests import Failure

MAX_ASKING: Final = 8


class Asked:
    """Requests, each answered at once or, where a job is new, by `begin` or `give_up`."""

    def __init__(self, jobs: JobsAndRuns, agents: Mapping[str, Agent], stale_intervals: float, *, shared: bool) -> None:
        """`shared`: there are boards of other collectors too, which may make what those here cannot."""
        self._jobs = jobs
        self._agents = agents
        self._stale_intervals = stale_intervals
        self._shared = shared
        self._pending: list[tuple[Entry, ReplyTo]] = []

    def ask(self, request: ProfileRequest, to: ReplyTo, now_ns: int) -> list[Action]:
        """A client asks for a job, again for one that it asked for before, or for a job's cancellation.

        A new job is answered by `begin`, all else at once.
        """
        entry = self._jobs.entries.get(request.job.id)
        if entry is None:
            return self._new(request, to, now_ns)
        if not _for_the_same(entry.request, request):
            return [Answer(to, Failure("job_exists", "a job of that id is for another board; ask with a new id"))]
        if entry.ended is not None:
            record, kept_under = self._jobs.register.result_of(entry)
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
        self._jobs.register.add(entry)
        self._pending.append((entry, to))
        self._jobs.runs.join_or_open(entry, now_ns)
        return []

    def _refusal(self, request: ProfileRequest, weight: int) -> Failure | None:
        if weight > MAX_PROMPT_BYTES:
            return Failure("too_long", f"its prompts have {weight} bytes together, over {MAX_PROMPT_BYTES}")
        where = request.where
        if where is not None and not self._may_match(where, request.job):
            return Failure("unknown_board", unmatched(where))
        if not self._jobs.runs.dispatcher.takes(where) or not self._jobs.register.make_room(weight):
            self._jobs.count("jobs_over_bound")
            held = some(self._jobs.register.open_jobs(), "open job")
            return Failure("busy", f"the collector holds {held}; ask again later")
        return None

    def _may_match(self, where: Where, job: Job) -> bool:
        """Whether a board here is as it is asked for, or may be one elsewhere: then the first choice here is not known
        to be another.
        """
        agent = self._agents.get(job.node) if self._shared else None
        heard = agent is not None and job.board in agent.boards
        return (self._shared and not heard) or any(True for _ in boards_like(where, self._agents))

    def begin(self, now_ns: int) -> list[Action]:
        """The new jobs are kept: they are promised to who asked, and wait for their turn."""
        actions: list[Action] = []
        targets: dict[Target, None] = {}
        begun: set[bytes] = set()
        for entry, to in self._pending:
            run = self._jobs.run_of(entry)
            if run is None:
                continue  # cancelled at once
            if entry.id not in begun:
                begun.add(entry.id)
                self._jobs.count("jobs_asked")
                if run.id != entry.id:
                    self._jobs.count("jobs_joined")
                # Its own job may be cancelled already, and this one joined to it.
                if run.place is None and not self._jobs.runs.dispatcher.waits(run):
                    self._jobs.runs.dispatcher.put(run)
            targets[run.target] = None
            entry.told = run.state
            actions.append(Answer(to, self._reply(entry, now_ns)))
        self._pending.clear()
        return actions + self._jobs.runs.dispatch(self._jobs.runs.dispatcher.boards_for(targets), now_ns)

    def give_up(self, why: str) -> list[Action]:
        """The new jobs cannot be kept: they are none."""
        answers: list[Action] = []
        for entry, to in reversed(self._pending):
            answers.append(Answer(to, Failure("not_kept", f"the job cannot be kept: {why}"[:300])))
            if entry.id not in self._jobs.entries:
                continue
            run = self._jobs.run_of(entry)
            if run is not None:
                run.members.remove(entry.id)
                if not run.members:
                    self._jobs.runs.close(run)
            self._jobs.register.forget(entry)
        self._pending.clear()
        return answers

    def leave(self, left: Collection[Entry], boards: Mapping[bytes, BoardKey | None]) -> list[Action]:
        """These jobs are another collector's. Those that are new have to be asked for there; of those that it took for
        a board of its own, who asked is told of that board, by whose node it is asked from now on.
        """
        ids = {entry.id for entry in left}
        answers: list[Action] = [
            Answer(to, Failure("not_kept", "another collector serves its partition now; ask there"))
            for entry, to in self._pending
            if entry.id in ids
        ]
        self._pending = [(entry, to) for entry, to in self._pending if entry.id not in ids]
        for entry in left:
            board = boards.get(entry.id)
            if board is not None:
                answers += [Answer(to, with_another(entry.id, board)) for to in entry.asking]
        return answers

    def listing(self, asked: JobsRequest) -> JobsReply:
        """A page of jobs: those that are open first, as they were asked for; then those that ended, newest first."""
        chosen = sorted(
            self._jobs.register.chosen(asked), key=lambda e: (e.ended is not None, -(e.ended_ns or 0), e.asked_ns)
        )
        return JobsReply(self._views(chosen[asked.offset : asked.offset + asked.limit]), len(chosen))

    def cancel(self, asked: JobsRequest, now_ns: int) -> tuple[JobsReply, list[Action]]:
        """Cancels the open jobs that are meant; of leaving everything out, none."""
        named = asked.ids or asked.node or asked.client
        chosen = [entry for entry in self._jobs.register.chosen(asked) if entry.ended is None] if named else []
        actions = [action for entry in chosen for action in self._cancel(entry, now_ns)]
        return JobsReply(self._views(chosen[: asked.limit]), len(chosen), len(chosen)), actions

    def _views(self, page: list[Entry]) -> list[JobView]:
        waiting = {run.target for entry in page if (run := self._jobs.run_of(entry)) and run.place is None}
        ahead = self._jobs.runs.dispatcher.ahead(waiting)
        return [view_of(entry, self._jobs.run_of(entry), ahead.get(entry.run_id, 0)) for entry in page]

    def _cancel(self, entry: Entry, now_ns: int) -> list[Action]:
        run = self._jobs.run_of(entry)
        if run is None:
            return []
        if len(run.members) > 1:
            run.members.remove(entry.id)
            return self._jobs.end(entry, "cancelled", "cancelled; others wait for the same run, which goes on", now_ns)
        if run.place is None:
            return self._jobs.end_run(run, "cancelled", "cancelled before it was sent", now_ns)
        run.cancelling = True
        self._jobs.register.change(entry.id)
        return self._jobs.runs.send(run, now_ns)

    def _reply(self, entry: Entry, now_ns: int) -> ProfileReply:
        """How an open job is; of one that waits, for what."""
        run = self._jobs.run_of(entry)
        if run is None or run.state != "queued":
            return reply_of(entry, run)
        agent = self._agents.get(run.target[0]) if isinstance(run.target, tuple) else None
        liveness = agent.liveness(now_ns, self._stale_intervals) if agent is not None else None
        return reply_of(entry, run, waits_for(run.target, liveness, placed=run.place is not None))


def _for_the_same(known: ProfileRequest, request: ProfileRequest) -> bool:
    """Whether two requests are for one board, or for the same kind: then the board that is named changes."""
    if known.where is not None or request.where is not None:
        return known.where == request.where
    return (known.job.node, known.job.board) == (request.job.node, request.job.board)
