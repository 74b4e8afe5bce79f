"""What is an alert: critical for a while, its end, and nothing of what flaps; and how it reads as JSON."""

import json

from tinyprof_collector.alerts import alarms as alarms_module
from tinyprof_collector.alerts.alarms import Alarms, Alert, Subject
from tinyprof_collector.alerts.alerts import Alerts
from tinyprof_collector.alerts.payload import payload_of
from tinyprof_collector.health import Assessment
from tinyprof_protocol.presence import CollectorStatus, Regression

S = 10**9
BOARD = Subject("board", "lab.pi", "b1")


def story(*healths: tuple[int, str], hold_s: int = 30, until_s: int = 200) -> list[tuple[int, str]]:
    """What is told, and when, of a board whose health changes at the given seconds."""
    alarms, told = Alarms(hold_s * S), []
    changes = dict(healths)
    health = "healthy"
    for now_s in range(until_s):
        health = changes.get(now_s, health)
        alarms.note(BOARD, health, ["because"], now_s * S)
        told += [(now_s, alert.kind) for alert in alarms.due(now_s * S)]
    return told


def test_what_stays_critical_is_told_once_and_so_is_its_end():
    assert story((10, "critical"), (100, "healthy")) == [(40, "critical"), (130, "recovered")]


def test_what_is_critical_for_a_moment_is_not_told():
    assert story((10, "critical"), (30, "healthy")) == []


def test_what_flaps_is_told_once():
    flaps = [(t, "critical" if t % 20 else "warning") for t in range(60, 120, 10)]
    assert story((10, "critical"), *flaps, (120, "healthy")) == [(40, "critical"), (150, "recovered")]


def test_without_a_hold_it_is_told_at_once():
    assert story((10, "critical"), (11, "warning"), hold_s=0) == [(10, "critical"), (11, "recovered")]


def test_what_was_never_critical_is_not_remembered():
    alarms = Alarms(0)
    alarms.note(BOARD, "warning", [], 0)
    alarms.note(BOARD, "healthy", [], 1)
    assert alarms._seen == {}
    alarms.note(BOARD, "critical", [], 2)
    assert [alert.kind for alert in alarms.due(2)] == ["critical"]
    alarms.note(BOARD, "healthy", [], 3)
    assert [alert.kind for alert in alarms.due(3)] == ["recovered"]
    assert alarms._seen == {}


def test_an_alert_as_json():
    told = json.loads(payload_of(Alert("critical", BOARD, 5 * S, "critical", ["circuit open"]), "main"))
    assert told == {
        "version": 1, "id": "main:board:lab.pi:b1:critical:5000000000", "event": "critical",
        "time": "1970-01-01T00:00:05.000+00:00", "collector": "main",
        "subject": {"kind": "board", "node": "lab.pi", "name": "b1"}, "health": "critical", "reasons": ["circuit open"],
        "text": "board lab.pi/b1 is critical: circuit open",
    }  # fmt: skip


def test_a_regression_as_json():
    one = Regression(
        "lab.pi", "b1", "0" * 16, "decode_tps", 100.0, 80.0, -0.2, S, 2 * S, suite="quick", new_build="fw 2"
    )
    told = json.loads(payload_of(Alert("regressed", BOARD, 5 * S, "", ["since fw 2"], one), "main"))
    assert told["text"] == "board lab.pi/b1: decode_tps 100 -> 80 (-20.0%): since fw 2"
    assert told["regression"] == {
        "metric": "decode_tps", "unit": "tokens/s", "before": 100.0, "after": 80.0, "change": -0.2, "worse": True,
        "since": "1970-01-01T00:00:01.000+00:00", "series": "0" * 16, "suite": "quick", "new_build": "fw 2",
    }  # fmt: skip


def test_a_subject_beyond_the_bound_is_not_told_and_is_counted(monkeypatch):
    monkeypatch.setattr(alarms_module, "MAX_SUBJECTS", 2)
    sent: list[bytes] = []
    alerts = Alerts("c1", 0.0, sent.append, lambda: S)
    offline = {f"lab.pi-{n}": Assessment("critical", ["because"]) for n in range(3)}
    alerts.look(offline, CollectorStatus("c1", "online", "1", 0, 5.0, [0], health="healthy"))
    assert (len(sent), alerts.counters()) == (2, {"alarms_over_bound": 1})


def test_a_clock_that_is_set_back_holds_no_alert_up():
    alarms = Alarms(30 * S)
    alarms.note(BOARD, "critical", ["because"], 10_000 * S)
    assert alarms.due(1000 * S) == []
    assert [alert.kind for alert in alarms.due(1031 * S)] == ["critical"]
