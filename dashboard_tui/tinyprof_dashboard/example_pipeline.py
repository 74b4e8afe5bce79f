"""Made-up ledgers for tests and pictures of the pipeline's screen, never for figures. Nothing here was measured."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from tinyprof_dashboard.events import AgentSeen, BoardSeen, CollectorSeen, Event, LinkChanged, RetainedComplete
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS, ExampleSource, board
from tinyprof_protocol.names import PARTITIONS, partition_of
from tinyprof_protocol.presence import AgentStatus, CollectorStatus, EpochOwed
from tinyprof_protocol.requests import AgentDelivery, LedgerReply, LedgerRow

NODES = ("berlin.bench", "lima.lab", "oslo.rack1")
UNREACHABLE = "no answer from http://influx:8086: Connection refused; is the database running?"


@dataclass
class Example:
    """A fleet with its ledgers, to be changed before it is played."""

    agents: dict[str, AgentStatus] = field(default_factory=dict)
    collectors: dict[str, CollectorStatus] = field(default_factory=dict)
    heard_s_ago: dict[str, float] = field(default_factory=dict)
    """Of agents and collectors; 3 s where it does not say."""
    ledgers: dict[str, LedgerReply] = field(default_factory=dict)

    stored_per_s: float = 0.0
    """What each collector has stored in the second before its word."""

    def events(self) -> list[Event]:
        """All that the broker remembers."""
        seen: list[Event] = [LinkChanged(True)]
        for name, status in self.collectors.items():
            fewer = {**status.counters, "stored": status.counters["stored"] - round(10 * self.stored_per_s)}
            before_ns = self._said_ns(name) - 10 * SECOND_NS
            for counters, time_ns in ((fewer, before_ns), (status.counters, self._said_ns(name))):
                seen.append(CollectorSeen(replace(status, id=name, time_ns=time_ns, counters=counters), live=False))
        seen += [
            AgentSeen(replace(status, time_ns=self._said_ns(node)), live=False) for node, status in self.agents.items()
        ]
        seen += [
            BoardSeen(board(node, f"{name}-{place + 1}", kind=kind, age_s=2.0 + kind))
            for place, node in enumerate(self.agents)
            for kind, name in ((1, "pi5"), (3, "stm32h7"), (4, "esp32s3"))
        ]
        return [*seen, RetainedComplete()]

    def source(self) -> ExampleSource:
        """A source that plays it and answers for each collector that has a ledger."""
        return ExampleSource(self.events(), ledgers=self.ledgers)

    def _said_ns(self, name: str) -> int:
        return NOW_NS - round(self.heard_s_ago.get(name, 3.0) * SECOND_NS)


def epoch(number: int) -> bytes:
    """An epoch that looks like one."""
    return bytes.fromhex(f"{(0x3FA9C2D1 + number * 0x1B7E4A35) & 0xFFFFFFFF:08x}") * 4


def settled() -> Example:
    """Three agents, two stores, everything where it belongs."""
    example = Example(stored_per_s=412.0)
    rows = []
    for number, (node, made) in enumerate(zip(NODES, (128_422, 9_310, 1_204_877), strict=True)):
        example.agents[node] = agent(node, made)
        rows.append(LedgerRow(node, bytes(16), made * 3, stored=made * 3, forgotten=True, epochs=4, resent=number * 7))
        rows.append(LedgerRow(node, epoch(number), made, base=made + 1, stored=made, resent=number))
    example.collectors["hub"] = collector(stored=4_213_905, resent=218)
    told = [AgentDelivery(node, NOW_NS, sack_lag_ms=11.0 + 4 * place) for place, node in enumerate(NODES)]
    example.ledgers["hub"] = LedgerReply(rows, True, agents=told)
    return example


def dead_database() -> Example:
    """InfluxDB has been away for four minutes: the collector holds, and the spools fill."""
    example = Example()
    rows, told = [], []
    owed = ((128_422, 3_180, 251.0), (9_310, 402, 248.0), (1_204_877, 28_944, 253.0))
    for number, (node, (made, waits, oldest_s)) in enumerate(zip(NODES, owed, strict=True)):
        example.agents[node] = agent(node, made, waits, oldest_s)
        rows.append(LedgerRow(node, epoch(number), made, base=made - waits + 1, stored=made - waits, in_spool=waits,
                              oldest_s=oldest_s))  # fmt: skip
        told.append(AgentDelivery(node, NOW_NS, True, waits, oldest_s, 14.0, 247.0, number * 21))
    example.collectors["hub"] = collector(stored=4_213_905, resent=4_418, inbox_deferred=1_733, holds=22)
    example.collectors["hub"] = replace(
        example.collectors["hub"], health="critical", stores={"influxdb": "critical", "sqlite": "healthy"},
        store_errors={"influxdb": UNREACHABLE}, reasons=[f"store influxdb: {UNREACHABLE}"], holding_s=249.0, waiting=24,
    )  # fmt: skip
    example.ledgers["hub"] = LedgerReply(rows, True, agents=told)
    return example


def something_missing() -> Example:
    """One agent came back without its spool, another has evicted, and one is offline with records."""
    example = settled()
    lost = LedgerRow(
        "lima.lab", epoch(9), 412, base=388, stored=387, evicted=13, missing=12, forgotten=True,
        cause="the agent no longer lists this epoch, and these never came: it was started anew without its spool, "
        "or another agent uses its name; evicted: cap",
    )  # fmt: skip
    reply = example.ledgers["hub"]
    rows = [row for row in reply.rows if (row.node, row.epoch) != ("oslo.rack1", epoch(2))]
    away = LedgerRow("oslo.rack1", epoch(2), 5_122, base=4_800, stored=4_796, quarantined=3, in_spool=323,
                     oldest_s=1_870.0)  # fmt: skip
    told = [each for each in reply.agents if each.node != "oslo.rack1"]
    told.append(AgentDelivery("oslo.rack1", NOW_NS - 1_200 * SECOND_NS, False, 323, 1_870.0, 20.0))
    example.agents["oslo.rack1"] = AgentStatus("oslo.rack1", "offline", interval_s=30.0)
    example.heard_s_ago["oslo.rack1"] = 1_200.0
    example.ledgers["hub"] = LedgerReply(
        [*rows, lost, away], False, ["lima.lab: 12 missing"], sorted(told, key=lambda each: each.node)
    )
    reasons = ["12 records missing for 75 s", "3 in quarantine: tinyprof quarantine list"]
    status = collector(stored=4_213_905, resent=218, quarantine_kept=3)
    example.collectors["hub"] = replace(status, health="critical", reasons=reasons)
    return example


def silent_collector() -> Example:
    """Two collectors share the partitions, and one has not been heard of for two minutes."""
    example = settled()
    for number, node in enumerate(node for node in NODES if partition_of(node) < PARTITIONS // 2):
        example.agents[node] = agent(node, 1_900 + number, 240 * (number + 1), 118.0)
    example.collectors["hub"] = replace(collector(stored=731_290, resent=12), partitions=list(range(8)))
    example.collectors["spare"] = replace(collector(stored=20_118), partitions=list(range(8, PARTITIONS)))
    example.heard_s_ago["hub"] = 121.0
    reply = example.ledgers["hub"]
    at_spare = [node for node in NODES if partition_of(node) >= PARTITIONS // 2]
    rows = [row for row in reply.rows if row.node in at_spare]
    example.ledgers = {"spare": LedgerReply(rows, True, agents=[a for a in reply.agents if a.node in at_spare])}
    return example


def agent(node: str, made: int, owed: int = 0, oldest_s: float | None = None) -> AgentStatus:
    """An agent that owes the last `owed` of what it has made."""
    return AgentStatus(
        node, "online", "0.1.0", epochs=[EpochOwed(epoch(0), made - owed + 1, made, oldest_s)], spool_records=owed,
        spool_bytes=owed * 700, spool_cap_bytes=64 << 20, spool_oldest_s=oldest_s or 0.0,
    )  # fmt: skip


def collector(**counters: int) -> CollectorStatus:
    """A healthy one that holds the whole fleet and both stores."""
    counted = {"batches": 61_204, "records": 4_300_000, "sacks": 60_950, **counters}
    return CollectorStatus(
        "hub", "online", "0.1.0", partitions=list(range(PARTITIONS)), counters=counted,
        stores={"influxdb": "healthy", "sqlite": "healthy"},
    )  # fmt: skip
