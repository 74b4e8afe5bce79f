"""How bad the state of a fleet is."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyprof.fleet import FleetStatus

SEVERITY = {"healthy": 0, "warning": 1, "stale": 2, "critical": 3, "offline": 3}


def worst_of(status: "FleetStatus") -> str:
    """The worst health of any collector, agent or board."""
    healths = [reply.collector.health for reply in status.collectors.values()]
    healths += [view.health for reply in status.collectors.values() for view in reply.agents]
    words: list[str] = list(healths)
    for reply in status.collectors.values():
        words += [health for health, count in reply.boards_by_health.items() if count]
    return max(words, key=lambda health: SEVERITY.get(health, 0), default="healthy")


def as_bad_as(health: str, bound: str) -> bool:
    """Whether a health is as bad as `bound`, or worse; offline is as bad as critical."""
    return SEVERITY.get(health, 0) >= SEVERITY[bound]
