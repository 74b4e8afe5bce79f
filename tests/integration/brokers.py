"""Real brokers for tests, each on a free port that it keeps over a kill and a restart."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Protocol

import pytest

from tinyprof.embedded_broker import EmbeddedBroker, free_port

READY_TIMEOUT_S = 20.0


class Broker(Protocol):
    """What a test does with a broker."""

    url: str
    port: int

    def start(self) -> object: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class Mosquitto:
    """Debian's mosquitto on loopback, as anonymous as the embedded broker."""

    def __init__(self, folder: Path, extra: str = "") -> None:
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            f"max_queued_messages 10000\n{extra}"
        )
        self._log = folder / "mosquitto.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Mosquitto":
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [mosquitto_program(), "-c", str(self._configuration)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"mosquitto ended at once: {self._log.read_text(errors='replace')[-500:]}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return self
            time.sleep(0.02)
        raise RuntimeError(f"mosquitto did not listen on {self.port}")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)


def mosquitto_program() -> str:
    """Where mosquitto is; without it the test is left out, or fails if TINYPROF_TEST_EVERYTHING is set."""
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("mosquitto is not installed: apt install mosquitto")
        pytest.skip("mosquitto is not installed: 'apt install mosquitto' adds the tests against it")
    return found


def make_broker(kind: str, folder: Path) -> Broker:
    """A broker of a kind, `embedded` or `mosquitto`, not started yet."""
    return EmbeddedBroker() if kind == "embedded" else Mosquitto(folder)
