"""The agent's word on itself: how its status is made, and when it is said again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from tinyprof_agent.clock import Reading
from tinyprof_agent.spool import SpoolStats
from tinyprof_protocol.codec import BadMessage, decode, encode, pack
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.presence import AgentStatus, BoardPresence, CollectorStatus, EpochOwed, SuiteOffered
from tinyprof_protocol.topics import BadTopic, agent_topic, parse

AT_MOST_EVERY_S: Final = 1.0
"""A change is told no sooner than this after the last word."""
MAX_COUNTERS: Final = 128
MAX_MESSAGES: Final = 16
MAX_LINE: Final = 300
NEARLY_FULL: Final = 0.9


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a status is made of."""

    node: str
    version: str
    started_ns: int
    interval_s: float
    now: Reading
    owed: Sequence[EpochOwed]
    spool: SpoolStats
    boards: Sequence[BoardPresence]
    jobs: Sequence[bytes]
    suites: Sequence[SuiteOffered]
    """Those that its configuration offers, by name."""
    counters: Mapping[str, int]
    link_error: str = ""


def make_status(facts: Facts) -> AgentStatus:
    """The status that these facts make."""
    messages, level = assess(facts)
    now = facts.now
    return AgentStatus(
        node=facts.node,
        state="online",
        version=facts.version,
        boot=now.boot,
        time_ns=now.wall_ns or 0,
        time=now.source if now.wall_ns is not None else "estimated",
        started_ns=facts.started_ns,
        interval_s=facts.interval_s,
        epochs=list(facts.owed),
        boards=list(facts.boards),
        jobs=list(facts.jobs),
        offers=[suite.name for suite in facts.suites],
        suites=list(facts.suites),
        spool_records=facts.spool.records,
        spool_bytes=facts.spool.bytes,
        spool_cap_bytes=facts.spool.cap_bytes,
        spool_oldest_s=facts.spool.oldest_s,
        counters=dict(sorted({**facts.spool.counters, **facts.counters}.items())[:MAX_COUNTERS]),
        messages=messages,
        level=level,
    )


def assess(facts: Facts) -> tuple[list[str], Literal["info", "warning", "critical"]]:
    """What is wrong with the agent, worst first, a line each."""
    critical, warning = [], []
    counters = {**facts.spool.counters, **facts.counters}
    if facts.spool.last_error:
        critical.append(facts.spool.last_error)
    lost = f"{some(counters.get('unspooled', 0), 'record')} could not be spooled"
    if counters.get("unspooled") and facts.spool.last_error:
        critical.append(f"{lost}: make room on the disk")
    elif counters.get("unspooled"):
        warning.append(f"{lost} while the disk took nothing; the spool takes records again")
    if facts.link_error:
        critical.append(facts.link_error)
    if counters.get("link_subscriptions_refused"):
        critical.append("the broker refuses this agent's subscriptions: see its access list")
    if facts.now.wall_ns is None:
        warning.append("no clock can be trusted yet: records wait for a synchronised clock or a collector's time")
    if counters.get("set_aside"):
        salvaged = counters.get("salvaged", 0)
        warning.append(
            f"the spool was corrupt and is set aside; carried over: {some(salvaged, 'record')}, "
            f"given up: {counters.get('lost_to_corruption', 0)}"
        )
    if facts.spool.bytes > NEARLY_FULL * facts.spool.cap_bytes:
        warning.append(
            f"the spool is {facts.spool.bytes / facts.spool.cap_bytes:.0%} full: the oldest samples go first"
        )
    if counters.get("oversize"):
        warning.append(f"over the broker's maximum packet: {some(counters['oversize'], 'record')}")
    if counters.get("batches_refused"):
        warning.append(f"the broker refused {some(counters['batches_refused'], 'batch')}: see its access list")
    warning += [f"board {board.board}: {board.message}" for board in facts.boards if board.message]
    level: Literal["info", "warning", "critical"] = "critical" if critical else "warning" if warning else "info"
    return [line[:MAX_LINE] for line in [*critical, *warning]][:MAX_MESSAGES], level


def status_publication(status: AgentStatus) -> Publication:
    """A status as it travels: retained."""
    return Publication(agent_topic(status.node, "status"), encode(status), retain=True)


def last_will(node: str) -> Publication:
    """What the broker says when the agent's connection is gone: it is offline, and nothing of its epochs."""
    return status_publication(AgentStatus(node=node, state="offline"))


def collector_time_ns(message: Message) -> int | None:
    """The time in a collector's live status; None where it says nothing of now. Raises BadMessage.

    An access list lets an agent write wherever its node is the fourth level of a topic, `collector/{node}/status`
    included: the dot in it tells that no collector speaks there.
    """
    try:
        speaker = parse(message.topic).collector
    except BadTopic as why:
        raise BadMessage(str(why)) from None
    status = decode(message.payload, CollectorStatus)
    if status.id != speaker:
        raise BadMessage(f"status of collector {status.id} under the topic of {speaker or 'none'}")
    live = not message.retain and status.state == "online" and status.time_ns > 0
    return status.time_ns if live else None


@dataclass(slots=True)
class Cadence:
    """When to say a status: on connecting, every `interval_s`, and on a change, at most once a second."""

    interval_s: float
    last_s: float = float("-inf")
    last: bytes = b""
    forced: bool = True
    changed: bool = False

    def force(self) -> None:
        """Say it at the next occasion, whatever it holds: the broker may have forgotten."""
        self.forced = True

    def too_soon(self, now_s: float) -> bool:
        """Whether nothing may be said yet, whatever has changed; it is looked at again when something may be."""
        if self.forced or now_s - self.last_s >= AT_MOST_EVERY_S:
            return False
        self.changed = True
        return True

    def due(self, status: AgentStatus, now_s: float) -> bool:
        """Whether to say `status` now."""
        if self.forced or now_s - self.last_s >= self.interval_s:
            return True
        self.changed = _essence(status) != self.last
        return self.changed and now_s - self.last_s >= AT_MOST_EVERY_S

    def said(self, status: AgentStatus, now_s: float) -> None:
        """It was said."""
        self.last_s, self.last = now_s, _essence(status)
        self.forced = self.changed = False

    def wait_s(self, now_s: float) -> float:
        """Seconds until there may be something to say without a new occasion."""
        every_s = AT_MOST_EVERY_S if self.changed else self.interval_s
        return max(0.0, self.last_s + every_s - now_s)


def _essence(status: AgentStatus) -> bytes:
    """What of a status is worth saying at once when it changes: boards, jobs, messages and the list of epochs."""
    epochs = [epoch.epoch for epoch in status.epochs or ()]
    return pack([status.state, status.level, epochs, status.boards, status.jobs, status.messages])
