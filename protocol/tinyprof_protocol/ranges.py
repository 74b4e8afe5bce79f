"""Sets of sequence numbers as sorted, disjoint, inclusive ranges.

What the spool has had acknowledged and what the collector has accounted are such sets; they only grow.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Self


class RangeSet:
    """A set of integers, kept as inclusive ranges that neither overlap nor touch.

    Adding or looking up costs O(log ranges); adding in order costs O(1).
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in pairs:
            self.add(first, last)

    def add(self, first: int, last: int | None = None) -> int:
        """Adds `first` to `last` (or `first` alone); returns how many were new. Raises ValueError if turned round."""
        last = first if last is None else last
        if last < first:
            raise ValueError(f"range {first} to {last} is turned round")
        left = bisect_left(self._lasts, first - 1)
        right = bisect_right(self._firsts, last + 1)
        if left == right:
            self._firsts.insert(left, first)
            self._lasts.insert(left, last)
            return last - first + 1
        held = sum(
            min(self._lasts[i], last) - max(self._firsts[i], first) + 1
            for i in range(left, right)
            if self._firsts[i] <= last and self._lasts[i] >= first
        )
        self._firsts[left:right] = [min(first, self._firsts[left])]
        self._lasts[left:right] = [max(last, self._lasts[right - 1])]
        return last - first + 1 - held

    def update(self, pairs: Iterable[tuple[int, int]]) -> int:
        """Adds many ranges; returns how many numbers were new."""
        return sum(self.add(first, last) for first, last in pairs)

    def discard(self, first: int, last: int | None = None) -> int:
        """Takes `first` to `last` out; returns how many of them were in."""
        last = first if last is None else last
        left = bisect_left(self._lasts, first)
        right = bisect_right(self._firsts, last)
        if left >= right:
            return 0
        kept = []
        if self._firsts[left] < first:
            kept.append((self._firsts[left], first - 1))
        if self._lasts[right - 1] > last:
            kept.append((last + 1, self._lasts[right - 1]))
        before = sum(self._lasts[i] - self._firsts[i] + 1 for i in range(left, right))
        self._firsts[left:right] = [pair[0] for pair in kept]
        self._lasts[left:right] = [pair[1] for pair in kept]
        return before - sum(b - a + 1 for a, b in kept)

    def __contains__(self, number: int) -> bool:
        i = bisect_left(self._lasts, number)
        return i < len(self._lasts) and self._firsts[i] <= number

    def covers(self, first: int, last: int) -> bool:
        """Whether every number from `first` to `last` is in."""
        i = bisect_left(self._lasts, last)
        return i < len(self._lasts) and self._firsts[i] <= first

    def absent(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges between `first` and `last` that are not in."""
        gaps = []
        at = first
        for i in range(bisect_left(self._lasts, first), len(self._firsts)):
            if self._firsts[i] > last:
                break
            if self._firsts[i] > at:
                gaps.append((at, self._firsts[i] - 1))
            at = self._lasts[i] + 1
        if at <= last:
            gaps.append((at, last))
        return gaps

    def within(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges that are in, cut to `first` to `last`."""
        left = bisect_left(self._lasts, first)
        right = bisect_right(self._firsts, last)
        return [(max(self._firsts[i], first), min(self._lasts[i], last)) for i in range(left, right)]

    @property
    def cum(self) -> int:
        """The highest number below which everything from 1 on is in; 0 if 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] <= 1 else 0

    @property
    def highest(self) -> int:
        """The highest number in the set; 0 if it is empty."""
        return self._lasts[-1] if self._lasts else 0

    def count(self) -> int:
        """How many numbers are in the set."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def pairs(self) -> list[tuple[int, int]]:
        """The ranges in order, as inclusive pairs."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def copy(self) -> Self:
        """A set of its own with the same numbers."""
        return type(self)(self.pairs())

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._firsts)

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.pairs())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RangeSet) and self._firsts == other._firsts and self._lasts == other._lasts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RangeSet({self.pairs()})"
