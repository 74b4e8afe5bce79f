"""The demo's processes: each in a session of its own, with its log in a file, ended by its own id."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

STOP_WITHIN_S = 15.0
TAIL_LINES = 5
_PLAIN_VARIABLES = ("LOG_LEVEL", "CACHE_SIZE", "CACHE_TTL", "MAX_WORKERS")


class DemoFailed(RuntimeError):
    """A part of the demo did not come up or ended; the message says which, and has the last lines of its log."""


def clean_environment() -> dict[str, str]:
    """The environment without what would reach into the parts' configurations."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("TINYPROF_") and key not in _PLAIN_VARIABLES
    }


class Part:
    """One process of the demo."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._stopped = False
        with self.log.open("ab") as log:
            # -P: what lies in the present directory must not stand in for a module of ours.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tinyprof.demo.child", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=clean_environment(),
            )

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its session."""
        return self._process.pid

    def check(self) -> None:
        """Raises DemoFailed if it has ended by itself."""
        code = self._process.poll()
        if code is not None and not self._stopped:
            raise DemoFailed(f"{self.name} ended with exit code {code}: {tail(self.log)}")

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self._stopped = True
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def stop(self, within_s: float = STOP_WITHIN_S) -> None:
        """Ends it and all that it started; may be called twice."""
        self.ask_to_stop()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            # It has not been waited for, so its id is still its own.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        finally:
            _close(self._process.stdin)


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        stream.close()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, in one."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError as why:
        return f"no log: {why.strerror}"
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip()) or "its log is empty"
