"""The pipeline as plain text and as JSON, for scripts and for terminals that are none."""

from typing import Any

from tinyprof_dashboard import numerals
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.palette import SYMBOLS
from tinyprof_dashboard.pipeline.columns import COLLECTOR_COLUMNS, LEDGER_COLUMNS, lag_s
from tinyprof_dashboard.pipeline.lines import CollectorLine, LedgerLine, collector_lines, ledger_lines, sums
from tinyprof_dashboard.pipeline.stages import Scene, stages, verdict
from tinyprof_dashboard.pipeline.view import LedgerView, select
from tinyprof_dashboard.pipeline.words import sums_line
from tinyprof_dashboard.plain_columns import plain_columns
from tinyprof_protocol.requests import LEDGER_CLASSES


def scene_of(moment: Moment) -> Scene:
    """All that is to be seen of the pipeline at a moment."""
    told, lines = collector_lines(moment.snapshot), ledger_lines(moment.snapshot)
    return Scene(moment.snapshot, told, lines, sums(lines, moment.snapshot, moment.now_ns), moment.now_ns)


def plain_pipeline(moment: Moment) -> str:
    """Stages, verdict, collectors and every epoch, the most urgent first, and the causes."""
    scene = scene_of(moment)
    found = verdict(scene)
    lines = [
        " ─▶ ".join(f"{SYMBOLS[stage.health]} {stage.name}: {', '.join((stage.word, *stage.lines))}"
                    for stage in stages(scene)),
        f"{f'stuck at the {found.stage}: ' if found.stage else ''}{found.text}",
    ]  # fmt: skip
    lines += [f"missing: {found.loss}"] if found.loss else []
    lines += ["", *plain_columns(COLLECTOR_COLUMNS, scene.collectors, moment)] if scene.collectors else []
    rows = select(LedgerView(), scene.lines, moment)
    lines += ["", sums_line(scene.sums, len(rows), len(rows), scene.snapshot).plain]
    lines += plain_columns(LEDGER_COLUMNS, rows, moment) if rows else []
    lines += [f"{line.node} {line.key[1].hex()[:8]}: {numerals.printable(line.row.cause)}"
              for line in rows if line.row is not None and line.row.cause]  # fmt: skip
    return "\n".join(lines)


def pipeline_json(moment: Moment) -> dict[str, Any]:
    """The key `pipeline` that docs/dashboard.md describes."""
    scene = scene_of(moment)
    found = verdict(scene)
    parts = moment.snapshot.ledgers
    return {
        "stuck_at": found.stage,
        "verdict": found.text,
        "stages": [
            {"name": stage.name, "health": stage.health, "word": stage.word, "lines": list(stage.lines)}
            for stage in stages(scene)
        ],
        "collectors": [_collector(line) for line in scene.collectors],
        "ledger": [_epoch(line) for line in select(LedgerView(), scene.lines, moment)],
        "sums": {"head": scene.sums.head, **scene.sums.classes},
        "ok": bool(parts) and all(part.reply is not None and part.reply.ok for part in parts.values()),
        "problems": [line for part in parts.values() if part.reply is not None for line in part.reply.problems],
        "unanswered": [
            f"{name}: {part.error or 'no answer in time'}" for name, part in parts.items() if not part.reply
        ],
    }


def _collector(line: CollectorLine) -> dict[str, Any]:
    status = line.heard.status
    return {
        "id": line.key, "health": line.health, "partitions": status.partitions, "stores": status.stores,
        "store_errors": status.store_errors, "state_error": status.state_error, "holding_s": status.holding_s,
        "waiting": status.waiting, "stored_per_s": line.stored_per_s, "counters": status.counters,
    }  # fmt: skip


def _epoch(line: LedgerLine) -> dict[str, Any]:
    row = line.row
    told: dict[str, Any] = {
        "node": line.node, "epoch": line.key[1].hex(), "state": line.state, "in_spool": line.in_spool,
        "oldest_s": line.oldest_s, "lag_s": lag_s(line),
    }  # fmt: skip
    if row is not None:
        told |= {"head": row.head, "base": row.base, "epochs": row.epochs, "ended": row.forgotten, "cause": row.cause,
                 "resent": row.resent, **{name: getattr(row, name) for name in LEDGER_CLASSES}}  # fmt: skip
    return told
