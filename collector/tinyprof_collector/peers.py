"""Other collectors, by their own word: whose partitions overlap with ours.

Pure state over plain data: every time is an argument, in ns of the collector's wall clock.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tinyprof_collector.presence import said_ns
from tinyprof_protocol.presence import CollectorStatus

MAX_PEERS = 64


@dataclass(slots=True)
class Peers:
    """The collectors that are online, at most 64; those that were heard of longest ago make room."""

    heard: dict[str, tuple[CollectorStatus, int]] = field(default_factory=dict)

    def hear(self, status: CollectorStatus, now_ns: int, *, retained: bool) -> None:
        """Takes a collector's status; a retained one was said some time ago."""
        self.heard.pop(status.id, None)
        if status.state == "offline":
            return
        if len(self.heard) >= MAX_PEERS:
            del self.heard[next(iter(self.heard))]
        self.heard[status.id] = (status, said_ns(status.time_ns, now_ns) if retained else now_ns)

    def overlaps(self, own: Collection[int], now_ns: int, stale_intervals: float) -> dict[str, list[int]]:
        """Partitions that are ours and another's too, by its id; one that fell silent serves nothing."""
        found = {}
        for name, (status, heard_ns) in sorted(self.heard.items()):
            both = sorted(set(own) & set(status.partitions))
            if both and now_ns - heard_ns <= stale_intervals * max(status.interval_s, 1.0) * 1e9:
                found[name] = both
        return found


def by_collector(taken: Mapping[int, str]) -> dict[str, list[int]]:
    """Partitions by the collector that has them."""
    found: dict[str, list[int]] = {}
    for partition, name in sorted(taken.items()):
        found.setdefault(name, []).append(partition)
    return found


def shown(partitions: Iterable[int]) -> str:
    """Partitions as text: `0-15`, `3`, `1,4`."""
    numbers = sorted(partitions)
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))
