"""What a server has and is to have: bucket, retention, down-sampling, the name that InfluxQL knows the bucket by."""

import json
import re
from collections.abc import Mapping
from typing import Any

from tinyprof_collector.stores.influx.answers import HttpAnswer
from tinyprof_collector.stores.influx.downsampling import continuous_query, flux_task, hourly_bucket, task_name
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_collector.stores.store import StoreFailed

DAY_S = 24 * 3600
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def kept_seconds(server: InfluxServer) -> int | None:
    """How long the bucket keeps records, in seconds, 0 for ever; None where the server does not say."""
    answer = server.request("GET", "/api/v2/buckets", _named(server), keep_body=True)
    if answer.status == 200:
        return next((_every_seconds(bucket) for bucket in _listed(answer, "buckets")), None)
    if answer.status not in (400, 404, 405):
        return None
    return _policy_seconds(server)


def set_up(server: InfluxServer, retention_days: float) -> list[str]:
    """Makes what is not there and returns, in lines, what was made and what was there. Raises StoreFailed."""
    version = version_of(server)
    kept_s = int(retention_days * DAY_S)
    if version.startswith("1."):
        return [f"InfluxDB {version}", *_set_up_1(server, kept_s)]
    if version.startswith("3."):
        return [f"InfluxDB {version}", *_set_up_3(server, retention_days)]
    return [f"InfluxDB {version}", *_set_up_2(server, kept_s)]


def version_of(server: InfluxServer) -> str:
    """The server's version, such as 2.7.12. Raises StoreFailed where none answers."""
    health = server.request("GET", "/health", keep_body=True)
    told = _object(health)
    version = str(told.get("version") or "").lstrip("v")
    if health.status == 200 and version:
        return version
    ping = server.request("GET", "/ping", keep_body=True)
    version = str(_object(ping).get("version") or "").lstrip("v")
    if version:
        return version
    if ping.status == 0:
        raise server.failed(ping)
    return "2."


# ---- 2.x


def _set_up_2(server: InfluxServer, kept_s: int) -> list[str]:
    org = _one(server, "/api/v2/orgs", {"org": server.config.org}, "orgs")
    if org is None:
        raise StoreFailed(f"store influxdb: there is no organisation {server.config.org!r} that this token may see")
    done = [_bucket(server, org["id"], server.config.bucket, kept_s)]
    done.append(_bucket(server, org["id"], hourly_bucket(server.config.bucket), 0))
    done.append(_dbrp(server, org["id"]))
    done.append(_task(server, org["id"]))
    return done


def _bucket(server: InfluxServer, org_id: str, name: str, kept_s: int) -> str:
    there = _one(server, "/api/v2/buckets", {"name": name, "org": server.config.org}, "buckets")
    rules = [{"type": "expire", "everySeconds": kept_s}] if kept_s else []
    how_long = f"{kept_s / DAY_S:g} days" if kept_s else "for ever"
    if there is None:
        _send(server, "POST", "/api/v2/buckets", {"orgID": org_id, "name": name, "retentionRules": rules})
        return f"bucket {name}: made, keeps {how_long}"
    if _every_seconds(there) == kept_s:
        return f"bucket {name}: there, keeps {how_long}"
    _send(server, "PATCH", f"/api/v2/buckets/{there['id']}", {"retentionRules": rules or [{"everySeconds": 0}]})
    return f"bucket {name}: now keeps {how_long}"


def _dbrp(server: InfluxServer, org_id: str) -> str:
    name = server.database
    mappings = _listed(_get(server, "/api/v2/dbrps", {"orgID": org_id, "db": name}), "content")
    if mappings:
        return f"database {name} for InfluxQL: there"
    bucket = _one(server, "/api/v2/buckets", _named(server), "buckets")
    assert bucket is not None
    wanted = {"orgID": org_id, "bucketID": bucket["id"], "database": name, "retention_policy": "autogen"}
    _send(server, "POST", "/api/v2/dbrps", {**wanted, "default": True})
    return f"database {name} for InfluxQL: made"


