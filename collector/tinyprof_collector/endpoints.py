"""/healthz, /readyz and Prometheus /metrics over HTTP, in threads of their own.

Everything that is served is asked for when a request comes, by functions given by the collector.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as PrometheusCollector

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0
MAX_AT_ONCE = 8
FILE_NAME = "endpoints.json"
_PREFIX = "tinyprof_collector_"
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_]")


class CannotListen(RuntimeError):
    """The configured address cannot be listened on; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that goes up and down, for each of the values of one label (or of none: the key is empty)."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""


@dataclass(frozen=True, slots=True)
class Probes:
    """What is served. `alive` and `ready` give each check's complaint, empty where it passes."""

    alive: Callable[[], Mapping[str, str]]
    ready: Callable[[], Mapping[str, str]]
    counters: Callable[[], Mapping[str, int]]
    gauges: Callable[[], list[Gauge]]


class _Metrics(PrometheusCollector):
    def __init__(self, probes: Probes) -> None:
        self._probes = probes

    def describe(self) -> Iterator[Metric]:
        """Nothing at registration: which counters there are shows when they are read."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for name, value in sorted(self._probes.counters().items()):
            clean = _NOT_IN_A_NAME.sub("_", name)
            yield CounterMetricFamily(f"{_PREFIX}{clean}", f"Counted by the collector: {name}.", value=float(value))
        for gauge in self._probes.gauges():
            family = GaugeMetricFamily(_PREFIX + gauge.name, gauge.help, labels=[gauge.label] if gauge.label else [])
            for key, reading in gauge.values.items():
                family.add_metric([key] if gauge.label else [], reading)
            yield family


class Endpoints:
    """The HTTP server; `address` is where it listens once started."""

    def __init__(self, listen: tuple[str, int], probes: Probes, state_dir: Path) -> None:
        self._listen = listen
        self._probes = probes
        self._file = state_dir / FILE_NAME
        self._registry = CollectorRegistry()
        self._registry.register(_Metrics(probes))
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.address: tuple[str, int] | None = None

    @property
    def url(self) -> str:
        """Where it is served, such as `http://127.0.0.1:9464`; empty before the start."""
        if self.address is None:
            return ""
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> tuple[str, int]:
        """Listens, and writes the address to `endpoints.json` in the state directory. Raises CannotListen."""
        host, port = self._listen
        handler = _handler(self._answer)
        try:
            self._server = _Server((host, port), handler)
        except OSError as why:
            raise CannotListen(f"endpoints.listen: cannot listen on {host}:{port}: {why.strerror or why}") from None
        self.address = (host, int(self._server.server_address[1]))
        _write(self._file, {"host": self.address[0], "port": self.address[1], "pid": os.getpid()})
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="endpoints", daemon=True
        )
        self._thread.start()
        return self.address

    def stop(self) -> None:
        """Ends it and removes the file; may be called without a start."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join(REQUEST_TIMEOUT_S)
        self._file.unlink(missing_ok=True)
        self._server = None

    def _answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._registry)
        if path in ("/healthz", "/readyz"):
            checks = self._probes.alive() if path == "/healthz" else self._probes.ready()
            failed = {name: why for name, why in checks.items() if why}
            body = {"ok": not failed, "checks": {name: why or "ok" for name, why in checks.items()}}
            return 503 if failed else 200, "application/json", json.dumps(body).encode() + b"\n"
        return 404, "text/plain; charset=utf-8", b"there are /healthz, /readyz and /metrics\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._slots = threading.BoundedSemaphore(MAX_AT_ONCE)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves it in a thread, or closes it at once where enough are being served."""
        if not self._slots.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            self._slots.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()


def _handler(answer: Callable[[str], tuple[int, str, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S

        def do_GET(self) -> None:
            try:
                status, kind, body = answer(self.path.partition("?")[0])
            except Exception:
                log.exception("an endpoint failed")
                status, kind, body = 500, "text/plain; charset=utf-8", b"the collector could not answer; see its log\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (named by http.server)
            log.debug(format, *args)

    return Handler


def _write(path: Path, content: dict[str, object]) -> None:
    """Whole or not at all: a reader never sees half a file."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content) + "\n")
    beside.replace(path)
