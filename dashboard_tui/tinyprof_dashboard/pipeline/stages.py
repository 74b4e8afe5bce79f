"""The five stages that a record passes, how each is, and the one where the flow is stuck: pure.

A stage is judged by what is known of it alone; `verdict` then says what that means, the stage nearest to the store
first, because what stands behind one that is stuck only waits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from tinyprof_dashboard.availability import HEALTHS, SECOND_NS
from tinyprof_dashboard.numerals import age, count, printable, some
from tinyprof_dashboard.palette import SEVERITY
from tinyprof_dashboard.pipeline.lines import CollectorLine, LedgerLine, State, Sums, partitions_text
from tinyprof_dashboard.snapshot import Snapshot
from tinyprof_protocol.names import PARTITIONS
from tinyprof_protocol.presence import Health

Name = Literal["boards", "agents", "broker", "collectors", "stores"]
MAX_NAMED: Final = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage: its state, that in a word or two, and up to two lines on what it holds."""

    name: Name
    health: Health
    word: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the flow is stuck, if it is, and a line on it. `stage` is None where everything flows.

    `loss` is a line on records that are missing, empty where none is.
    """

    level: Health
    stage: Name | None
    text: str
    loss: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """All that stages and verdict are made of."""

    snapshot: Snapshot
    collectors: Sequence[CollectorLine]
    lines: Sequence[LedgerLine]
    sums: Sums
    now_ns: int

    @property
    def in_spools(self) -> int:
        """Records that all spools hold."""
        return sum(line.in_spool for line in self.lines)


def stages(scene: Scene) -> tuple[Stage, ...]:
    """From board to store."""
    return (_boards(scene), _agents(scene), _broker(scene), _collectors(scene), _stores(scene))


def _worst(healths: Iterable[Health]) -> Health:
    return min(healths, key=SEVERITY.__getitem__, default="healthy")


def _boards(scene: Scene) -> Stage:
    counts = scene.snapshot.counts
    total = sum(counts.values())
    if not total:
        return Stage("boards", "stale", "none yet")
    present: list[Health] = [health for health in HEALTHS if counts.get(health)]
    ailing = sorted((health for health in present if health != "healthy"), key=SEVERITY.__getitem__)
    running = sum(1 for row in scene.snapshot.rows.values() if row.summary.state == "running")
    word = f"{count(counts[ailing[0]])} {ailing[0]}" if ailing else f"{count(total)} healthy"
    return Stage(
        "boards", _worst(present), word, _told(f"of {count(total)}" if ailing else "", f"{count(running)} running")
    )


def _agents(scene: Scene) -> Stage:
    agents = scene.snapshot.agents.values()
    if not agents:
        return Stage("agents", "stale", "none yet")
    offline = sum(1 for heard in agents if heard.status.state == "offline")
    silent = sum(1 for heard in agents if heard.status.state == "online" and not heard.alive)
    held_up = any(line.state == "held up" for line in scene.lines)
    health: Health = "offline" if offline else "stale" if silent else "warning" if held_up else "healthy"
    word = f"{offline} offline" if offline else f"{silent} silent" if silent else f"{count(len(agents))} online"
    oldest = f"oldest {age(scene.sums.oldest_s)}" if scene.sums.oldest_s is not None and scene.in_spools else ""
    spools = f"{count(scene.in_spools)} owed" if scene.in_spools else "spools empty"
    return Stage("agents", health, word, _told(spools, oldest))


def _broker(scene: Scene) -> Stage:
    link = scene.snapshot.link
    if link.connected:
        if scene.snapshot.refused:
            return Stage("broker", "warning", "connected", (f"{count(scene.snapshot.refused)} unreadable",))
        return Stage("broker", "healthy", "connected")
    if not link.error:
        return Stage("broker", "stale", "connecting")
    wait_s = (link.next_attempt_ns - scene.now_ns) / SECOND_NS
    return Stage("broker", "critical", "away", (f"next try {age(wait_s)}" if wait_s >= 1 else "trying now",))


def _collectors(scene: Scene) -> Stage:
    if not scene.collectors:
        return Stage("collectors", "stale", "none yet")
    alive = [line for line in scene.collectors if line.heard.alive]
    holding = max((line.heard.status.holding_s or 0.0 for line in alive), default=0.0)
    waiting = sum(line.heard.status.waiting for line in alive)
    rates = [line.stored_per_s for line in alive if line.stored_per_s is not None]
    flow = f"{sum(rates):,.0f} stored/s" if rates else ""
    lines = _told(f"{count(waiting)} wait" if waiting else "", flow)
    gone = len(scene.collectors) - len(alive)
    if gone:
        worst = _worst(line.health for line in scene.collectors if not line.heard.alive)
        return Stage("collectors", worst, f"{gone} {'offline' if worst == 'offline' else 'silent'}", lines)
    if holding:
        return Stage("collectors", "critical", f"holding {age(holding)}", lines)
    return Stage("collectors", _worst(line.health for line in alive), f"{len(alive)} alive", lines)


def _stores(scene: Scene) -> Stage:
    stores = [pair for line in scene.collectors if line.heard.alive for pair in line.heard.status.stores.items()]
    if not stores:
        return Stage("stores", "stale", "unknown")
    bad = sorted({name for name, health in stores if health != "healthy"})
    good = sorted({name for name, _ in stores} - set(bad))
    if bad:
        return Stage(
            "stores", "critical", printable(bad[0]), _told("takes nothing", *map(printable, (*bad[1:], *good)))
        )
    word = f"{len(good)} take{'s' if len(good) == 1 else ''} all"
    return Stage("stores", "healthy", word, _told(*map(printable, good)))


def _told(*lines: str) -> tuple[str, ...]:
    """The first two that say anything."""
    return tuple(line for line in lines if line)[:2]


def verdict(scene: Scene) -> Verdict:
    """Where the flow is stuck, and what is lost."""
    return replace(_flow(scene), loss=_loss(scene))


def _flow(scene: Scene) -> Verdict:
    snapshot = scene.snapshot
    if not snapshot.link.connected and snapshot.link.error:
        return Verdict("critical", "broker", f"{printable(snapshot.link.error)}; what is below is from before that")
    if not snapshot.complete:
        return Verdict("stale", None, "reading what the broker remembers …")
    return _stuck_behind(scene) or _stuck_before(scene) or _flowing(scene)


def _loss(scene: Scene) -> str:
    missing = scene.sums.classes["missing"]
    if not missing:
        return ""
    rows = [line.row for line in scene.lines if line.row is not None and line.row.missing]
    nodes = sorted({row.node for row in rows})
    cause = next((row.cause for row in rows if row.cause), "no cause is known")
    return f"{some(missing, 'record')} of {_names(nodes)}: {printable(cause)}"


def _stuck_behind(scene: Scene) -> Verdict | None:
    """At a store or at a collector."""
    alive = [line for line in scene.collectors if line.heard.alive]
    for line in alive:
        for store, why in sorted(line.heard.status.store_errors.items()):
            return Verdict("critical", "stores", f"{printable(store)}: {printable(why)}")
        if any(health != "healthy" for health in line.heard.status.stores.values()):
            return Verdict("critical", "stores", f"a store of {line.key} takes nothing")
    orphans = [partition for partition in range(PARTITIONS) if partition not in scene.snapshot.watched]
    if orphans:
        gone = [f"{line.key} {_gone(line, scene.now_ns)}" for line in scene.collectors if not line.heard.alive]
        who = f"{_names(gone)}; " if gone else ""
        return Verdict("critical", "collectors", f"{who}no live one holds partitions {partitions_text(orphans)}")
    for line in alive:
        status = line.heard.status
        if status.state_error or status.holding_s is not None:
            why = printable(status.state_error) or f"nothing acknowledged for {age(status.holding_s)}"
            return Verdict("critical", "collectors", f"{line.key}: {why}")
    return None


def _gone(line: CollectorLine, now_ns: int) -> str:
    if line.health == "offline":
        return "is offline"
    return f"has been silent for {age((now_ns - line.heard.heard_ns) / SECOND_NS)}"


def _stuck_before(scene: Scene) -> Verdict | None:
    """At an agent."""
    told: tuple[tuple[State, str], ...] = (("offline", "offline"), ("silent", "silent"), ("held up", "catching up"))
    for state, word in told:
        nodes = sorted({line.node for line in scene.lines if line.state == state})
        if nodes:
            held = sum(line.in_spool for line in scene.lines if line.state == state)
            oldest_s = max((line.oldest_s or 0.0 for line in scene.lines if line.state == state), default=0.0)
            since = f", the oldest for {age(oldest_s)}" if oldest_s else ""
            return Verdict("warning", "agents", f"{_names(nodes)} {word}, keeping {some(held, 'record')}{since}")
    return None


def _flowing(scene: Scene) -> Verdict:
    if scene.sums.told_s is None:
        return Verdict("stale", None, "asking the collectors where every record is …")
    if not scene.lines:
        return Verdict("stale", None, "no agent has made a record yet")
    if scene.in_spools:
        return Verdict("healthy", None, f"everything flows · {some(scene.in_spools, 'record')} on the way")
    return Verdict("healthy", None, "everything flows · every record has its place")


def _names(names: list[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(names[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
