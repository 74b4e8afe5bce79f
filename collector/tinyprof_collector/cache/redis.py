"""The cache's entries in a Redis that several collectors share: what one has measured, all answer.

Every collector holds the entries itself and answers from there; Redis is asked when changes are kept, once a second,
and never while somebody waits for an answer. An entry that is written gets the next revision: what others have written
since is what has a higher one. What is lost here costs a run and no more: there is no last word between two who write
the same entry at once, and all of it goes by itself when nobody has written for the time that entries last.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import Any, Final, cast

from msgspec import Struct

from tinyprof_collector.cache.cache import Rows
from tinyprof_collector.cache.entry import Entry
from tinyprof_collector.cache.key import KEY_BYTES, key_of_result
from tinyprof_collector.cache.lru import Held
from tinyprof_collector.redis_link import RedisLink
from tinyprof_protocol.bounds import Count, TimeNs
from tinyprof_protocol.codec import BadMessage, pack, unpack
from tinyprof_protocol.records import Record, Result

log = logging.getLogger(__name__)

LIFE_BYTES: Final = 8
"""A number that is there as long as the server forgets nothing."""
RETRY_S: Final = 15.0
"""A server that did not answer is left alone for so long: whoever asks it has other work, which waits meanwhile."""
KNOWN_PER_ENTRY: Final = 2
"""Entries that are known to be there, for each that the server keeps: of others' it is not known when they go."""
MAX_READ: Final = 500
"""Entries read at a time: 16 MB at most."""


class SharedEntry(Struct, frozen=True):
    """An entry as the server keeps it."""

    entry: Entry
    born_ns: TimeNs
    hits: Count = 0


class _AskedInVain(Exception):
    """The server did not do what it was asked; one line."""


class SharedCache:
    """A hash of entries, and their keys in the order of their revisions. All calls come from one thread at a time."""

    def __init__(
        self, link: RedisLink, size: int, ttl_s: float, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`size` is how many entries the server keeps, the last that were written."""
        self._link = link
        self._size, self._ttl_ms = size, max(1, round(ttl_s * 1e3))
        self._entries, self._order, self._revision, self._life = (
            link.key("cache", name) for name in ("entries", "order", "revision", "life")
        )
        self._in_life = b""
        self._monotonic_s = monotonic_s
        self._not_before_s = float("-inf")
        self._seen: float = 0
        self._known: dict[bytes, int] = {}
        """When each entry that the server has was born, as far as we know; what we knew first goes first."""
        self.errors = 0
        """Times that the server did not answer."""

    def load(self) -> Rows:
        """What is there, as far as it answers; what comes later is news."""
        return self.news()

    def keep(self, rows: Rows, gone: list[bytes], *, everything: bool) -> bool:  # noqa: ARG002
        """Writes what is new of `rows`, and takes out `gone`. False if the server did not answer."""
        if self._monotonic_s() < self._not_before_s:
            return False
        new = [(key, held) for key, held in rows if self._known.get(key) != held.born_ns]
        try:
            with self._link.answered(_AskedInVain):
                if new:
                    self._write(new)
                if gone:
                    pipe = self._link.commands.pipeline(transaction=True)
                    pipe.hdel(self._entries, *gone)
                    pipe.zrem(self._order, *gone)
                    pipe.execute()
        except _AskedInVain as why:
            return self._failed(why)
        for key, held in new:
            self._note(key, held.born_ns)
        for key in gone:
            self._known.pop(key, None)
        return True

    def _write(self, new: Rows) -> None:
        redis = self._link.commands
        last = int(cast("Any", redis.incrby(self._revision, len(new))))
        pipe = redis.pipeline(transaction=True)
        for revision, (key, held) in enumerate(new, last - len(new) + 1):
            pipe.hset(self._entries, key, pack(SharedEntry(held.value, held.born_ns, held.hits)))
            pipe.zadd(self._order, {key: revision})
        pipe.pexpire(self._entries, self._ttl_ms)
        pipe.pexpire(self._order, self._ttl_ms)
        pipe.zcard(self._order)
        over = int(pipe.execute()[-1]) - self._size
        if over > 0:
            oldest = cast("Any", redis.zpopmin(self._order, over))
            redis.hdel(self._entries, *(key for key, _ in oldest))

    def news(self) -> Rows:
        """What was written since the last call, by whomever; empty where the server does not answer."""
        if self._monotonic_s() < self._not_before_s:
            return []
        try:
            with self._link.answered(_AskedInVain):
                return self._read_news()
        except _AskedInVain as why:
            self._failed(why)
            return []

    def _read_news(self) -> Rows:
        redis, rows = self._link.commands, Rows()
        redis.set(self._life, os.urandom(LIFE_BYTES), nx=True)
        life, revision = (cast("Any", redis.get(name)) for name in (self._life, self._revision))
        last = int(revision) if revision is not None and revision.isdigit() else 0
        if life != self._in_life or last < self._seen:
            # It has forgotten all: what is used from now on is written anew.
            self._in_life, self._seen = life, 0
            self._known.clear()
        while True:
            found = cast("Any", redis.zrange(
                self._order, f"({self._seen}", last, byscore=True, withscores=True, offset=0, num=MAX_READ
            ))  # fmt: skip
            if not found:
                return rows
            images = cast("Any", redis.hmget(self._entries, [key for key, _ in found]))
            for (key, _), image in zip(found, images, strict=True):
                shared = _readable(key, image)
                if shared is not None and self._known.get(key) != shared.born_ns:
                    self._note(key, shared.born_ns)
                    rows.append((key, Held(shared.entry, shared.born_ns, shared.hits)))
            self._seen = found[-1][1]

    def _note(self, key: bytes, born_ns: int) -> None:
        """What is forgotten here is written once more if it is used: of what others let go nobody tells."""
        self._known.pop(key, None)
        self._known[key] = born_ns
        while len(self._known) > KNOWN_PER_ENTRY * max(self._size, 1):
            del self._known[next(iter(self._known))]

    def _failed(self, why: _AskedInVain) -> bool:
        self.errors += 1
        self._not_before_s = self._monotonic_s() + RETRY_S
        if self.errors == 1:
            log.error("the cache is not shared now: %s; it is tried again", why)
        return False

    def close(self) -> None:
        """Lets the connections go."""
        self._link.close()


def _readable(key: bytes, image: bytes | None) -> SharedEntry | None:
    if image is None or len(key) != KEY_BYTES:
        return None
    try:
        shared = unpack(image, SharedEntry)
        result = unpack(shared.entry.record, Record).body
    except BadMessage:
        return None
    answers_it = isinstance(result, Result) and key_of_result(shared.entry.node, result) == key
    return shared if answers_it else None
