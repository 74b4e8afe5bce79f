"""Which boards a request means that names no board but what it must be like. Pure."""

from collections.abc import Iterator, Mapping

from tinyprof_collector.presence import Agent
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.presence import BoardPresence


def matches(where: Where, node: str, board: BoardPresence) -> bool:
    """Whether a board of a node is all that is asked for."""
    return where.is_met_by(node, board.board, board.platform, board.labels)


def boards_like(where: Where, agents: Mapping[str, Agent]) -> Iterator[tuple[str, Agent, BoardPresence]]:
    """The boards that match, each with its node and its agent.

    `agents` may be changed by another thread meanwhile: it is copied at once, and boards are replaced, never changed.
    """
    for node, agent in list(agents.items()):
        if where.node in (None, node):
            for board in agent.boards.values():
                if matches(where, node, board):
                    yield node, agent, board
