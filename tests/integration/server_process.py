"""A server in a process of its own, with a log: started until it is ready, killed, or stopped."""

import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class ServerProcess:
    """What all of them have in common; each says when it is ready."""

    def __init__(self, name: str, log: Path, ready_timeout_s: float) -> None:
        self._name = name
        self._log = log
        self._ready_timeout_s = ready_timeout_s
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, command: Sequence[str], is_ready: Callable[[], bool]) -> None:
        """Starts it and waits until it is ready. Raises RuntimeError with its log's end where it is not."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + self._ready_timeout_s
        while not is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._name} is not ready: {self._log.read_text(errors='replace')[-500:]}")
            time.sleep(0.02)

    def fail_writes(self) -> None:
        """From now to its end each write to a file fails, as it does where a disk is full.

        It fails as a whole. What fails halfway leaves a torn end in InfluxDB's log of writes, and that costs it later
        what it has taken and answered (docs/reliability.md).
        """
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that is not enough."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
