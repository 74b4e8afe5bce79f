"""A map that holds so many values for so long: the least recently used goes first, and what is too old is not there.

Pure: every time is an argument, in nanoseconds of one clock, on which a value also says when it was born.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(slots=True)
class Held(Generic[V]):
    """A value, when it was born, and how often it was asked for."""

    value: V
    born_ns: int
    hits: int = 0


class Lru(Generic[V]):
    """At most `size` values, none older than `ttl_ns`. Not for several threads at once."""

    def __init__(self, size: int, ttl_ns: int) -> None:
        self.size = size
        self.ttl_ns = ttl_ns
        self.inserted = 0
        self.evicted = 0
        """Values that made room for others."""
        self.expired = 0
        """Values that grew too old."""
        self._held: OrderedDict[bytes, Held[V]] = OrderedDict()
        self._changed: dict[bytes, None] = {}
        self._too_many_changes = False

    def __len__(self) -> int:
        return len(self._held)

    def peek(self, key: bytes, now_ns: int) -> Held[V] | None:
        """What is there, unused by that; None where nothing is, or nothing that is young enough."""
        held = self._held.get(key)
        if held is None:
            return None
        if held.born_ns > now_ns:
            held.born_ns = now_ns  # the clock was set back: it ages from here, and not from a time that is to come
        if now_ns - held.born_ns > self.ttl_ns:
            self._remove(key)
            self.expired += 1
            return None
        return held

    def get(self, key: bytes, now_ns: int) -> Held[V] | None:
        """As `peek`, and used by that: now it is the last to go."""
        held = self.peek(key, now_ns)
        if held is not None:
            held.hits += 1
            self._held.move_to_end(key)
            self._note(key)
        return held

    def put(self, key: bytes, value: V, born_ns: int, now_ns: int) -> bool:
        """Takes a value in the place of what is there, unless it is too old; returns whether it did."""
        born_ns = min(born_ns, now_ns)
        if now_ns - born_ns > self.ttl_ns or self.size <= 0:
            return False
        there = self.peek(key, now_ns)
        self._held[key] = Held(value, born_ns, there.hits if there is not None else 0)
        self._held.move_to_end(key)
        self.inserted += 1
        self._note(key)
        self._make_room()
        return True

    def sweep(self, now_ns: int) -> None:
        """Lets all go that is too old."""
        for key in list(self._held):
            self.peek(key, now_ns)

    def clear(self) -> int:
        """Lets everything go; returns how much that was."""
        count = len(self._held)
        for key in list(self._held):
            self._remove(key)
        return count

    def items(self) -> Iterator[tuple[bytes, Held[V]]]:
        """All that is held, the next to go first."""
        return iter(self._held.items())

    def restore(self, held: Iterable[tuple[bytes, Held[V]]], now_ns: int) -> None:
        """Takes what was kept elsewhere, the next to go first. It counts as neither inserted nor changed."""
        for key, one in held:
            self._held[key] = one
        while len(self._held) > self.size:
            self._remove(next(iter(self._held)))
        self.sweep(now_ns)
        self.expired = 0

    def adopt(self, key: bytes, held: Held[V], now_ns: int) -> None:
        """Takes what is kept elsewhere already, in the place of what is there: neither inserted nor changed by that."""
        if self.size > 0 and now_ns - held.born_ns <= self.ttl_ns:
            self._held[key] = held
            self._held.move_to_end(key)
            self._make_room()

    def changes(self) -> tuple[list[bytes], bool]:
        """The keys that something was done to since the last call, in that order, whether they are there or not.

        With True there were too many to be told: everything may have changed.
        """
        keys, too_many = list(self._changed), self._too_many_changes
        self._changed, self._too_many_changes = {}, False
        return keys, too_many

    def held(self, key: bytes) -> Held[V] | None:
        """What is there, whatever its age."""
        return self._held.get(key)

    def _make_room(self) -> None:
        while len(self._held) > self.size:
            self._remove(next(iter(self._held)))
            self.evicted += 1

    def _remove(self, key: bytes) -> None:
        del self._held[key]
        self._note(key)

    def _note(self, key: bytes) -> None:
        self._changed.pop(key, None)
        self._changed[key] = None
        if len(self._changed) > 2 * max(self.size, 1):
            self._changed, self._too_many_changes = {}, True
