"""Which lines of a refused post are to blame: halved until it is written or one line is left. Pure.

The plan says what to post next and is told what became of it. A line that is refused alone is only suspected here: it
is to blame when a line of the collector's own is accepted straight after, which the one who posts has to see to.
"""

from collections import deque
from collections.abc import Iterable, Sequence

REFUSALS_A_TURN = 8
"""Of one agent in one plan; its other lines that wait are put off, so that one agent cannot keep the others waiting."""


class Halving:
    """A plan over lines numbered from 0. `owners[n]` is whose line n is."""

    def __init__(self, owners: Sequence[str], largest: int) -> None:
        """First in posts of `largest` lines."""
        self._owners = owners
        self._pending: deque[tuple[int, ...]] = deque(
            tuple(range(first, min(first + largest, len(owners)))) for first in range(0, len(owners), largest)
        )
        self._refusals: dict[str, int] = {}
        self.written: set[int] = set()
        self.refused: dict[int, str] = {}
        self.expired: set[int] = set()
        self.put_off: set[int] = set()

    def take(self) -> tuple[int, ...] | None:
        """The lines to post next; None at the end."""
        while self._pending:
            lines = self._pending.popleft()
            if not self._refusals and not self.expired:
                return lines
            self.put_off.update(n for n in lines if self._is_over(n))
            left = tuple(n for n in lines if not self._is_over(n) and n not in self.expired)
            if left:
                return left
        return None

    def note_written(self, lines: Iterable[int]) -> None:
        """These are in the database."""
        self.written.update(lines)

    def halve(self, lines: tuple[int, ...]) -> bool:
        """Has a refused post tried again in two halves, next; False for a single line, which cannot be halved."""
        if len(lines) == 1:
            return False
        middle = len(lines) // 2
        self._pending.extendleft((lines[middle:], lines[:middle]))
        return True

    def note_refused(self, line: int, reason: str) -> None:
        """A single line is to blame."""
        self.refused[line] = reason
        owner = self._owners[line]
        self._refusals[owner] = self._refusals.get(owner, 0) + 1

    def note_expired(self, lines: Iterable[int]) -> None:
        """These lie before what the bucket keeps; they are not posted again."""
        self.expired.update(lines)

    def retry(self, lines: tuple[int, ...]) -> None:
        """Has these posted again, next."""
        self._pending.appendleft(lines)

    def _is_over(self, line: int) -> bool:
        return self._refusals.get(self._owners[line], 0) >= REFUSALS_A_TURN
