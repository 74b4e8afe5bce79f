"""How `tinyprof status` shows collectors, agents and the ledger: plain tables of what was answered."""

import datetime as dt
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tinyprof.durations import show_age
from tinyprof.terminal import one_line, table
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerRow

if TYPE_CHECKING:
    from tinyprof.fleet_answers import FleetLedger, FleetStatus

NOTHING = "-"
_SUMMED = bytes(16)


def collectors_table(status: "FleetStatus") -> str:
    """Each collector with its partitions, its stores and the counters that tell where records stay."""
    rows = []
    for name, reply in sorted(status.collectors.items()):
        said, counters = reply.collector, reply.collector.counters
        stores = ", ".join(f"{store}: {health}" for store, health in sorted(said.stores.items())) or NOTHING
        deferred = counters.get("deferred", 0) + counters.get("inbox_deferred", 0)
        counted = (counters.get("stored", 0), counters.get("resent", 0), deferred, counters.get("quarantine_kept", 0))
        rows.append((
            name, said.health, _partitions(said.partitions), stores, *map(_count, (*counted, said.waiting)),
            _age(said.holding_s),
        ))  # fmt: skip
    head = ("collector", "health", "partitions", "stores", "stored", "resent", "deferred", "quarantine", "waiting",
            "holding")  # fmt: skip
    return table(head, rows, right="llll" + "r" * (len(head) - 4))


def agents_table(status: "FleetStatus", ledger: "FleetLedger") -> str:
    """Each agent with its spool and how its acknowledgements come; empty where there is none."""
    views = [view for _, reply in sorted(status.collectors.items()) for view in reply.agents]
    told = {agent.node: agent for agent in ledger.agents}
    rows = []
    for view in views:
        node, delivery = view.status.node, told.get(view.status.node)
        rows.append((
            node, view.health, str(len(view.status.boards)), _count(view.status.spool_records),
            _age(delivery.spool_oldest_s if delivery is not None else view.status.spool_oldest_s or None),
            _whole(view.sack_lag_ms), _age(delivery.waiting_s if delivery is not None else None),
            NOTHING if delivery is None else _count(delivery.deferred), _whole(view.skew_ms),
        ))  # fmt: skip
    head = ("agent", "health", "boards", "in spool", "oldest", "sack ms", "waits for", "deferred", "skew ms")
    return table(head, rows, right="ll" + "r" * (len(head) - 2))


def caches(status: "FleetStatus") -> Iterator[str]:
    """What the caches answered and hold, a line for each collector that has been asked or holds something."""
    for name, reply in sorted(status.collectors.items()):
        counters = reply.collector.counters
        hits, misses = counters.get("cache_hits", 0), counters.get("cache_misses", 0)
        entries, joined = counters.get("cache_entries", 0), counters.get("jobs_joined", 0)
        if hits + misses + entries + joined:
            rate = (
                f"{hits / (hits + misses):.0%} of {some(hits + misses, 'request')}" if hits + misses else "no requests"
            )
            went = f"{counters.get('cache_evictions', 0):,} evicted, {counters.get('cache_expired', 0):,} expired"
            yield f"cache of {name}: answered {rate}, {joined:,} joined; {some(entries, 'entry')}, {went}"


def regressions(status: "FleetStatus") -> Iterator[str]:
    """What has changed for the worse and stands, newest first, a line each."""
    found = [one for reply in status.collectors.values() for one in reply.regressions]
    for one in sorted(found, key=lambda one: -one.since_ns):
        metric = METRICS.get(one.metric)
        unit = f" {metric.unit}" if metric is not None else ""
        when = dt.datetime.fromtimestamp(one.since_ns / 1e9).astimezone().isoformat(sep=" ", timespec="minutes")
        build = f", with {one_line(one.new_build)}" if one.new_build else ""
        level = f"{one.before:.6g} -> {one.after:.6g}{unit} ({one.change:+.1%})"
        yield f"regressed: {one.node}/{one.board} {one_line(one.metric)} {level} since {when[:16]}{build}"


def ledger_table(ledger: "FleetLedger", *, verify: bool) -> str:
    """Each epoch with every class, and a last line that sums them up."""
    names = ("head", *LEDGER_CLASSES, "resent")
    rows = []
    for row in ledger.rows:
        figures = [_count(getattr(row, name)) for name in names]
        rows.append((row.node, _epoch(row), *figures, _age(row.oldest_s), *((_verified(row),) if verify else ())))
    if len(rows) > 1:
        sums = [_count(sum(getattr(row, name) for row in ledger.rows)) for name in names]
        rows.append(("all", "", *sums, "", *(("",) if verify else ())))
    head = ("node", "epoch", *(name.replace("_", " ") for name in names), "oldest", *(("in store",) if verify else ()))
    return table(head, rows, right="ll" + "r" * (len(head) - 2))


def causes(ledger: "FleetLedger") -> Iterator[str]:
    """Why records are missing or evicted, a line for each epoch of which no problem says it already."""
    for row in ledger.rows:
        if row.cause and not any(problem.endswith(row.cause) for problem in ledger.problems):
            yield f"{row.node} {_epoch(row)}: {one_line(row.cause)}"


def _epoch(row: LedgerRow) -> str:
    return "older" if row.epoch == _SUMMED else row.epoch.hex()[:8]


def _verified(row: LedgerRow) -> str:
    return NOTHING if row.verified is None else _count(row.verified)


def _count(value: int) -> str:
    return f"{value:,}"


def _age(seconds: float | None) -> str:
    return NOTHING if seconds is None else show_age(seconds)


def _whole(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _partitions(numbers: list[int]) -> str:
    """`00 to 15`, or each of them where they are not in a row."""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]:02d} to {numbers[-1]:02d}"
    return " ".join(f"{number:02d}" for number in numbers) or NOTHING
