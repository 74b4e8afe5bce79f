"""The real roles as processes, with what a test asks of them: start, kill, stop, wait for a line of their log."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

HERE = Path(__file__).parent
PATIENCE_S = 60.0


def until(what: str, true: Callable[[], object], patience_s: float = PATIENCE_S, every_s: float = 0.05) -> None:
    """Waits until `true()` is; fails the test with `what` once patience ends."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s in vain: {what}"
        time.sleep(every_s)


class Role:
    """A process of ours. Its log goes on in one file over all its lives."""

    def __init__(self, name: str, folder: Path, arguments: list[str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None
        self._seen = 0

    def start(self, *more: str, environment: Mapping[str, str] | None = None) -> None:
        """Starts it; `more` is added to its arguments, `environment` to the test's own."""
        self._seen = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self._arguments, *more],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )

    def said(self, text: str) -> bool:
        """Whether its log has `text` since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._seen)
            return text.encode() in log.read()

    def times_said(self, text: str) -> int:
        """How often its log has `text`, over all its lives."""
        return self.log.read_bytes().count(text.encode()) if self.log.exists() else 0

    def wait_for(self, text: str, patience_s: float = PATIENCE_S) -> None:
        """Waits for a text in its log; fails with the log's end if the process ends before."""

        def there() -> bool:
            if self.said(text):
                return True
            assert self.running(), f"{self.name} ended with {self.process and self.process.poll()}:\n{self.tail()}"
            return False

        until(f"{text!r} in the log of {self.name}:\n{self.tail()}", there, patience_s)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; returns how it ended."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


class Program:
    """Any program with a log, in an environment of its own."""

    def __init__(self, name: str, log: Path, command: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._environment = dict(environment)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]
