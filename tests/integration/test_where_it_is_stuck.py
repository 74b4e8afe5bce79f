"""The dashboard's pipeline on a real site whose database is killed: where the flow is stuck, and that it goes on."""

import json
import subprocess
import sys
from typing import Any

from influx_site import InfluxSite
from influxd import Influxd
from roles import until


def pipeline_of(site: InfluxSite) -> dict[str, Any]:
    command = [sys.executable, "-m", "tinyprof", "dashboard", "--json", "--screen", "pipeline"]
    done = subprocess.run([*command, "--broker", site.broker.url], capture_output=True, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout)["pipeline"]
    return told


def test_a_database_that_is_away_is_where_it_is_stuck_until_it_returns(tmp_path, broker) -> None:
    (tmp_path / "influxd").mkdir()
    database = Influxd(tmp_path / "influxd").start()
    site = InfluxSite(tmp_path, broker, database)
    told: dict[str, Any] = {}

    def stuck_at(stage: str | None) -> bool:
        told.update(pipeline_of(site))
        return told["stuck_at"] == stage and told["sums"]["stored"] > 0

    try:
        site.start_collector()
        site.start_agent()
        site.wait_until_stored(20)
        until("everything flows", lambda: stuck_at(None), every_s=0.5)
        database.kill()
        until("it is stuck at the store, and spools fill", lambda: stuck_at("stores") and told["sums"]["in_spool"] > 0,
              every_s=0.5)  # fmt: skip
        (hub,) = told["collectors"]
        assert (hub["health"], hub["stores"]) == ("critical", {"influxdb": "critical"})
        assert "no answer" in hub["store_errors"]["influxdb"]
        until(
            "the oldest record's age is told", lambda: stuck_at("stores") and told["ledger"][0]["oldest_s"], every_s=0.5
        )
        database.start()
        until("it flows again", lambda: stuck_at(None), every_s=0.5)
        assert told["sums"]["missing"] == 0
    finally:
        for role in site.roles:
            role.kill()
        site.database.close()
        database.stop()
