"""The processes of a site that faults happen to."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tinyprof.embedded_broker import EmbeddedBroker

BROKER_PATIENCE_S = 15.0


@dataclass
class Party:
    """A process that is to run, unless a fault has it down."""

    name: str
    launch: Callable[[], object]
    process: Callable[[], "subprocess.Popen[bytes] | None"]
    wanted: bool = False
    launched_s: float = 0.0

    def running(self) -> bool:
        process = self.process()
        return process is not None and process.poll() is None

    def start(self) -> None:
        self.wanted = True
        self.thaw()
        if not self.running():
            self.launched_s = time.monotonic()
            self.launch()

    def kill(self) -> None:
        self.wanted = False
        process = self.process()
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()

    def freeze(self) -> None:
        if self.running():
            self.process().send_signal(signal.SIGSTOP)  # type: ignore[union-attr]

    def thaw(self) -> None:
        if self.running():
            self.process().send_signal(signal.SIGCONT)  # type: ignore[union-attr]


class LoggedBroker(EmbeddedBroker):
    """The embedded broker, which leaves what it says in a file."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def start(self) -> "LoggedBroker":
        """Starts it; returns once it accepts connections."""
        self._close_pipes()
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tinyprof.embedded_broker", "--port", str(self.port), "--end-with-stdin"],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + BROKER_PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return self
            time.sleep(0.02)
        raise RuntimeError(f"the embedded broker did not listen on {self.port}")
