"""Which entries would answer a request now, by what the agents say of their boards. Pure."""

from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from tinyprof_collector.cache.key import key_of_job
from tinyprof_collector.presence import Agent
from tinyprof_collector.where import boards_like
from tinyprof_protocol.jobs import Job, ProfileRequest
from tinyprof_protocol.presence import BoardPresence

Agents = Mapping[str, Agent]
_Like = tuple[str, str, str, str, bool, int]
"""What boards have in common that are asked for by the same key."""


def may_answer(request: ProfileRequest, now_ns: int) -> bool:
    """Whether the request is one that the cache may answer at all."""
    return request.use_cache and not request.job.cancel and request.job.deadline_ns > now_ns


def keys_of(request: ProfileRequest, agents: Agents, now_ns: int, stale_intervals: float) -> list[bytes]:
    """The keys of the entries that answer: of the job's board, or of each kind of board that would do.

    A board whose agent is away has none: nobody can tell what it runs now.
    """
    seen: dict[_Like, bytes | None] = {}
    for node, agent, board in _boards(request, agents):
        like = (node, board.platform, board.build, board.clock_mode, board.emulated, id(agent.status.suites))
        if like not in seen and agent.liveness(now_ns, stale_intervals) == "online":
            seen[like] = key_of_job(_for_node(request.job, node), board, agent.status.suites)
    return list(dict.fromkeys(key for key in seen.values() if key is not None))


def _boards(request: ProfileRequest, agents: Agents) -> Iterator[tuple[str, Agent, BoardPresence]]:
    if request.where is not None:
        yield from boards_like(request.where, agents)
        return
    agent = agents.get(request.job.node)
    board = agent.boards.get(request.job.board) if agent is not None else None
    if agent is not None and board is not None:
        yield request.job.node, agent, board


def _for_node(job: Job, node: str) -> Job:
    return job if job.node == node else replace(job, node=node)
