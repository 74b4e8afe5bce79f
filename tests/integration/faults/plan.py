"""What goes wrong in a round, and when: drawn from a seed, over plain data, so that it can be drawn again."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

AGENTS: Final = ("one", "two")
COLLECTORS: Final = ("collector", "second")
Kind = Literal[
    "kill", "freeze", "die after store", "cut", "reset", "delay", "throttle", "split", "tear", "stall",
    "put back spool", "step clock", "fill disk", "wrong token", "poison", "store away", "echo", "shorten retention",
    "hand over", "fill database",
]  # fmt: skip
BrokerKind = Literal["embedded", "mosquitto", "mosquitto, 100 queued"]
StoreNames = tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """What a round runs on. `small_spool`: agents that produce more than their spool takes while nobody answers;
    `small_disks`: agents and collector on file systems of their own, which can be filled; two `collectors` have the
    partitions between them, and a Redis."""

    broker: BrokerKind
    stores: StoreNames
    small_spool: bool
    small_disks: bool
    collectors: int = 1

    def __str__(self) -> str:
        found = (
            ("small spools", self.small_spool),
            ("own disks", self.small_disks),
            ("two collectors", self.collectors > 1),
        )
        extras = [name for name, on in found if on]
        return "; ".join([f"broker {self.broker}", f"store {' and '.join(self.stores)}", *extras])


@dataclass(frozen=True)
class Fault:
    """One fault: it begins `at_ms` after the round did and lasts `hold_ms`. `amount` is the kind's own number:
    milliseconds of a delay, bytes a second of a throttle, seconds of a clock's step, else a number to draw from."""

    at_ms: int
    kind: Kind
    target: str
    hold_ms: int
    amount: int

    @property
    def slots(self) -> tuple[str, ...]:
        """What it needs for itself while it lasts."""
        if self.kind == "put back spool":
            return (f"process {self.target}", f"fill disk {self.target}")
        if self.kind == "hand over":
            return tuple(f"process {name}" for name in COLLECTORS)
        if self.kind == "shorten retention":
            return (f"process {self.target}", f"retention {self.target}")
        if self.kind in _LINK_KINDS:
            return (f"link {self.target}",)
        if self.kind in ("kill", "freeze", "die after store", "store away", "fill database"):
            return (f"process {self.target}",)
        return (f"{self.kind} {self.target}",)

    def __str__(self) -> str:
        return f"{self.at_ms / 1000:6.2f} s  {self.kind} {self.target}, {self.hold_ms} ms, {self.amount}"


@dataclass(frozen=True)
class _Rule:
    weight: int
    hold_ms: tuple[int, int]
    amount: tuple[int, int] = (0, 1_000_000)


_LINK_KINDS: Final[tuple[Kind, ...]] = ("cut", "reset", "delay", "throttle", "split", "tear", "stall")
RULES: Final[dict[Kind, _Rule]] = {
    "kill": _Rule(8, (0, 2000)),
    "freeze": _Rule(4, (300, 5000)),
    "die after store": _Rule(8, (1500, 5000), (1, 12)),
    "cut": _Rule(2, (200, 3000)),
    "reset": _Rule(2, (0, 0)),
    "delay": _Rule(2, (1000, 4000), (20, 800)),
    "throttle": _Rule(2, (1000, 4000), (500, 20_000)),
    "split": _Rule(2, (1000, 4000)),
    "tear": _Rule(2, (200, 1000)),
    "stall": _Rule(2, (1000, 6000)),
    "put back spool": _Rule(3, (1500, 4000)),
    "step clock": _Rule(4, (0, 0), (-259_200, 259_200)),
    "fill disk": _Rule(5, (500, 4000)),
    "wrong token": _Rule(8, (500, 4000)),
    "poison": _Rule(6, (0, 0)),
    "store away": _Rule(8, (3000, 7000)),
    "echo": _Rule(4, (0, 0)),
    "shorten retention": _Rule(8, (1500, 4000)),
    "hand over": _Rule(16, (1500, 6000)),
    "fill database": _Rule(8, (1500, 5000)),
}


def targets(kind: Kind, site: Site) -> list[str]:
    """Whom a kind of fault may hit on a site; nobody where the site has no such part."""
    collectors = list(collectors_of(site))
    database = ["database"] if "influxdb" in site.stores else []
    redis = ["redis"] if site.collectors > 1 else []
    if kind in ("kill", "freeze"):
        return [*AGENTS, *collectors, "broker", *database, *redis]
    if kind in _LINK_KINDS:
        return [*AGENTS, *collectors, *database, *redis]
    if kind in ("put back spool", "step clock"):
        return list(AGENTS)
    if kind == "fill disk":
        return [*AGENTS, *collectors] if site.small_disks else []
    if kind == "store away":
        return database if len(site.stores) > 1 else []
    if kind in ("wrong token", "shorten retention", "fill database"):
        return database
    if kind == "hand over":
        return collectors if site.collectors > 1 else []
    return ["collector"]


def collectors_of(site: Site) -> tuple[str, ...]:
    """The names of a site's collectors."""
    return COLLECTORS[: site.collectors]


def draw_site(
    seed: str, number: int, brokers: Sequence[BrokerKind], stores: Sequence[StoreNames], disks: bool,
    several: Literal["no", "some", "all"] = "no",
) -> Site:  # fmt: skip
    """The site of a round: each pair of broker and stores has its turn, in an order of the seed's own.

    `some` of those on InfluxDB alone, or `all` sites, have two collectors.
    """
    if several == "all":
        stores = (("influxdb",),)
    pairs = [(broker, names) for broker in brokers for names in stores]
    random.Random(f"pairs {seed}").shuffle(pairs)
    broker, names = pairs[number % len(pairs)]
    chance = random.Random(f"site {seed} {number}")
    small_spool, small_disks = chance.random() < 0.3, disks and chance.random() < 0.5
    two = several == "all" or (several == "some" and names == ("influxdb",) and chance.random() < 0.5)
    return Site(broker, names, small_spool, small_disks, 2 if two else 1)


def draw(seed: str, number: int, site: Site, count: int, every_ms: int = 600) -> list[Fault]:
    """`count` faults in the order of their times, about `every_ms` apart; none begins where another still holds."""
    chance = random.Random(f"faults {seed} {number}")
    kinds = [kind for kind in RULES if targets(kind, site)]
    weights = [RULES[kind].weight for kind in kinds]
    free_ms: dict[str, int] = {}
    drawn: list[Fault] = []
    at_ms = 500
    while len(drawn) < count:
        at_ms += int(chance.expovariate(1 / every_ms))
        kind = chance.choices(kinds, weights)[0]
        rule = RULES[kind]
        fault = Fault(
            at_ms, kind, chance.choice(targets(kind, site)), chance.randint(*rule.hold_ms), chance.randint(*rule.amount)
        )
        if any(free_ms.get(slot, 0) > at_ms for slot in fault.slots):
            continue
        drawn.append(fault)
        free_ms |= dict.fromkeys(fault.slots, at_ms + fault.hold_ms + 300)
    return drawn


def timeline(faults: Sequence[Fault]) -> list[tuple[int, bool, Fault]]:
    """When to begin (True) and to end (False) each, in order; of what is due together, ends go first."""
    moments = [(fault.at_ms, True, fault) for fault in faults]
    moments += [(fault.at_ms + fault.hold_ms, False, fault) for fault in faults if fault.hold_ms]
    return sorted(moments, key=lambda moment: (moment[0], moment[1]))
