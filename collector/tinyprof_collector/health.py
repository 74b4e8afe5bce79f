"""Rules of health: facts in, a state and its reasons out, worst first.

A verdict of `unstable` is no fault of a board: it is healthy and the verdict is shown. One invalid result is a
warning, several in a row are critical. `offline` and `stale` say that nothing newer is known, so they come before
what was last known.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tinyprof_collector.config import HealthConfig
from tinyprof_collector.peers import shown
from tinyprof_collector.presence import Agent, Liveness
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.presence import AgentStatus, BoardPresence, Health, Regression
from tinyprof_protocol.records import Verdict

MAX_REASONS = 16
MAX_LINE = 300
_RANK: Final[dict[Health, int]] = {"healthy": 0, "warning": 1, "stale": 2, "offline": 3, "critical": 4}
Finding = tuple[Health, str]


@dataclass(frozen=True, slots=True)
class Assessment:
    """A state and why, a line each, worst first."""

    health: Health = "healthy"
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """What a board's health rests on. `presence` is None where its agent does not list it."""

    agent: Liveness | None
    """None: nothing was heard of its agent."""
    presence: BoardPresence | None
    since_ns: int = 0
    """When it was first listed."""
    last_seen_ns: int | None = None
    """When its last record came (the collector's time)."""
    verdict: Verdict | None = None
    verdict_reasons: Sequence[str] = ()
    invalid_streak: int = 0
    regressions: Sequence[Regression] = ()


@dataclass(frozen=True, slots=True)
class NodeLedger:
    """What of an agent's records is not where it should be."""

    missing: int = 0
    missing_for_s: float = 0.0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class CollectorFacts:
    """What the collector's own health rests on."""

    stores: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with each store; empty for one that works."""
    missing: int = 0
    missing_for_s: float = 0.0
    quarantined: int = 0
    discarded: int = 0
    subscriptions_refused: int = 0
    id_clash: bool = False
    dead_threads: Sequence[str] = ()
    state_error: str = ""
    overlaps: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Partitions that another live collector serves too, by its id."""
    taken: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Partitions that another collector has claimed after this one, by its id."""


def assess(findings: Sequence[Finding]) -> Assessment:
    """The worst of the findings, and all of them as reasons, worst first."""
    if not findings:
        return Assessment()
    ordered = sorted(findings, key=lambda finding: -_RANK[finding[0]])
    reasons = [text[:MAX_LINE] for _, text in ordered if text]
    if len(reasons) > MAX_REASONS:
        reasons = [*reasons[: MAX_REASONS - 1], f"and {len(reasons) - MAX_REASONS + 1} more"]
    return Assessment(ordered[0][0], tuple(reasons))


def board_health(facts: BoardFacts, now_ns: int, rules: HealthConfig) -> Assessment:
    """A board's health from what its agent and its results say."""
    if facts.agent == "offline":
        return Assessment("offline", ("its agent is offline",))
    if facts.agent is None or facts.agent == "stale":
        return Assessment("stale", ("no word from its agent",))
    if facts.presence is None:
        return Assessment("stale", ("its agent does not list it any more",))
    if facts.presence.state == "disabled":
        return Assessment("healthy", (_with("disabled in its agent's configuration", facts.presence.message),))
    return assess(
        [
            *_state_findings(facts.presence),
            *_silence(facts, now_ns, rules),
            *_result_findings(facts, rules),
            *_regression_findings(facts),
        ]
    )


def _state_findings(presence: BoardPresence) -> list[Finding]:
    if presence.state == "open":
        return [("critical", _with(f"circuit open after {presence.failures} failures", presence.message))]
    if presence.state == "retrying":
        return [("warning", _with(f"tried again after {presence.failures} failures", presence.message))]
    return []


def _silence(facts: BoardFacts, now_ns: int, rules: HealthConfig) -> list[Finding]:
    interval_s = facts.presence.interval_s if facts.presence else 0.0
    if interval_s <= 0:
        return []
    silent_s = (now_ns - max(facts.last_seen_ns or 0, facts.since_ns)) / 1e9
    if silent_s <= rules.stale_intervals * interval_s:
        return []
    return [("stale", f"no record for {silent_s:.0f} s; one is due every {interval_s:g} s")]


def _result_findings(facts: BoardFacts, rules: HealthConfig) -> list[Finding]:
    if facts.verdict != "invalid":
        return []
    why = "; ".join(facts.verdict_reasons)
    if facts.invalid_streak >= rules.invalid_runs_critical:
        return [("critical", _with(_streak(facts.invalid_streak), why))]
    return [("warning", _with(_streak(1), why))]


def _streak(results: int) -> str:
    return "the last result is invalid" if results == 1 else f"the last {results} results are invalid"


def _regression_findings(facts: BoardFacts) -> list[Finding]:
    return [("warning", _regressed(one)) for one in facts.regressions]


