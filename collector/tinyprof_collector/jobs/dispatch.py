"""Runs that wait, and the boards that may be given them. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from tinyprof_collector.jobs.boards import Loads, present, usable
from tinyprof_collector.jobs.entry import Run
from tinyprof_collector.jobs.offering import Room
from tinyprof_collector.jobs.waiting import BoardKey, Lanes, Target, Waiting
from tinyprof_collector.presence import Agent
from tinyprof_collector.where import boards_like, matches
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.names import partition_of

MAX_WHERES = 256
"""Kinds of boards that runs may wait for at a time."""


class Dispatcher:
    """Gives boards that are free the runs whose turn it is. `agents` are those that are known, as they change."""

    def __init__(self, agents: Mapping[str, Agent], stale_intervals: float) -> None:
        self._agents = agents
        self._stale_intervals = stale_intervals
        self._lanes = Lanes()
        self._loads = Loads()
        self._arrivals = 0
        self.left: frozenset[int] = frozenset()
        """Partitions that another collector serves."""

    def leave(self, partitions: Collection[int]) -> None:
        """Nothing is given to boards in these partitions any more: another collector serves them."""
        self.left |= frozenset(partitions)

    def takes(self, where: Where | None) -> bool:
        """Whether runs may wait for one more kind of boards."""
        return where is None or where in self._lanes.lanes or len(self._lanes.wheres()) < MAX_WHERES

    def put(self, run: Run) -> None:
        """A run waits for its turn from now on, or in another place than before."""
        self._arrivals += 1
        job = run.job
        self._lanes.put(run.target, Waiting(run.id, run.client, job.priority, job.deadline_ns, self._arrivals))

    def waits(self, run: Run) -> bool:
        """Whether a run waits for its turn."""
        lane = self._lanes.lanes.get(run.target)
        return lane is not None and run.id in lane

    def place(self, run: Run, board: BoardKey) -> None:
        """A run is with a board, and waits for its turn no longer."""
        self._lanes.remove(run.target, run.id)
        run.place = board
        self._loads.of(board).runs.add(run.id)

    def drop(self, run: Run) -> None:
        """A run is over."""
        self._lanes.remove(run.target, run.id)
        if run.place is not None:
            self._loads.of(run.place).runs.discard(run.id)

    def took(self, board: BoardKey, run_s: float) -> None:
        """How long a run of a board took."""
        self._loads.of(board).note(run_s)

    def runs_of(self, node: str) -> Iterator[bytes]:
        """Ids of the runs that are with a node."""
        return self._loads.runs_of(node)

    def ahead(self, targets: Iterable[Target]) -> dict[bytes, int]:
        """How many runs go before each of those that wait for some targets."""
        lanes = [lane for target in targets if (lane := self._lanes.lanes.get(target)) is not None]
        return {run_id: number for lane in lanes for number, run_id in enumerate(lane.order())}

    def boards_for(self, targets: Iterable[Target]) -> list[BoardKey]:
        """The boards that may make runs of these targets, those that have least under way first."""
        boards: dict[BoardKey, None] = {}
        for target in targets:
            if isinstance(target, tuple):
                boards[target] = None
            elif target in self._lanes.lanes:
                found = [(node, board.board) for node, _, board in boards_like(target, self._agents)]
                boards.update(dict.fromkeys(sorted(found, key=self._loads.count)))
        return list(boards)

    def boards_of(self, node: str) -> list[BoardKey]:
        """The boards of a node, and those of it that somebody waits for."""
        agent = self._agents.get(node)
        listed = [(node, board) for board in agent.boards] if agent is not None else []
        waited_for = [target for target in self._lanes.lanes if isinstance(target, tuple) and target[0] == node]
        return list(dict.fromkeys([*listed, *waited_for]))

    def next_runs(self, boards: Iterable[BoardKey], now_ns: int) -> Iterator[tuple[bytes, BoardKey]]:
        """Runs to be placed, each with its board: one for each board in turn, while they have room.

        The caller places a run before it asks for the next.
        """
        free = [board for board in boards if self._is_there(board, now_ns)]
        while free and self._lanes.lanes:
            served = []
            for board in free:
                run_id = self._lanes.take(self._targets_of(board)) if self._lanes.lanes else None
                if run_id is not None:
                    served.append(board)
                    yield run_id, board
            free = served

    def rooms(self, now_ns: int) -> list[Room]:
        """The boards that have room for a run that any would do for, and that nothing here waits for."""
        found, wheres = [], self._lanes.wheres()
        for node, agent in list(self._agents.items()):
            for name, presence in agent.boards.items():
                board = (node, name)
                runs = self._loads.room(board)
                if runs > 0 and usable(presence) and board not in self._lanes.lanes and self._is_there(board, now_ns):
                    found.append(Room(node, presence, runs))
        return [room for room in found if not any(matches(where, room.node, room.presence) for where in wheres)]

    def _is_there(self, board: BoardKey, now_ns: int) -> bool:
        is_ours = not self.left or partition_of(board[0]) not in self.left
        return is_ours and present(self._agents, board, now_ns, self._stale_intervals)

    def _targets_of(self, board: BoardKey) -> list[Target]:
        """The lanes that a board may be given a run from, as much as it has under way."""
        load = self._loads.of(board)
        targets: list[Target] = [board] if len(load.runs) < load.window else []
        # Another thread may have let go of the agent since it was seen to be there.
        agent = self._agents.get(board[0])
        presence = agent.boards.get(board[1]) if agent is not None else None
        if presence is not None and usable(presence) and len(load.runs) < load.shared_window:
            targets += [where for where in self._lanes.wheres() if matches(where, board[0], presence)]
        return targets
