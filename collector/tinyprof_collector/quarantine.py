"""What could not be taken: on disk with its reason and its bytes, before anything is acknowledged.

Bounded for each node, and in all; the same message is kept once, with a count of its repeats. What falls out is
counted as discarded.
"""

import contextlib
import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tinyprof_collector.sqlite_file import WrongVersion, line_of, open_or_set_aside, transaction
from tinyprof_protocol.requests import QuarantineItem

log = logging.getLogger(__name__)

MAX_ITEMS = 1000
MAX_BYTES = 8 * 1024 * 1024
MAX_ALL_ITEMS = 100_000
MAX_ALL_BYTES = 512 * 1024 * 1024

MIGRATIONS = (
    """
    CREATE TABLE items (item INTEGER PRIMARY KEY AUTOINCREMENT, node TEXT NOT NULL, hash BLOB NOT NULL,
        epoch BLOB NOT NULL, seq INTEGER, time_ns INTEGER NOT NULL, topic TEXT NOT NULL, reason TEXT NOT NULL,
        size INTEGER NOT NULL, repeats INTEGER NOT NULL DEFAULT 1, replaying INTEGER NOT NULL DEFAULT 0,
        data BLOB NOT NULL, UNIQUE (node, hash));
    CREATE TABLE sizes (node TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counts VALUES ('discarded', 0), ('added', 0)
    """,
)
_COLUMNS = "item, time_ns, topic, reason, size, node, epoch, seq, repeats"


class QuarantineFailed(Exception):
    """The quarantine takes nothing now; nothing may be acknowledged. The message says why in a line."""


class Poison(NamedTuple):
    """What cannot be taken. A whole message has `seq` None and no epoch; `node` is "" where its topic names none."""

    node: str
    topic: str
    reason: str
    data: bytes
    epoch: bytes = b""
    seq: int | None = None

    def fingerprint(self) -> bytes:
        """Equal for equal content only; a whole message and a record never share one."""
        head = f"{self.topic}\n" if self.seq is None else f"{self.epoch.hex()} {self.seq}\n"
        return hashlib.sha256(head.encode("utf-8", "replace") + self.data).digest()


class Kept(NamedTuple):
    """An item taken out for a replay."""

    item: int
    poison: Poison


RecordKey = tuple[str, bytes, int]


