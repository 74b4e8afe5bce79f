"""Who is there: agents and their boards, from statuses, last wills and how long ago the last word came.

Pure state over plain data: every time is an argument. `now_ns` is the collector's wall time.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from msgspec.structs import replace

from tinyprof_protocol.presence import AgentStatus, BoardPresence

Liveness = Literal["online", "stale", "offline"]
MAX_AGENTS = 10_000
LONG_SILENT_INTERVALS = 10.0


@dataclass(slots=True)
class Agent:
    """An agent as last heard. `status` keeps what it said while online; a last will changes only its `state`."""

    status: AgentStatus
    heard_ns: int
    """Wall time of the collector at its last word of its own."""
    skew_ms: float | None = None
    """Its clock less the collector's, with the way of one message in it; None until a word came live."""
    boards: dict[str, BoardPresence] = field(default_factory=dict)
    board_since_ns: dict[str, int] = field(default_factory=dict)
    """When each board was first listed: how long one may be silent counts from there."""

    def liveness(self, now_ns: int, stale_intervals: float) -> Liveness:
        """`offline` by its last will, `stale` without a word for `stale_intervals` of its own intervals."""
        if self.status.state == "offline":
            return "offline"
        silent_s = (now_ns - self.heard_ns) / 1e9
        return "stale" if silent_s > stale_intervals * max(self.status.interval_s, 1.0) else "online"


@dataclass(slots=True)
class Presence:
    """All agents that were ever heard of since the start, at most `max_agents`."""

    max_agents: int = MAX_AGENTS
    agents: dict[str, Agent] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    """agents_over_bound: statuses of agents that there was no room for; agents_let_go: silent ones that made room."""

    def hear(self, status: AgentStatus, now_ns: int, *, retained: bool = False) -> Agent | None:
        """Takes an agent's status; returns the agent, or None where there is no room for one more.

        A retained status was said some time ago: it counts from its own time, and repeated it is no new word.
        """
        agent = self.agents.get(status.node)
        if agent is None:
            if len(self.agents) >= self.max_agents and not self._make_room(now_ns):
                self.counts["agents_over_bound"] = self.counts.get("agents_over_bound", 0) + 1
                return None
            agent = Agent(status, said_ns(status.time_ns, now_ns) if retained else now_ns)
            self.agents[status.node] = agent
        elif status.state == "offline":
            agent.status = replace(agent.status, state="offline")
            return agent
        elif retained and status == agent.status:
            return agent
        else:
            agent.status = status
            agent.heard_ns = max(agent.heard_ns, said_ns(status.time_ns, now_ns)) if retained else now_ns
        if status.state == "online":
            self._note_online(agent, status, now_ns, retained=retained)
        return agent

    def let_go(self, is_left: Callable[[str], bool]) -> None:
        """Forgets the nodes that are no longer ours."""
        for node in [node for node in self.agents if is_left(node)]:
            del self.agents[node]

    def _make_room(self, now_ns: int) -> bool:
        """Lets the agent go that was silent for longest, if it is long silent: names are anybody's to invent."""
        node, longest = min(self.agents.items(), key=lambda item: item[1].heard_ns)
        if longest.liveness(now_ns, LONG_SILENT_INTERVALS) == "online":
            return False
        del self.agents[node]
        self.counts["agents_let_go"] = self.counts.get("agents_let_go", 0) + 1
        return True

    @staticmethod
    def _note_online(agent: Agent, status: AgentStatus, now_ns: int, *, retained: bool) -> None:
        if not retained and status.time_ns:
            agent.skew_ms = (status.time_ns - now_ns) / 1e6
        agent.boards = {board.board: board for board in status.boards}
        agent.board_since_ns = {name: agent.board_since_ns.get(name, now_ns) for name in agent.boards}

    def forget(self, node: str, board: str) -> None:
        """Takes a board out of what its agent lists, until the agent lists it again.

        Others walk the boards meanwhile: they are replaced, never changed.
        """
        agent = self.agents.get(node)
        if agent is not None:
            agent.boards = {name: one for name, one in agent.boards.items() if name != board}
            agent.board_since_ns = {name: at_ns for name, at_ns in agent.board_since_ns.items() if name != board}

    def board(self, node: str, board: str) -> BoardPresence | None:
        """A board as its agent last described it, or None if it is not listed."""
        agent = self.agents.get(node)
        return None if agent is None else agent.boards.get(board)

    def boards(self) -> Iterator[tuple[str, str]]:
        """Node and name of every board that an agent lists."""
        for node, agent in self.agents.items():
            for board in agent.boards:
                yield node, board


def said_ns(time_ns: int, now_ns: int) -> int:
    """When a retained status was said, by its own clock where that is possible; a clock ahead of ours is not."""
    return time_ns if 0 < time_ns < now_ns else now_ns
