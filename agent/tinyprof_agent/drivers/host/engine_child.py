"""The engine's child process seen from its parent: frames in and out, each wait with a limit."""

import contextlib
import os
import select
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, Final

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_models.engine_messages import FrameError, FrameSplitter, Quit, Reply, Request, frame, parse_reply

READ_BYTES: Final = 65536
MAX_STDERR_CHARACTERS: Final = 200
POLL_MS: Final = 50
"""How often a wait looks whether it was cancelled."""
QUIT_S: Final = 2.0

Clock = Callable[[], int]


def engine_command(idle_end_s: float) -> list[str]:
    """The command of the engine's process, which ends by itself after `idle_end_s` without a request."""
    return [sys.executable, "-m", "tinyprof_models.engine_process", "--idle-seconds", f"{idle_end_s:g}"]


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdin, process.stdout, process.stderr


class EngineChild:
    """One child process. `clock` is monotonic, in nanoseconds. Raises BoardError: `lost` where it has ended."""

    def __init__(self, command: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        self._splitter = FrameSplitter()
        self._waiting: deque[Reply] = deque()
        self._stderr = b""
        try:
            # A session of its own: Ctrl-C at the terminal is the agent's to handle.
            self._process = subprocess.Popen(
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as why:
            raise BoardError("gone", f"the engine's process did not start: {why}") from why
        self._input, self._output, self._errors = _pipes(self._process)
        # It may end by itself while nobody asks for it; then it must not stay behind as a zombie.
        threading.Thread(target=self._process.wait, name="engine-reaper", daemon=True).start()
        for pipe in (self._input, self._output, self._errors):
            os.set_blocking(pipe.fileno(), False)
        self._readable = select.poll()
        self._readable.register(self._output, select.POLLIN)
        self._readable.register(self._errors, select.POLLIN)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the process has ended, by itself or otherwise."""
        return self._process.poll() is not None

    def send(self, request: Request, timeout_s: float) -> None:
        """Writes one request. Raises BoardError `timeout` if the child does not take it, `lost` if it has ended."""
        rest = memoryview(frame(request))
        writable = select.poll()
        writable.register(self._input, select.POLLOUT)
        deadline_ns = self._clock() + int(timeout_s * 1e9)
        while rest:
            if not writable.poll(POLL_MS) and self._clock() > deadline_ns:
                raise BoardError("timeout", f"the engine's process took no request for {timeout_s:g} s")
            try:
                rest = rest[os.write(self._input.fileno(), rest) :]
            except BlockingIOError:
                continue
            except OSError:
                raise self._lost() from None

    def receive(self, timeout_s: float, stop: Callable[[], bool] = lambda: False) -> Reply | None:
        """The next reply; None once `stop` says so. Raises BoardError `timeout` or `lost`."""
        deadline_ns = self._clock() + int(timeout_s * 1e9)
        while not self._waiting:
            if stop():
                return None
            left_ms = (deadline_ns - self._clock()) / 1e6
            if left_ms <= 0:
                raise BoardError("timeout", f"the engine's process gave no answer within {timeout_s:g} s")
            self._read(min(POLL_MS, left_ms))
        return self._waiting.popleft()

    def close(self) -> None:
        """Ends the child: asks it to quit, and kills it if it does not within 2 s."""
        if self._process.poll() is None:
            with contextlib.suppress(BoardError):
                self.send(Quit(), timeout_s=0.1)
            self._input.close()
            try:
                self._process.wait(QUIT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self._let_go()

    def kill(self) -> None:
        """Ends the child at once."""
        self._process.kill()
        self._process.wait()
        self._let_go()

    def _read(self, wait_ms: float) -> None:
        for fd, _ in self._readable.poll(wait_ms):
            data = os.read(fd, READ_BYTES)
            if fd == self._errors.fileno():
                self._stderr = (self._stderr + data)[-4 * MAX_STDERR_CHARACTERS :]
                if not data:
                    self._readable.unregister(fd)
            elif not data:
                raise self._lost()
            else:
                self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            self._waiting.extend(parse_reply(body) for body in self._splitter.feed(data))
        except FrameError as why:
            raise BoardError("fault", f"the engine's process does not speak its protocol: {why}") from why

    def _lost(self) -> BoardError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(QUIT_S)
        with contextlib.suppress(OSError):
            self._stderr += os.read(self._errors.fileno(), READ_BYTES)
        lines = self._stderr.decode("utf-8", "replace").strip().splitlines()
        said = f": {lines[-1][-MAX_STDERR_CHARACTERS:]}" if lines else ""
        return BoardError("lost", f"the engine's process ended (exit code {self._process.returncode}){said}")

    def _let_go(self) -> None:
        for pipe in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                pipe.close()
