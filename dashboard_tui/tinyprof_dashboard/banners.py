"""What is down and what it means, one line each, worst first: pure functions of the snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.numerals import age, printable
from tinyprof_dashboard.regressions import brief, worst
from tinyprof_dashboard.snapshot import Snapshot
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.names import PARTITIONS

MAX_NAMED = 3
MAX_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Banner:
    """One dependency that is down or ailing."""

    level: Literal["critical", "warning"]
    subject: str
    text: str


def banners(snapshot: Snapshot, broker: str, now_ns: int) -> list[Banner]:
    """Every dependency that is not as it should be."""
    found = [*_broker(snapshot, broker, now_ns)]
    if snapshot.complete:
        found += [*_collectors(snapshot, now_ns), *_agents(snapshot), *_regressions(snapshot)]
    found += _oddities(snapshot)
    return sorted(found, key=lambda banner: banner.level != "critical")


def is_connecting(snapshot: Snapshot) -> bool:
    """Whether nothing has failed yet: the first attempt is under way, or the broker's memory is being read."""
    return not snapshot.complete and (snapshot.link.connected or not snapshot.link.error)


def _broker(snapshot: Snapshot, broker: str, now_ns: int) -> Iterator[Banner]:
    link = snapshot.link
    if link.connected or not link.error:
        return
    wait_s = (link.next_attempt_ns - now_ns) / SECOND_NS
    when = f"next attempt in {age(wait_s)}" if wait_s >= 1 else "trying now"
    attempts = some(link.attempts, "attempt")
    yield Banner("critical", "broker", f"{printable(link.error or f'no broker at {broker}')} · {attempts}, {when}")


def _collectors(snapshot: Snapshot, now_ns: int) -> Iterator[Banner]:
    alive = [heard for heard in snapshot.collectors.values() if heard.alive]
    if not alive:
        known = snapshot.collectors.values()
        last = max((heard.heard_ns for heard in known), default=None)
        word = f", last word {age((now_ns - last) / SECOND_NS)} ago" if last is not None else ""
        yield Banner("critical", "collector", f"none is alive{word}: what is shown is no longer updated")
        return
    orphans = [f"{p:02d}" for p in range(PARTITIONS) if p not in snapshot.watched]
    if orphans:
        yield Banner("critical", "collector", f"no live one holds partition {_names(orphans)}")
    for heard in alive:
        status = heard.status
        for store, health in sorted(status.stores.items()):
            if health != "healthy":
                why = f": {printable(status.reasons[0])}" if status.reasons else ""
                yield Banner(_level(health), f"store {printable(store)}", f"{health} at collector {status.id}{why}")
        if status.health != "healthy" and all(health == "healthy" for health in status.stores.values()):
            why = f": {printable(status.reasons[0])}" if status.reasons else ""
            yield Banner(_level(status.health), f"collector {status.id}", f"{status.health}{why}")


def _level(health: str) -> Literal["critical", "warning"]:
    return "warning" if health == "warning" else "critical"


def _agents(snapshot: Snapshot) -> Iterator[Banner]:
    offline = sorted(node for node, heard in snapshot.agents.items() if heard.status.state == "offline")
    silent = sorted(
        node for node, heard in snapshot.agents.items() if heard.status.state == "online" and not heard.alive
    )
    for nodes, what in ((offline, "offline"), (silent, "silent")):
        if nodes:
            yield Banner("warning", "agents", f"{len(nodes)} of {len(snapshot.agents)} {what}: {_names(nodes)}")


def _regressions(snapshot: Snapshot) -> Iterator[Banner]:
    told = [(row, worst(row.summary)) for row in snapshot.rows.values() if row.summary.regressions]
    bad = sorted(((row, found) for row, found in told if found is not None), key=lambda pair: -abs(pair[1].change))
    if bad:
        names = _names([f"{row.board} {brief(found)}" for row, found in bad])
        yield Banner("warning", "regressions", f"{some(len(bad), 'board')}: {names}")


def _oddities(snapshot: Snapshot) -> Iterator[Banner]:
    if snapshot.skew_ns:
        side = "ahead of" if snapshot.skew_ns > 0 else "behind"
        yield Banner(
            "warning", "clock", f"this machine's is {age(abs(snapshot.skew_ns) / SECOND_NS)} {side} the collector's"
        )
    if snapshot.refused:
        told = f"{some(snapshot.refused, 'message')} could not be read; the last: {printable(snapshot.refused_reason)}"
        yield Banner("warning", "messages", told)
    if snapshot.left_out:
        told = f"{some(snapshot.left_out, 'message')} beyond this screen's bounds, not shown"
        yield Banner("warning", "bounds", told)


def _names(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
