"""Boards that a person took out of the fleet's view: kept over a restart, until a newer word of them comes.

What was measured on them stays in the store, so that a board which the store knows must not come back by that alone.
"""

import json
import os
from pathlib import Path
from typing import Final

MAX_FORGOTTEN: Final = 4096
BoardKey = tuple[str, str]
"""Node and board."""


class ForgottenFailed(Exception):
    """The file cannot be read or written; the message is one line that names it."""


class Forgotten:
    """When each board was forgotten, by the collector's clock, and of which the broker must still hear.

    Not safe for several threads at once: whoever shares it holds a lock. The file is written by whoever calls `keep`.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Reads the file where there is one. Raises ForgottenFailed."""
        self._path = path
        self._at_ns: dict[BoardKey, int] = {} if path is None else _read(path)
        self._to_clear: set[BoardKey] = set(self._at_ns)
        self._changed = False
        self.counts: dict[str, int] = {}
        """forgotten_over_bound: the oldest that made room; such a board comes back with the next restart."""

    def __len__(self) -> int:
        return len(self._at_ns)

    def forget(self, key: BoardKey, now_ns: int) -> None:
        """A board is forgotten now."""
        self._at_ns.pop(key, None)
        while len(self._at_ns) >= MAX_FORGOTTEN:
            self._at_ns.pop(next(iter(self._at_ns)))
            self.counts["forgotten_over_bound"] = self.counts.get("forgotten_over_bound", 0) + 1
        self._at_ns[key] = now_ns
        self._to_clear.add(key)
        self._changed = True

    def covers(self, key: BoardKey, word_ns: int) -> bool:
        """Whether a word of a board that was said at a time is no newer than its forgetting."""
        at_ns = self._at_ns.get(key)
        return at_ns is not None and word_ns <= at_ns

    def heard(self, key: BoardKey) -> None:
        """A newer word of the board came: it is not forgotten any more."""
        if self._at_ns.pop(key, None) is not None:
            self._changed = True

    def connected(self) -> None:
        """A broker that was away may have kept a summary of any of them."""
        self._to_clear.update(self._at_ns)

    def take_to_clear(self) -> list[BoardKey]:
        """Boards whose retained summary the broker must let go of; each is given once."""
        taken = sorted(self._to_clear)
        self._to_clear.clear()
        return taken

    def uncleared(self, keys: list[BoardKey]) -> None:
        """Boards of which the broker could not be told."""
        self._to_clear.update(keys)

    def to_write(self) -> bytes | None:
        """What the file must hold from now on; None where it holds it already."""
        if not self._changed or self._path is None:
            return None
        self._changed = False
        return json.dumps([[*key, at_ns] for key, at_ns in self._at_ns.items()]).encode()

    def write(self, data: bytes) -> None:
        """Replaces the file, whole or not at all, and returns once that would survive a loss of power.

        Raises ForgottenFailed; then `to_write` gives it again. By one thread at a time.
        """
        assert self._path is not None
        try:
            _replace(self._path, data)
        except OSError as why:
            self._changed = True
            raise ForgottenFailed(f"{self._path}: {why.strerror or why}") from None


def _read(path: Path) -> dict[BoardKey, int]:
    try:
        rows = json.loads(path.read_bytes())
        return {(str(node), str(board)): int(at_ns) for node, board, at_ns in rows[-MAX_FORGOTTEN:]}
    except FileNotFoundError:
        return {}
    except OSError as why:
        raise ForgottenFailed(f"{path}: {why.strerror or why}") from None
    except (ValueError, TypeError, KeyError):
        raise ForgottenFailed(f"{path} is no list of forgotten boards: move it away, and forget them again") from None


def _replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
