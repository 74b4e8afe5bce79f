"""The cache as the collector's threads see it: results come in as they are stored, requests are answered from it.

Its lock is held for a look into a map and no longer. What agents say of their boards is read without any lock.
"""

import threading
from collections.abc import Iterable
from typing import Protocol

from msgspec import Raw

from tinyprof_collector.cache.asking import Agents, keys_of, may_answer
from tinyprof_collector.cache.entry import RANK, Entry, accepted, cached_from, entry_of, item_of
from tinyprof_collector.cache.key import KnownKeys
from tinyprof_collector.cache.lru import Held, Lru
from tinyprof_collector.config import CacheConfig
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.jobs import EncodedProfileReply, ProfileRequest
from tinyprof_protocol.records import Result
from tinyprof_protocol.requests import CacheReply, CacheRequest, CacheStats

SWEEP_EVERY_NS = 10 * 10**9
"""How often what is too old is looked for; what is asked for is looked at anyway."""
Rows = list[tuple[bytes, Held[Entry]]]
_Merit = tuple[int, int]
"""The verdict's rank, and when the run was made: the greater answers."""


class Backing(Protocol):
    """Where entries outlive the collector. What it cannot keep is its own to count and to say."""

    def load(self) -> Rows:
        """What was kept, the next to go first."""

    def keep(self, rows: Rows, gone: list[bytes], *, everything: bool) -> bool:
        """Keeps `rows` and forgets `gone`; with `everything` the rows are all there is. False if it could not."""

    def news(self) -> Rows:
        """What others have kept there since the last call or since it was loaded."""

    def close(self) -> None:
        """Lets go of what is held."""


