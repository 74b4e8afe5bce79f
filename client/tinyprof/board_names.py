"""Which board a person means: `board` where one board alone has that name, or `site.agent/board`."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tinyprof.fleet_errors import BadArgument
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.names import check_name, is_node

MAX_SUGGESTIONS = 3


class UnknownBoard(LookupError):
    """No board, or more than one, has the name; the message lists the nearest."""


class BadBoardName(UnknownBoard, BadArgument):
    """No board can have the name."""


@dataclass(frozen=True, slots=True, order=True)
class BoardRef:
    """A board and the node that it belongs to."""

    node: str
    board: str

    def __str__(self) -> str:
        return f"{self.node}/{self.board}"


def parse_full(name: str) -> BoardRef | None:
    """The board of `site.agent/board`; None for a bare board name. Raises BadBoardName for what is neither."""
    node, slash, board = name.rpartition("/")
    try:
        check_name("board", board)
    except ValueError as why:
        raise BadBoardName(f"{why}; write BOARD or SITE.AGENT/BOARD") from None
    if not slash:
        return None
    if not is_node(node):
        raise BadBoardName(f"{name!r} names no board: write BOARD or SITE.AGENT/BOARD")
    return BoardRef(node, board)


def resolve(name: str, known: Iterable[BoardRef]) -> BoardRef:
    """The one board that `name` means. Raises UnknownBoard."""
    boards = sorted(set(known))
    full = parse_full(name)
    matches = [ref for ref in boards if ref == full or (full is None and ref.board == name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        shown = ", ".join(map(str, matches[:MAX_SUGGESTIONS]))
        more = ", ..." if len(matches) > MAX_SUGGESTIONS else ""
        raise UnknownBoard(f"{some(len(matches), 'board')} are called {name!r}; write one of {shown}{more}")
    near = nearest(name, boards)
    if not boards:
        raise UnknownBoard(f"no board is called {name!r}: no agent has announced any board yet")
    raise UnknownBoard(f"no board is called {name!r}; {'nearest: ' + ', '.join(near) if near else _some(boards)}")


def nearest(name: str, boards: Iterable[BoardRef]) -> list[str]:
    """Names of boards that look most like `name`, the likest first."""
    spelled = {spelling: str(ref) for ref in boards for spelling in (ref.board, str(ref))}
    found = difflib.get_close_matches(name, spelled, n=2 * MAX_SUGGESTIONS, cutoff=0.5)
    return list(dict.fromkeys(spelled[spelling] for spelling in found))[:MAX_SUGGESTIONS]


def _some(boards: list[BoardRef]) -> str:
    shown = ", ".join(map(str, boards[:MAX_SUGGESTIONS]))
    return f"there are {shown}{', ...' if len(boards) > MAX_SUGGESTIONS else ''}"