class Quarantine:
    """One SQLite file, held by one process and used from the pipeline's thread."""

    def __init__(
        self,
        path: Path,
        *,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
        max_all_items: int = MAX_ALL_ITEMS,
        max_all_bytes: int = MAX_ALL_BYTES,
    ) -> None:
        """Opens or makes the file; one that cannot be read is set aside. Raises QuarantineFailed."""
        self._path = path
        self._of_node = (max_items, max_bytes)
        self._of_all = (max_all_items, max_all_bytes)
        self._error: str | None = None
        self.set_aside: Path | None = None
        """Where an unreadable file went when this one was begun anew."""
        try:
            self._connection, self.set_aside = open_or_set_aside(path, MIGRATIONS)
        except (sqlite3.Error, OSError, WrongVersion) as why:
            raise QuarantineFailed(f"quarantine {path}: {line_of(why)}") from why
        if self.set_aside is not None:
            log.error("quarantine %s could not be read and was set aside as %s", path, self.set_aside.name)

    def add(self, poisons: Sequence[Poison], time_ns: int) -> list[RecordKey]:
        """Keeps all, in one transaction. Returns the records that fell out for them. Raises QuarantineFailed."""
        run = self._connection.execute
        with self._transaction():
            for poison in poisons:
                fingerprint = poison.fingerprint()
                known = run(
                    "UPDATE items SET repeats = repeats + 1 WHERE node = ? AND hash = ?", (poison.node, fingerprint)
                )
                if known.rowcount:
                    continue
                run(
                    "INSERT INTO items (node, hash, epoch, seq, time_ns, topic, reason, size, data) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (poison.node, fingerprint, poison.epoch, poison.seq, time_ns, _line(poison.topic),
                     _line(poison.reason), len(poison.data), poison.data),
                )  # fmt: skip
                run("INSERT OR IGNORE INTO sizes VALUES (?, 0, 0)", (poison.node,))
                run(
                    "UPDATE sizes SET items = items + 1, bytes = bytes + ? WHERE node = ?",
                    (len(poison.data), poison.node),
                )
                run("UPDATE counts SET value = value + 1 WHERE name = 'added'")
            return self._discard_excess({poison.node for poison in poisons})

    def list_items(self, node: str | None = None, offset: int = 0, limit: int = 100) -> list[QuarantineItem]:
        """Items oldest first, without their bytes. Raises QuarantineFailed."""
        sql = (
            f"SELECT {_COLUMNS} FROM items WHERE (:node IS NULL OR node = :node) ORDER BY item LIMIT :limit OFFSET :at"  # noqa: S608  (constants)
        )
        rows = self._fetch(sql, {"node": node, "limit": limit, "at": offset})
        return [QuarantineItem(*row) for row in rows]

    def show(self, item: int) -> QuarantineItem | None:
        """One item with its bytes; None if there is none of that number. Raises QuarantineFailed."""
        rows = self._fetch(f"SELECT {_COLUMNS}, data FROM items WHERE item = :item", {"item": item})  # noqa: S608
        return QuarantineItem(*rows[0]) if rows else None

    def total(self, node: str | None = None) -> int:
        """How many items are kept. Raises QuarantineFailed."""
        sql = "SELECT COALESCE(SUM(items), 0) FROM sizes WHERE :node IS NULL OR node = :node"
        return int(self._fetch(sql, {"node": node})[0][0])

    def counts(self) -> dict[str, int]:
        """`added` and `discarded`, messages and records together, ever since the file was begun."""
        return dict(self._fetch("SELECT name, value FROM counts", {}))

    def records(self) -> list[RecordKey]:
        """Every single record that is kept. Raises QuarantineFailed."""
        return list(self._fetch("SELECT node, epoch, seq FROM items WHERE seq IS NOT NULL", {}))

    # ---- replay

    def begin_replay(self, item: int | None, node: str | None, limit: int) -> list[Kept]:
        """Marks items as being replayed and returns them, so that a crash in the middle is seen at the next start."""
        bound = {"item": item, "node": node, "limit": limit}
        with self._transaction():
            self._connection.execute(
                "UPDATE items SET replaying = 1 WHERE item IN (SELECT item FROM items WHERE (:item IS NULL OR "
                "item = :item) AND (:node IS NULL OR node = :node) ORDER BY item LIMIT :limit)",
                bound,
            )
        return self.interrupted_replay()

    def interrupted_replay(self) -> list[Kept]:
        """Items marked as being replayed. Raises QuarantineFailed."""
        sql = "SELECT item, node, topic, reason, data, epoch, seq FROM items WHERE replaying = 1 ORDER BY item"
        return [Kept(row[0], Poison(*row[1:])) for row in self._fetch(sql, {})]

    def end_replay(self, done: Iterable[int], failed: dict[int, str]) -> None:
        """Takes out what was replayed; keeps what failed again, with its new reason. Raises QuarantineFailed."""
        with self._transaction():
            for item in done:
                self._remove(item)
            for item, reason in failed.items():
                self._connection.execute(
                    "UPDATE items SET replaying = 0, reason = ? WHERE item = ?", (_line(reason), item)
                )

    def check(self) -> str | None:
        """What was wrong with the last use, in a line; None if nothing was."""
        return self._error

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    # ---- bounds

    def _discard_excess(self, nodes: Iterable[str]) -> list[RecordKey]:
        fallen: list[RecordKey] = []
        for node in nodes:
            while self._over("SELECT items, bytes FROM sizes WHERE node = :node", node, self._of_node):
                fallen += self._discard_oldest("SELECT MIN(item) FROM items WHERE node = :node", node)
        while self._over("SELECT SUM(items), SUM(bytes) FROM sizes", "", self._of_all):
            fallen += self._discard_oldest("SELECT MIN(item) FROM items", "")
        return fallen

    def _over(self, sql: str, node: str, bounds: tuple[int, int]) -> bool:
        row = self._connection.execute(sql, {"node": node} if ":node" in sql else {}).fetchone()
        return row is not None and any((value or 0) > bound for value, bound in zip(row, bounds, strict=True))

    def _discard_oldest(self, sql: str, node: str) -> list[RecordKey]:
        item = self._connection.execute(sql, {"node": node} if ":node" in sql else {}).fetchone()[0]
        self._connection.execute("UPDATE counts SET value = value + 1 WHERE name = 'discarded'")
        gone = self._remove(item)
        return [] if gone is None else [gone]

    def _remove(self, item: int) -> RecordKey | None:
        run = self._connection.execute
        row = run("SELECT node, epoch, seq, size FROM items WHERE item = ?", (item,)).fetchone()
        if row is None:
            return None
        node, epoch, seq, size = row
        run("DELETE FROM items WHERE item = ?", (item,))
        run("UPDATE sizes SET items = items - 1, bytes = bytes - ? WHERE node = ?", (size, node))
        run("DELETE FROM sizes WHERE node = ? AND items = 0", (node,))
        return None if seq is None else (node, epoch, seq)

    # ---- SQLite

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._connection):
                yield
        except sqlite3.Error as why:
            self._error = f"quarantine {self._path}: {line_of(why)}"
            raise QuarantineFailed(self._error) from why
        self._error = None

    def _fetch(self, sql: str, bound: dict[str, str | int | None]) -> list[Any]:
        try:
            return self._connection.execute(sql, bound).fetchall()
        except sqlite3.Error as why:
            self._error = f"quarantine {self._path}: {line_of(why)}"
            raise QuarantineFailed(self._error) from why


def _line(text: str) -> str:
    """Text as one line that any encoding takes; a topic may hold anything."""
    return " ".join(text.encode("utf-8", "replace").decode().split())[:300]
