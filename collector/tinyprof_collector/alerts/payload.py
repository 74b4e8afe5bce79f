"""An alert as the JSON that a webhook gets; docs/regressions.md describes it. Pure."""

import datetime as dt
import json
from typing import Any

from tinyprof_collector.alerts.alarms import VERSION, Alert
from tinyprof_protocol.metrics import METRICS


def payload_of(alert: Alert, collector: str) -> bytes:
    """The alert as a JSON object in UTF-8. `id` is the same however often it is sent."""
    about = alert.subject
    told: dict[str, Any] = {
        "version": VERSION,
        "id": f"{collector}:{about.kind}:{about.node}:{about.name}:{_what(alert)}:{alert.time_ns}",
        "event": alert.kind,
        "time": _time(alert.time_ns),
        "collector": collector,
        "subject": {"kind": about.kind, "node": about.node or None, "name": about.name or None},
        "health": alert.health or None,
        "reasons": list(alert.reasons),
        "text": text_of(alert),
    }
    if alert.regression is not None:
        one = alert.regression
        told["regression"] = {
            "metric": one.metric, "unit": METRICS[one.metric].unit if one.metric in METRICS else "",
            "before": one.before, "after": one.after, "change": one.change, "worse": one.worse,
            "since": _time(one.since_ns), "series": one.series, "suite": one.suite,
            "new_build": one.new_build or None,
        }  # fmt: skip
    return json.dumps(told, ensure_ascii=False).encode()


def text_of(alert: Alert) -> str:
    """The alert as one line for people."""
    about = alert.subject
    who = "/".join(part for part in (about.node, about.name) if part)
    said = "; ".join(alert.reasons)
    if alert.regression is not None:
        one = alert.regression
        level = f"{one.metric} {one.before:g} -> {one.after:g} ({100 * one.change:+.1f}%)"
        return f"{about.kind} {who}: {level}{f': {said}' if said else ''}"
    word = "is critical" if alert.kind == "critical" else f"is {alert.health} again"
    return f"{about.kind} {who} {word}{f': {said}' if said else ''}"


def _what(alert: Alert) -> str:
    return alert.regression.metric if alert.regression is not None else alert.kind


def _time(time_ns: int) -> str:
    return dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC).isoformat(timespec="milliseconds")