def _regressed(one: Regression) -> str:
    """A change in words: by how much, from what to what, and the build that it came with."""
    metric = METRICS.get(one.metric)
    label = metric.label if metric is not None else one.metric
    unit = f" {metric.unit}" if metric is not None and metric.unit else ""
    text = f"{label} {'rose' if one.after > one.before else 'fell'} by {abs(one.change):.1%}"
    text += f", from {one.before:.6g} to {one.after:.6g}{unit}"
    return _with(text, f"since {one.new_build}" if one.new_build else "")


def agent_health(agent: Agent, ledger: NodeLedger, now_ns: int, rules: HealthConfig) -> Assessment:
    """An agent's health from its last word, its silence and its ledger."""
    liveness = agent.liveness(now_ns, rules.stale_intervals)
    if liveness == "offline":
        return assess([("offline", "its connection ended (last will)"), *_node_findings(ledger, rules)])
    if liveness == "stale":
        silent_s = (now_ns - agent.heard_ns) / 1e9
        text = f"no word for {silent_s:.0f} s; one is due every {agent.status.interval_s:g} s"
        return assess([("stale", text), *_node_findings(ledger, rules)])
    return assess(
        [
            *_own_word(agent.status),
            *_spool_findings(agent.status, rules),
            *_skew_findings(agent.skew_ms, rules),
            *_node_findings(ledger, rules),
        ]
    )


def _own_word(status: AgentStatus) -> list[Finding]:
    if status.level == "info":
        return []
    return [(status.level, message) for message in status.messages or [f"it reports its state as {status.level}"]]


def _spool_findings(status: AgentStatus, rules: HealthConfig) -> list[Finding]:
    if not status.spool_cap_bytes:
        return []
    share = status.spool_bytes / status.spool_cap_bytes
    text = f"its spool is {share:.0%} full ({some(status.spool_records, 'record')})"
    if share >= rules.spool_critical:
        return [("critical", f"{text}; the oldest samples are given up first")]
    return [("warning", text)] if share >= rules.spool_warning else []


def _skew_findings(skew_ms: float | None, rules: HealthConfig) -> list[Finding]:
    if skew_ms is None or abs(skew_ms) <= rules.skew_warning_ms:
        return []
    return [("warning", f"its clock is {abs(skew_ms) / 1000:.1f} s {'ahead' if skew_ms > 0 else 'behind'}")]


def _node_findings(ledger: NodeLedger, rules: HealthConfig) -> list[Finding]:
    findings: list[Finding] = []
    if ledger.missing and ledger.missing_for_s > rules.missing_critical_s:
        findings.append(("critical", f"{some(ledger.missing, 'record')} missing for {ledger.missing_for_s:.0f} s"))
    if ledger.quarantined:
        findings.append(("warning", f"{some(ledger.quarantined, 'record')} in quarantine"))
    return findings


def collector_health(facts: CollectorFacts, rules: HealthConfig) -> Assessment:
    """The collector's own health."""
    findings: list[Finding] = [("critical", f"store {name}: {why}") for name, why in facts.stores.items() if why]
    findings += [("critical", f"its thread {name} has ended; restart the collector") for name in facts.dead_threads]
    if facts.state_error:
        findings.append(("critical", f"its state cannot be kept: {facts.state_error}"))
    if facts.id_clash:
        findings.append(("critical", "another client uses its id; give one of them another name"))
    if facts.subscriptions_refused:
        findings.append(("critical", "the broker refuses its subscriptions; check the access list"))
    if facts.missing and facts.missing_for_s > rules.missing_critical_s:
        findings.append(("critical", f"{some(facts.missing, 'record')} missing for {facts.missing_for_s:.0f} s"))
    for name, partitions in facts.taken.items():
        text = f"collector {name} has claimed partitions {shown(partitions)} after this one and serves them; "
        findings.append(
            ("critical", f"{text}to have them back, start this one again; else take them from its partitions")
        )
    for name, partitions in facts.overlaps.items():
        text = f"collector {name} serves its partitions too ({shown(partitions)}); each may have one collector"
        findings.append(("warning", text))
    if facts.quarantined:
        findings.append(("warning", f"{facts.quarantined} in quarantine: tinyprof quarantine list"))
    if facts.discarded:
        findings.append(("warning", f"{facts.discarded} fell out of the quarantine"))
    return assess(findings)


def store_health(why: str) -> Health:
    """A store works or it is critical: records wait at the edge until it does."""
    return "critical" if why else "healthy"


@dataclass(slots=True)
class MissingSince:
    """Since when records of each node are missing; a ledger that lags for a moment is no fault."""

    since_ns: dict[str, int] = field(default_factory=dict)

    def note(self, missing: Mapping[str, int], now_ns: int) -> None:
        """Takes how many records of each node are missing now."""
        self.since_ns = {node: self.since_ns.get(node, now_ns) for node, count in missing.items() if count}

    def for_s(self, node: str, now_ns: int) -> float:
        """For how many seconds records of a node have been missing without a break."""
        return max(0.0, (now_ns - self.since_ns.get(node, now_ns)) / 1e9)

    def longest_s(self, now_ns: int) -> float:
        """The longest over all nodes, in seconds."""
        return max(((now_ns - since) / 1e9 for since in self.since_ns.values()), default=0.0)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text
