"""The fleet as plain text and as JSON, for scripts and for terminals that are none."""

from typing import Any

import msgspec

from tinyprof_dashboard.availability import HEALTHS
from tinyprof_dashboard.banners import Banner, banners
from tinyprof_dashboard.columns import COLUMNS, Moment
from tinyprof_dashboard.jobs.tallies import tallies
from tinyprof_dashboard.palette import SYMBOLS
from tinyprof_dashboard.plain_columns import plain_columns
from tinyprof_dashboard.selection import View, select
from tinyprof_dashboard.snapshot import Row, age_s
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Figure


def plain_table(moment: Moment, broker: str) -> str:
    """Banners, counts and every board, a line each, as wide as its contents; the most urgent boards first."""
    snapshot = moment.snapshot
    lines = [f"{SYMBOLS[found.level]} {found.subject}: {found.text}" for found in _banners(moment, broker)]
    counts = "  ".join(f"{SYMBOLS[health]} {snapshot.counts.get(health, 0)} {health}" for health in HEALTHS)
    lines.append(counts)
    rows = select(View(), moment)
    if not rows:
        return "\n".join([*lines, "no board has been heard of"])
    return "\n".join([*lines, "", *plain_columns(COLUMNS, rows, moment)])


def _banners(moment: Moment, broker: str) -> list[Banner]:
    return banners(moment.snapshot, broker, moment.now_ns)


def as_json(moment: Moment, broker: str) -> dict[str, Any]:
    """The keys that docs/dashboard.md lists; times in nanoseconds since 1970 unless the name says otherwise."""
    snapshot = moment.snapshot
    told = tallies(snapshot)
    return {
        "broker": broker,
        "complete": snapshot.complete,
        "time_ns": moment.now_ns,
        "counts": {health: snapshot.counts.get(health, 0) for health in HEALTHS},
        "jobs": {"running": told.running, "queued": told.queued, "joined": told.joined},
        "cache": {"hits": told.hits, "misses": told.misses, "entries": told.entries, "evicted": told.evicted,
                  "expired": told.expired},
        "problems": [
            {"level": found.level, "subject": found.subject, "text": found.text} for found in _banners(moment, broker)
        ],
        "boards": [_board(row, moment) for row in select(View(), moment)],
        "agents": [
            {"node": node, "state": heard.status.state, "alive": heard.alive, "version": heard.status.version,
             "spool_records": heard.status.spool_records, "messages": heard.status.messages}
            for node, heard in sorted(snapshot.agents.items())
        ],
        "collectors": [
            {"id": name, "state": heard.status.state, "alive": heard.alive, "health": heard.status.health,
             "stores": heard.status.stores, "partitions": heard.status.partitions, "reasons": heard.status.reasons}
            for name, heard in sorted(snapshot.collectors.items())
        ],
    }  # fmt: skip


def _board(row: Row, moment: Moment) -> dict[str, Any]:
    said = row.summary
    return {
        "node": said.node, "site": row.site, "agent": row.agent, "board": row.board,
        "health": row.health, "reasons": list(row.reasons), "state": said.state,
        "platform": said.platform, "stands_for": said.stands_for, "emulated": said.emulated,
        "model": said.model, "quantisation": said.quantisation, "engine": said.engine, "driver": said.driver,
        "verdict": said.verdict, "golden": said.golden,
        "age_s": age_s(row, moment.snapshot, moment.now_ns), "interval_s": said.interval_s,
        "last_result_ns": said.last_result_ns, "last_seen_ns": said.last_seen_ns,
        "results": said.results, "valid": said.valid, "unstable": said.unstable, "invalid": said.invalid,
        "regressions": [
            {"metric": one.metric, "before": one.before, "after": one.after, "change": one.change, "worse": one.worse,
             "since_ns": one.since_ns, "suite": one.suite}
            for one in said.regressions
        ],
        "figures": {name: _figure(name, found) for name, found in said.figures.items()},
        "readings": dict(said.readings), "decode_tps_newest": list(said.spark),
    }  # fmt: skip


def _figure(name: str, found: Figure) -> dict[str, Any]:
    entry = METRICS.get(name)
    return {"unit": entry.unit if entry else "", **msgspec.structs.asdict(found)}
