"""A real InfluxDB 2.7 server for tests, on a free port that it keeps over a kill and a restart."""

import json
import os
import shutil
import ssl
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from server_process import ServerProcess

from tinyprof.embedded_broker import free_port
from tinyprof_collector.config import InfluxConfig

READY_TIMEOUT_S = 60.0
ORG, BUCKET, TOKEN = "lab", "tinyprof", "not-a-secret-of-anyone-0123456789"
BUILT = Path(__file__).parents[1] / "servers" / "influxd" / "build" / "influxd"


@dataclass(frozen=True)
class Certificates:
    """Where a server's certificate and key are, and that of who signed it."""

    certificate: Path
    key: Path
    ca: Path


class Influxd(ServerProcess):
    """The server; `start` also sets it up the first time. With `tls` it speaks https with those certificates."""

    secret = TOKEN
    wrong_secret: ClassVar = {"token": "wrong-" + TOKEN}

    def __init__(
        self, folder: Path, retention_s: int = 0, *, tls: Certificates | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://{host}:{self.port}"
        self._host = host
        self._tls = tls
        self._context = ssl.create_default_context(cafile=str(tls.ca)) if tls else None
        if self._context is not None:
            # A test may give it a certificate of another name on purpose.
            self._context.check_hostname = False
        self._folder = folder
        self._retention_s = retention_s
        self._is_set_up = False
        super().__init__("influxd", folder / "influxd.log", READY_TIMEOUT_S)

    def config(self, **changed: Any) -> InfluxConfig:
        given = {"url": self.url, "org": ORG, "bucket": BUCKET, "token": TOKEN, **changed}
        if self._tls is not None:
            given.setdefault("ca_file", str(self._tls.ca))
        return InfluxConfig(**given)

    def start(self) -> "Influxd":
        files = {"--bolt-path": "i.bolt", "--sqlite-path": "i.sqlite", "--engine-path": "engine"}
        paths = [word for option, name in files.items() for word in (option, str(self._folder / name))]
        listen = ["--http-bind-address", f"{self._host}:{self.port}", "--reporting-disabled", "--log-level", "error"]
        if self._tls is not None:
            listen += ["--tls-cert", str(self._tls.certificate), "--tls-key", str(self._tls.key)]
        self.run([influxd_program(), "run", *paths, *listen], self._is_ready)
        if not self._is_set_up:
            self._is_set_up = True
            self.request(
                "POST", "/api/v2/setup",
                {"username": "admin", "password": "not-a-secret", "org": ORG, "bucket": BUCKET, "token": TOKEN,
                 "retentionPeriodSeconds": self._retention_s},
            )  # fmt: skip
        return self

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """A request of the test's own, with the operator's token; what JSON it answers."""
        data = None if body is None else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": content_type, "Accept": "application/json"}
        asked = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30, context=self._context) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def flux(self, script: str) -> str:
        """The answer to a Flux script, as CSV."""
        asked = urllib.request.Request(
            f"{self.url}/api/v2/query?org={ORG}", script.encode(),
            {"Authorization": f"Token {TOKEN}", "Content-Type": "application/vnd.flux", "Accept": "application/csv"},
        )  # fmt: skip
        with urllib.request.urlopen(asked, timeout=60, context=self._context) as reply:
            return str(reply.read().decode())

    def empty(self) -> None:
        """One bucket with nothing in it, that keeps for ever."""
        for bucket in self.request("GET", f"/api/v2/buckets?org={ORG}")["buckets"]:
            if bucket["type"] == "user":
                self.request("DELETE", f"/api/v2/buckets/{bucket['id']}")
        org = self.request("GET", f"/api/v2/orgs?org={ORG}")["orgs"][0]["id"]
        self.request("POST", "/api/v2/buckets", {"orgID": org, "name": BUCKET, "retentionRules": []})

    def keep_for(self, hours: int) -> None:
        """What is older goes, by the hour."""
        rules = [{"everySeconds": hours * 3600, "shardGroupDurationSeconds": 3600}]
        self.request("PATCH", f"/api/v2/buckets/{self.bucket()['id']}", {"retentionRules": rules})

    def write(self, lines: str) -> None:
        """Lines of somebody else."""
        self.request("POST", f"/api/v2/write?org={ORG}&bucket={BUCKET}", lines, "text/plain")

    def bucket(self) -> dict[str, Any]:
        """The bucket as the server describes it."""
        found: dict[str, Any] = self.request("GET", f"/api/v2/buckets?org={ORG}&name={BUCKET}")["buckets"][0]
        return found

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2, context=self._context) as reply:
                return bool(json.loads(reply.read())["status"] == "pass")
        except OSError:
            return False


def influxd_program() -> str:
    """Where influxd is; without it the test is left out, or fails if TINYPROF_TEST_EVERYTHING is set."""
    named = os.environ.get("TINYPROF_INFLUXD")
    found = named or shutil.which("influxd") or (str(BUILT) if BUILT.exists() else None)
    if found is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("there is no influxd: make influxd")
        pytest.skip("there is no influxd: 'make influxd' (Go, Rust) or TINYPROF_INFLUXD adds the tests against it")
    return found
