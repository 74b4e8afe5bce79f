"""The services of docker-compose.yml together: broker with TLS and access list, InfluxDB, collector, agent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from composed_site import AGENT, ComposedSite
from roles import until

from tinyprof_collector.config import load_config
from tinyprof_collector.stores.influx.line_protocol import MEASUREMENTS
from tinyprof_collector.stores.influx.server import InfluxServer

WITHOUT_A_CLOCK_S = 60.0
"""Where the machine's clock is not synchronised, an agent waits for so long before it takes the collector's time."""


@pytest.fixture
def site(tmp_path: Path):
    running = ComposedSite(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_a_record_of_the_agent_arrives_in_influxdb(site: ComposedSite) -> None:
    config = load_config(None, site.environment("collector"))
    database = InfluxServer(config.store.influxdb)

    def records() -> list[dict[str, object]]:
        for program in site.programs:
            assert program.running(), f"{program.name} ended:\n{program.tail()}"
        [answer] = database.query(f"SELECT seq FROM {', '.join(MEASUREMENTS)} GROUP BY site, agent")
        return [{**row, **rows.tags} for rows in answer for row in rows.dicts()]

    until("a record of the agent is in the database", records, WITHOUT_A_CLOCK_S + 60.0, every_s=0.5)
    assert {f"{row['site']}.{row['agent']}" for row in records()} == {AGENT}
    database.close()

    def ask(*arguments: str) -> dict[str, object]:
        environment = {**os.environ, "TINYPROF_BROKER_CA_FILE": str(site.secrets / "ca.crt"),
                       "TINYPROF_BROKER": (site.secrets / "client.broker").read_text().strip()}  # fmt: skip
        done = subprocess.run([sys.executable, "-m", "tinyprof", *arguments, "--json"], env=environment,
                              capture_output=True, text=True, check=False, timeout=60)  # fmt: skip
        assert done.returncode == 0, done.stderr
        told: dict[str, object] = json.loads(done.stdout)
        return told

    until("the ledger adds up with the database", lambda: ask("status", "--verify")["ledger"]["ok"])  # type: ignore[index]
    told = ask("dashboard", "--screen", "pipeline")
    assert [board["node"] for board in told["boards"]] == [AGENT]  # type: ignore[attr-defined]
    assert told["pipeline"]["stuck_at"] is None  # type: ignore[index]
    assert subprocess.run(site.health_check(), check=False, timeout=30).returncode == 0
    secrets = [(site.secrets / name).read_text().strip() for name in ("influxdb-token", "collector.broker")]
    for program in site.programs:
        assert not any(secret in program.log.read_text(errors="replace") for secret in secrets), program.name