class Cache:
    """At most `config.size` results, each for `config.ttl` seconds from its run on."""

    def __init__(self, config: CacheConfig, stale_intervals: float, backing: Backing | None = None) -> None:
        """A silence of `stale_intervals` of its own makes an agent count as away."""
        self._config = config
        self._stale_intervals = stale_intervals
        self._backing = backing
        self._lock = threading.Lock()
        self._lru: Lru[Entry] = Lru(config.size, round(config.ttl * 1e9))
        self._swept_ns = 0
        self._rewrite = False
        self._hits = self._misses = 0

    # ---- what comes in

    def restore(self, now_ns: int) -> None:
        """Takes what was kept, at the start."""
        if self._backing is not None:
            rows = self._backing.load()
            with self._lock:
                self._lru.restore(rows, now_ns)

    def take(self, arrivals: Iterable[Arrival], agents: Agents, now_ns: int) -> None:
        """Takes results that the stores have. Only those that are good enough, and young enough, enter."""
        best: dict[bytes, tuple[_Merit, Arrival, Result]] = {}
        known = KnownKeys()
        for arrival in arrivals:
            result = arrival.record.body
            if not isinstance(result, Result) or not accepted(result.verdict, self._config.accept):
                continue
            born_ns = _born_ns(arrival, agents, now_ns)
            key = known.of(arrival.node, result) if now_ns - born_ns <= self._lru.ttl_ns else None
            if key is not None:
                merit = (RANK[result.verdict], born_ns)
                if key not in best or merit >= best[key][0]:
                    best[key] = (merit, arrival, result)
        for key, (merit, arrival, result) in best.items():
            self._put(key, merit, entry_of(arrival.node, arrival.record, result, arrival.data), now_ns)

    def _put(self, key: bytes, merit: _Merit, entry: Entry, now_ns: int) -> None:
        with self._lock:
            there = self._lru.peek(key, now_ns)
            # A noisy run takes no better one's place while that one lasts, and an older one no younger one's.
            if there is None or merit >= _merit_of(there):
                self._lru.put(key, entry, merit[1], now_ns)

    # ---- what is asked

    def answer(self, request: ProfileRequest, agents: Agents, now_ns: int) -> EncodedProfileReply | None:
        """The answer to a request, final, or None where a run is needed. `agents` are all that are known, by node."""
        if not may_answer(request, now_ns):
            return None
        keys = keys_of(request, agents, now_ns, self._stale_intervals)
        with self._lock:
            found = self._youngest(keys, request.max_age_s, now_ns)
            if found is None:
                self._misses += 1
                return None
            self._hits += 1
        age_ns = now_ns - found.born_ns
        entry = found.value
        return EncodedProfileReply(
            job_id=request.job.id,
            state="finished",
            message=f"from the cache: a run of {entry.node}/{entry.board}, {age_ns / 1e9:.0f} s ago",
            final=True,
            result=Raw(entry.record),
            node=entry.node,
            board=entry.board,
            cached=cached_from(entry, age_ns),
        )

    def _youngest(self, keys: list[bytes], max_age_s: float | None, now_ns: int) -> Held[Entry] | None:
        found = [(held.born_ns, key) for key in keys if (held := self._lru.peek(key, now_ns)) is not None]
        born_ns, key = max(found, default=(0, b""))
        if not found or (max_age_s is not None and now_ns - born_ns >= max_age_s * 1e9):
            return None
        return self._lru.get(key, now_ns)

    def reply(self, asked: CacheRequest, joined: int, now_ns: int) -> CacheReply:
        """Figures, entries, or what was cleared. `joined`: the requests that were joined to one under way."""
        with self._lock:
            self._lru.sweep(now_ns)
            cleared = self._lru.clear() if asked.action == "clear" else 0
            held = [one for _, one in self._lru.items()] if asked.action == "list" else []
            stats = self._stats(joined)
        held.sort(key=lambda one: one.born_ns, reverse=True)
        page = held[asked.offset : asked.offset + asked.limit]
        items = [item_of(one.value, now_ns - one.born_ns, one.hits) for one in page]
        return CacheReply(stats, items, stats.entries, cleared)

    def _stats(self, joined: int) -> CacheStats:
        lru = self._lru
        return CacheStats(
            entries=len(lru),
            size=lru.size,
            ttl_s=self._config.ttl,
            hits=self._hits,
            misses=self._misses,
            joined=joined,
            inserted=lru.inserted,
            evicted=lru.evicted,
            expired=lru.expired,
        )

    def counters(self) -> dict[str, int]:
        """What is counted, and under `cache_entries` what is held."""
        with self._lock:
            return {
                "cache_hits": self._hits,
                "cache_misses": self._misses,
                "cache_entries": len(self._lru),
                "cache_evictions": self._lru.evicted,
                "cache_expired": self._lru.expired,
            }

    # ---- what is kept

    def keep(self, now_ns: int) -> None:
        """Keeps what changed since the last call where it outlives the collector; takes what others have kept there.

        For a thread that may wait.
        """
        with self._lock:
            if now_ns - self._swept_ns >= SWEEP_EVERY_NS or now_ns < self._swept_ns:
                self._swept_ns = now_ns
                self._lru.sweep(now_ns)
            if self._backing is None:
                return
            rows, gone, everything = self._changes()
        if (rows or gone or everything) and not self._backing.keep(rows, gone, everything=everything):
            self._rewrite = True
        self._adopt(self._backing.news(), now_ns)

    def _adopt(self, rows: Rows, now_ns: int) -> None:
        with self._lock:
            for key, held in rows:
                there = self._lru.peek(key, now_ns)
                if accepted(held.value.verdict, self._config.accept) and (
                    there is None or _merit_of(held) > _merit_of(there)
                ):
                    self._lru.adopt(key, held, now_ns)

    def _changes(self) -> tuple[Rows, list[bytes], bool]:
        keys, too_many = self._lru.changes()
        everything, self._rewrite = too_many or self._rewrite, False
        if everything:
            return list(self._lru.items()), [], True
        rows, gone = [], []
        for key in keys:
            held = self._lru.held(key)
            if held is None:
                gone.append(key)
            else:
                rows.append((key, held))
        return rows, gone, False


def _merit_of(held: Held[Entry]) -> _Merit:
    return RANK[held.value.verdict], held.born_ns


def _born_ns(arrival: Arrival, agents: Agents, now_ns: int) -> int:
    """When a run was made by the collector's clock: that of its agent may be another."""
    agent = agents.get(arrival.node)
    skew_ns = int((agent.skew_ms or 0.0) * 1e6) if agent is not None else 0
    return min(arrival.record.time_ns - skew_ns, now_ns)