def _task(server: InfluxServer, org_id: str) -> str:
    name = task_name(server.config.bucket)
    text = flux_task(server.config.bucket, server.config.org)
    there = _one(server, "/api/v2/tasks", {"name": name, "orgID": org_id}, "tasks")
    if there is None:
        _send(server, "POST", "/api/v2/tasks", {"orgID": org_id, "flux": text, "status": "active"})
        return f"task {name}: made"
    if there.get("flux") != text:
        _send(server, "PATCH", f"/api/v2/tasks/{there['id']}", {"flux": text})
        return f"task {name}: renewed"
    return f"task {name}: there"


# ---- 1.x and 3


def _set_up_1(server: InfluxServer, kept_s: int) -> list[str]:
    database, _, policy = server.config.bucket.partition("/")
    duration = f"{kept_s}s" if kept_s else "INF"
    policy = policy or "autogen"
    server.query(f'CREATE DATABASE "{database}"')
    server.query(f'CREATE RETENTION POLICY "for_ever" ON "{database}" DURATION INF REPLICATION 1')
    names = {row["name"] for row in _policies(server)}
    verb = "ALTER" if policy in names else "CREATE"
    server.query(f'{verb} RETENTION POLICY "{policy}" ON "{database}" DURATION {duration} REPLICATION 1 DEFAULT')
    server.query(continuous_query(database))
    return [f"database {database}: there, policy {policy} keeps {duration}", "continuous query tinyprof_hourly: there"]


def _set_up_3(server: InfluxServer, retention_days: float) -> list[str]:
    wanted: dict[str, Any] = {"db": server.database}
    if retention_days:
        wanted["retention_period"] = f"{int(retention_days * 24)}h"
    answer = server.request("POST", "/api/v3/configure/database", headers=_JSON, body=wanted)
    if answer.status == 409:
        return [f"database {server.database}: there (its retention is as it was)"]
    if answer.status not in (200, 201, 204):
        raise server.failed(answer)
    return [f"database {server.database}: made", "down-sampling: this version has no tasks"]


# ---- shared


def _policy_seconds(server: InfluxServer) -> int | None:
    wanted = server.config.bucket.partition("/")[2]
    try:
        policies = _policies(server)
    except StoreFailed:
        return None
    for row in policies:
        if row["name"] == wanted or (not wanted and row.get("default")):
            found = _DURATION.fullmatch(str(row["duration"]))
            hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
            return hours * 3600 + minutes * 60 + seconds
    return None


def _policies(server: InfluxServer) -> list[dict[str, Any]]:
    [answer] = server.query(f'SHOW RETENTION POLICIES ON "{server.database}"')
    return [row for rows in answer for row in rows.dicts()]


def _named(server: InfluxServer) -> dict[str, str]:
    return {"name": server.config.bucket, "org": server.config.org}


def _every_seconds(bucket: Mapping[str, Any]) -> int:
    return max((int(rule.get("everySeconds") or 0) for rule in bucket.get("retentionRules") or ()), default=0)


def _get(server: InfluxServer, path: str, query: Mapping[str, str]) -> HttpAnswer:
    answer = server.request("GET", path, query, {"Accept": "application/json"}, keep_body=True)
    if answer.status not in (200, 404):
        raise server.failed(answer)
    return answer


def _one(server: InfluxServer, path: str, query: Mapping[str, str], what: str) -> dict[str, Any] | None:
    return next(iter(_listed(_get(server, path, query), what)), None)


def _send(server: InfluxServer, method: str, path: str, wanted: Mapping[str, Any]) -> None:
    answer = server.request(method, path, headers=_JSON, body=wanted)
    if not 200 <= answer.status < 300:
        raise server.failed(answer)


def _object(answer: HttpAnswer) -> dict[str, Any]:
    try:
        told = json.loads(answer.body)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _listed(answer: HttpAnswer, what: str) -> list[dict[str, Any]]:
    found = _object(answer).get(what) if answer.status == 200 else None
    return found if isinstance(found, list) else []
