"""A real InfluxDB 1.8 server for tests, with users, on a free port that it keeps over a kill and a restart."""

import json
import os
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import pytest
from server_process import ServerProcess

from tinyprof.embedded_broker import free_port
from tinyprof_collector.config import InfluxConfig

READY_TIMEOUT_S = 60.0
DATABASE, USER, PASSWORD = "tinyprof", "operator", "not-a-secret-of-anyone-0123456789"
BUILT = Path(__file__).parents[1] / "servers" / "influxd1" / "build" / "influxd"
_CONFIGURATION = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{port}"
  auth-enabled = true
  log-enabled = false
[continuous_queries]
  run-interval = "1s"
"""


class Influxd1(ServerProcess):
    """The server; `start` also makes its user and its database the first time."""

    secret = PASSWORD
    wrong_secret: ClassVar = {"password": "wrong-" + PASSWORD}

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._file = folder / "influxd1.conf"
        self._file.write_text(_CONFIGURATION.format(rpc_port=free_port(), port=self.port, folder=folder))
        self._is_set_up = False
        super().__init__("influxd 1.8", folder / "influxd1.log", READY_TIMEOUT_S)

    def config(self, **changed: Any) -> InfluxConfig:
        given = {"url": self.url, "bucket": DATABASE, "username": USER, "password": PASSWORD, **changed}
        return InfluxConfig(**given)

    def start(self) -> "Influxd1":
        self.run([influxd1_program(), "run", "-config", str(self._file)], self._is_ready)
        if not self._is_set_up:
            self._is_set_up = True
            self._ask({"q": f"CREATE USER {USER} WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES"})
            self.query(f"CREATE DATABASE {DATABASE}")
        return self

    def query(self, influxql: str) -> list[dict[str, Any]]:
        """The series that a statement of the test's own answers with."""
        return self._ask({"q": influxql, "db": DATABASE, "u": USER, "p": PASSWORD})

    def _ask(self, form: dict[str, str]) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/query?{urllib.parse.urlencode(form)}", b"", timeout=30) as reply:
            told = json.loads(reply.read())["results"][0]
        assert "error" not in told, told
        return list(told.get("series", ()))

    def empty(self) -> None:
        """One database with nothing in it, that keeps for ever."""
        self.query(f"DROP DATABASE {DATABASE}")
        self.query(f"CREATE DATABASE {DATABASE}")

    def keep_for(self, hours: int) -> None:
        """What is older goes, by the hour."""
        self.query(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION {hours}h SHARD DURATION 1h")

    def write(self, lines: str) -> None:
        """Lines of somebody else."""
        query = urllib.parse.urlencode({"db": DATABASE, "u": USER, "p": PASSWORD})
        urllib.request.urlopen(f"{self.url}/write?{query}", lines.encode(), timeout=30).close()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=2) as reply:
                return bool(reply.status == 204)
        except OSError:
            return False


def influxd1_program() -> str:
    """Where InfluxDB 1.8 is; without it the test is left out, or fails if TINYPROF_TEST_EVERYTHING is set."""
    found = os.environ.get("TINYPROF_INFLUXD1") or (str(BUILT) if BUILT.exists() else None)
    if found is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("there is no influxd of version 1.8: make influxd")
        pytest.skip("there is no influxd 1.8: 'make influxd' (Go, Rust) or TINYPROF_INFLUXD1 adds the tests against it")
    return found
