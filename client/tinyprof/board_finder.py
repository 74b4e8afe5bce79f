"""The boards of a fleet by name or kind, asked for once for many requests."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from tinyprof.board_names import BoardRef, UnknownBoard, parse_full, resolve
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.presence import BoardSummary

GOOD_FOR_S: Final = 10.0
"""Boards come and go seldom; whoever asks for a thousand runs asks for the boards once."""
BELIEVED_AFTER_S: Final = 2.0
"""That a board is nowhere is believed after so long, where a collector may not have heard of all its boards yet."""
_AGAIN_AFTER_S: Final = 0.25
_SILENT: Final = frozenset({"stale", "offline"})
_BUSY: Final = {"idle": 0, "starting": 1, "running": 1}
_FAILS: Final = 2


class BoardFinder:
    """Finds boards; may be used from many threads. `ask` gets the boards of a node, or all."""

    def __init__(
        self,
        ask: Callable[[str | None], list[BoardSummary]],
        clock: Callable[[], float],
        settling: Callable[[], bool] = lambda: False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`settling`: whether there may be boards that no collector has heard of yet."""
        self._ask = ask
        self._clock = clock
        self._settling = settling
        self._pause = pause
        self._lock = threading.Lock()
        self._known: dict[str | None, tuple[float, list[BoardSummary]]] = {}

    def clear(self) -> None:
        """What was found is found anew: a board may have gone."""
        with self._lock:
            self._known = {}

    def find(self, name: str) -> BoardRef:
        """The board of that name: `board` where it is unique, or `site.agent/board`. Raises UnknownBoard."""
        full = parse_full(name)
        if full is not None and full in self._refs(full.node):
            return full
        why: UnknownBoard | None = None
        for anew in self._looks():
            try:
                return resolve(name, self._refs(None, anew=anew))
            except UnknownBoard as unknown:
                why = unknown
        assert why is not None
        raise why

    def first_like(self, where: Where) -> BoardRef:
        """The board that is as it is asked for and is nearest to making a run. Raises UnknownBoard where none is."""
        for anew in self._looks():
            board = first_choice(where, self._boards(where.node, anew=anew))
            if board is not None:
                return board
        said = {name: getattr(where, name) for name in where.__struct_fields__}
        wanted = " and ".join(f"{name} {value!r}" for name, value in said.items() if value is not None)
        raise UnknownBoard(f"no board has {wanted}; 'tinyprof boards' shows those that are there")

    def _looks(self) -> Iterator[bool]:
        """Looks at what is known, then anew, and while collectors have just started again for a moment."""
        yield False
        yield True
        until_s = self._clock() + BELIEVED_AFTER_S
        while self._settling() and self._clock() < until_s:
            self._pause(_AGAIN_AFTER_S)
            yield True

    def _refs(self, node: str | None, *, anew: bool = False) -> set[BoardRef]:
        return {BoardRef(board.node, board.board) for board in self._boards(node, anew=anew)}

    def _boards(self, node: str | None, *, anew: bool = False) -> list[BoardSummary]:
        with self._lock:  # held while they are asked for: whoever comes meanwhile wants the same answer
            at_s, boards = self._known.get(node, (float("-inf"), []))
            if anew or self._clock() - at_s > GOOD_FOR_S:
                boards = self._ask(node)
                self._known = {
                    key: value for key, value in self._known.items() if self._clock() - value[0] < GOOD_FOR_S
                }
                self._known[node] = (self._clock(), boards)
            return boards


def first_choice(where: Where, boards: Iterable[BoardSummary]) -> BoardRef | None:
    """Of the boards that are as it is asked for the one to ask first: one that answers before one that does not, then
    one that is idle before one that is busy before one that fails, then the first. None where none is so.
    """
    found = [one for one in boards if where.is_met_by(one.node, one.board, one.platform, one.labels)]
    if not found:
        return None
    best = min(found, key=lambda board: (board.health in _SILENT, _BUSY.get(board.state, _FAILS)))
    return BoardRef(best.node, best.board)
