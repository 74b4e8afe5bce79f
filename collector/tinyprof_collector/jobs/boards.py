"""What each board has under way, and how much more it may be sent. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_collector.presence import Agent
from tinyprof_protocol.presence import BoardPresence

SHORT_RUN_S = 0.5
"""Boards whose runs are shorter are sent several ahead: else they would mostly wait for the network."""
SHORT_WINDOW = 8
WINDOW = 2
"""One that runs and one that follows it at once."""
WEIGHT = 0.3
"""Of the newest run in a board's mean run time."""
USABLE = frozenset({"idle", "running", "starting"})
"""States of a board that is chosen for a run that any would do for; one that fails is not."""


@dataclass(slots=True)
class Load:
    """The runs that a board was sent, and how long its runs take."""

    runs: set[bytes] = field(default_factory=set)
    run_s: float | None = None

    def note(self, run_s: float) -> None:
        """Takes how long a run took."""
        self.run_s = run_s if self.run_s is None else (1 - WEIGHT) * self.run_s + WEIGHT * run_s

    @property
    def short(self) -> bool:
        """Whether its runs are known to be short."""
        return self.run_s is not None and self.run_s < SHORT_RUN_S

    @property
    def window(self) -> int:
        """How many runs it may have under way: of its own, that is, which no other board can make."""
        return SHORT_WINDOW if self.short else WINDOW

    @property
    def shared_window(self) -> int:
        """The same for a run that another board could make meanwhile."""
        return SHORT_WINDOW if self.short else 1


_NOTHING = Load()


@dataclass(slots=True)
class Loads:
    """The loads of all boards that have or had something to do."""

    by_board: dict[BoardKey, Load] = field(default_factory=dict)
    _of_node: dict[str, set[BoardKey]] = field(default_factory=dict)

    def of(self, board: BoardKey) -> Load:
        """A board's load."""
        load = self.by_board.get(board)
        if load is None:
            load = self.by_board[board] = Load()
            self._of_node.setdefault(board[0], set()).add(board)
        return load

    def count(self, board: BoardKey) -> int:
        """How many runs a board has under way."""
        load = self.by_board.get(board)
        return len(load.runs) if load is not None else 0

    def room(self, board: BoardKey) -> int:
        """How many more runs a board would be given that another board could make."""
        load = self.by_board.get(board, _NOTHING)
        return load.shared_window - len(load.runs)

    def runs_of(self, node: str) -> Iterator[bytes]:
        """The runs under way on a node's boards."""
        for board in self._of_node.get(node, ()):
            yield from list(self.by_board[board].runs)


def present(agents: Mapping[str, Agent], board: BoardKey, now_ns: int, stale_intervals: float) -> bool:
    """Whether the agent of a board is there to take jobs."""
    agent = agents.get(board[0])
    return agent is not None and agent.liveness(now_ns, stale_intervals) == "online"


def usable(board: BoardPresence | None) -> bool:
    """Whether a board may be chosen for a run that any would do for."""
    return board is not None and board.state in USABLE
