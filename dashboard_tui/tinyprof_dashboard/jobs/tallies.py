"""How many jobs there are and what the caches did, by what live collectors count: pure, and quick to load."""

from dataclasses import dataclass
from typing import Final

from tinyprof_dashboard import numerals
from tinyprof_dashboard.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Tallies:
    """What live collectors count of jobs and caches, together."""

    queued: int = 0
    running: int = 0
    """Runs that are with a board, whether they have begun or not."""
    joined: int = 0
    hits: int = 0
    misses: int = 0
    entries: int = 0
    evicted: int = 0
    expired: int = 0

    @property
    def asked(self) -> int:
        """Requests that the caches were asked for."""
        return self.hits + self.misses


_COUNTERS: Final = {
    "queued": "jobs_queued", "running": "jobs_running", "joined": "jobs_joined", "hits": "cache_hits",
    "misses": "cache_misses", "entries": "cache_entries", "evicted": "cache_evictions", "expired": "cache_expired",
}  # fmt: skip


def tallies(snapshot: Snapshot) -> Tallies:
    """Adds up what the collectors' own words say."""
    alive = [heard.status.counters for heard in snapshot.collectors.values() if heard.alive]
    return Tallies(**{name: sum(told.get(key, 0) for told in alive) for name, key in _COUNTERS.items()})


def short(found: Tallies) -> str:
    """Jobs and cache in a few words for the fleet's first line; empty where nobody has asked for anything."""
    jobs = f"{numerals.some(found.running, 'job')} at boards, {numerals.count(found.queued)} queued"
    told = [jobs] if found.running or found.queued else []
    return " · ".join([*told, *([f"cache {rate(found)}"] if found.asked else [])])


def rate(found: Tallies) -> str:
    """The share of requests that the caches answered."""
    return f"{found.hits / found.asked:.0%}" if found.asked else numerals.NOTHING
