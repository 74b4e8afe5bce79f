"""The runs that are under way or wait: which jobs share one, where it is, and when it is sent. Pure."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from tinyprof_collector.cache.asking import keys_of
from tinyprof_collector.jobs.actions import Action, Send
from tinyprof_collector.jobs.dispatch import Dispatcher
from tinyprof_collector.jobs.entry import Entry, Run
from tinyprof_collector.jobs.joining import key_of_words, may_join
from tinyprof_collector.jobs.register import Register
from tinyprof_collector.jobs.waiting import BoardKey, Target
from tinyprof_collector.presence import Agent
from tinyprof_protocol.jobs import Job, ProfileRequest, Where


class Runs:
    """All runs that have not ended, by their ids."""

    def __init__(self, agents: Mapping[str, Agent], stale_intervals: float, register: Register) -> None:
        self.by_id: dict[bytes, Run] = {}
        self.dispatcher = Dispatcher(agents, stale_intervals)
        self.sent = 0
        """How often a run, or its cancellation, was sent."""
        self._agents = agents
        self._stale_intervals = stale_intervals
        self._register = register
        self._by_key: dict[bytes, bytes] = {}

    def waiting(self) -> int:
        """How many wait for a board."""
        return sum(run.place is None for run in list(self.by_id.values()))

    def open_boards(self) -> dict[BoardKey, int]:
        """The boards that they may be with, each with when the first of their jobs was asked for."""
        since: dict[BoardKey, int] = {}
        for run in self.by_id.values():
            if run.at is not None:
                asked_ns = min(self._register.entries[member].asked_ns for member in run.members)
                since[run.at] = min(asked_ns, since.get(run.at, asked_ns))
        return since

    # ---- which jobs share one

    def join_or_open(self, entry: Entry, now_ns: int) -> None:
        """Gives a new job a run: one under way that will do, else its own."""
        keys = [key_of_words(entry.request), *self._keys_of(entry.request, now_ns)]
        for key in keys if may_join(entry.request) else ():
            run = self.by_id.get(self._by_key.get(key, b""))
            if run is not None and not run.cancelling and run.finished_ns is None:
                self._join(entry, run)
                return
        run = self.open(entry, entry.request.job)
        run.members.append(entry.id)
        # Which board it is that makes a run of any board's is known once it is placed.
        self._note_keys(run, keys[:1] if isinstance(run.target, Where) else keys)

    def _join(self, entry: Entry, run: Run) -> None:
        entry.run_id = run.id
        entry.place = run.at
        if entry.place is not None:
            entry.be_at(entry.place)
        run.members.append(entry.id)
        if run.place is None and entry.request.job.priority > run.job.priority:
            run.job = replace(run.job, priority=entry.request.job.priority)
            self.dispatcher.put(run)

    def open(self, entry: Entry, job: Job, place: BoardKey | None = None) -> Run:
        """A run without members, for the board that is given or for what the job asks for."""
        target: Target = place or entry.request.where or (job.node, job.board)
        run = self.by_id[job.id] = Run(job, target, entry.client, [])
        entry.place = target if isinstance(target, tuple) else None
        self._note_keys(run, [key_of_words(entry.request)])
        return run

    def close(self, run: Run) -> None:
        """It is over."""
        self.by_id.pop(run.id, None)
        for key in run.keys:
            if self._by_key.get(key) == run.id:
                del self._by_key[key]
        self.dispatcher.drop(run)

    def _note_keys(self, run: Run, keys: list[bytes]) -> None:
        run.keys += [key for key in keys if key not in run.keys]
        self._by_key.update(dict.fromkeys(keys, run.id))

    def _keys_of(self, request: ProfileRequest, now_ns: int) -> list[bytes]:
        """By what the boards run that would do: the keys under which the cache would have the results."""
        return keys_of(request, self._agents, now_ns, self._stale_intervals)

    # ---- where it is

    def dispatch(self, boards: Iterable[BoardKey], now_ns: int) -> list[Action]:
        """Gives boards that have room the runs whose turn it is."""
        actions: list[Action] = []
        for run_id, board in self.dispatcher.next_runs(boards, now_ns):
            self._place(self.by_id[run_id], board, now_ns)
            actions += self.send(self.by_id[run_id], now_ns)
        return actions

    def is_with(self, run: Run, node: str, board: str, now_ns: int) -> bool:
        """Whether a run is a node's, which speaks of it: then it was sent, before this collector's start perhaps."""
        if run.place is None and (isinstance(run.target, Where) or run.target[0] == node):
            self._place(run, run.target if isinstance(run.target, tuple) else (node, board), now_ns)
        return run.place is not None and run.place[0] == node

    def _place(self, run: Run, board: BoardKey, now_ns: int) -> None:
        self.dispatcher.place(run, board)
        if isinstance(run.target, tuple):
            return
        for member in run.members:
            entry = self._register.entries[member]
            entry.place = board
            entry.be_at(board)
        self._register.change(*run.members)
        there = replace(run.job, node=board[0], board=board[1])
        self._note_keys(run, self._keys_of(ProfileRequest(there), now_ns))

    def send(self, run: Run, now_ns: int) -> list[Action]:
        """A run, or its cancellation, to its agent; nothing where its deadline is past."""
        left_s = run.left_s(now_ns)
        if left_s < 1:
            return []
        run.sent_ns = now_ns
        self.sent += 1
        return [Send(run.sent_as(), left_s)]
