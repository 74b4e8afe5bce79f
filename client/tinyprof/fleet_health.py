"""How bad the state of a fleet is."""

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyprof.fleet_answers import FleetStatus

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


_AS_ONE_OF_THREE = {"healthy": "healthy", "warning": "warning", "stale": "warning"}


def health_of(status: "FleetStatus") -> dict[str, Any]:
    """The fleet's health in short: `status` is `healthy`, `warning` or `critical`, `reasons` say why.

    `boards`, `agents` and `collectors` count those of each health. A silent part of the fleet is critical.
    """
    boards: Counter[str] = Counter()
    agents: Counter[str] = Counter()
    reasons = list(status.gaps)
    for name, reply in status.collectors.items():
        boards.update(reply.boards_by_health)
        agents.update(view.health for view in reply.agents)
        reasons += [f"collector {name}: {reason}" for reason in reply.collector.reasons]
        reasons += [f"agent {v.status.node}: {reason}" for v in reply.agents for reason in v.reasons]
    worst = _AS_ONE_OF_THREE.get(worst_of(status), "critical")
    return {
        "status": "critical" if status.gaps else worst,
        "reasons": reasons,
        "boards": {health: count for health, count in boards.items() if count},
        "agents": dict(agents),
        "collectors": {name: reply.collector.health for name, reply in status.collectors.items()},
    }


def stats_of(status: "FleetStatus") -> dict[str, float]:
    """The sums of all that collectors count, and `cache_hit_rate`: the share of requests that the cache answered.

    Counters count since each collector's start; `jobs_queued`, `jobs_running`, `jobs_kept` and `cache_entries` are now.
    """
    sums: Counter[str] = Counter()
    for reply in status.collectors.values():
        sums.update(reply.collector.counters)
        sums.update({f"ledger_{name}": count for name, count in reply.ledger.items()})
    asked = sums["cache_hits"] + sums["cache_misses"]
    boards = sum(count for reply in status.collectors.values() for count in reply.boards_by_health.values())
    agents = sum(len(reply.agents) for reply in status.collectors.values())
    rate = sums["cache_hits"] / asked if asked else 0.0
    return {**sums, "boards": boards, "agents": agents, "cache_hit_rate": rate}
