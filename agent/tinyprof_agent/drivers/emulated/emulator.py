"""An emulator as a process of this machine: started on a free port, paused while nobody speaks to it, ended by id."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Final

from tinyprof_agent.drivers.driver import BoardError

MAX_SAID_BYTES: Final = 4096
MAX_LINE: Final = 200
TELLING = re.compile(r"error|fatal|cannot|not found|in use", re.IGNORECASE)
PORT_TRIES: Final = 8
END_S: Final = 5.0
_POLL_S: Final = 0.01
_LISTENING: Final = "0A"
_LEASH: Final = Path(__file__).with_name("leash.py")

CommandFor = Callable[[int], Sequence[str]]
"""The command of an emulator that is to listen on a loopback port."""


class PortTaken(Exception):
    """The emulator ended before it listened, as it does where its port is taken."""


class Emulator:
    """One running emulator. It ends with the thread that made it, whatever becomes of the agent.

    Virtual time stands still while it is paused, and the kernel keeps what is sent to it meanwhile.
    """

    def __init__(self, command: Sequence[str], port: int, folder: Path) -> None:
        """Starts it. Raises BoardError: gone."""
        self.port = port
        self._said: deque[int] = deque(maxlen=MAX_SAID_BYTES)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as why:
            raise BoardError("gone", f"the emulator did not start: {why}") from why
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._listen_to, args=(self._process.stdout,), name="emulator-output", daemon=True
        )
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the process has ended, by itself or otherwise."""
        return self._process.poll() is not None

    def wait_until_it_listens(self, limit_s: float) -> None:
        """Returns once its own process listens on its port. Raises PortTaken where it ends, BoardError: timeout."""
        deadline_s = time.monotonic() + limit_s
        while not listens(self.pid, self.port):
            if self.has_ended():
                raise PortTaken
            if time.monotonic() > deadline_s:
                raise BoardError("timeout", f"the emulator did not listen within {limit_s:g} s{self._words()}")
            time.sleep(_POLL_S)

    def pause(self) -> None:
        """Stops it where it stands: it uses no processor then."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def why_ended(self, within_s: float = 0.0) -> BoardError | None:
        """An error that says how it ended, with the last line that says why; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(within_s)
        if not self.has_ended():
            return None
        self._reader.join(END_S)
        return BoardError("lost", f"the emulator ended (exit code {self._process.returncode}){self._words()}")

    def end(self) -> None:
        """Ends it at once; may be called more than once."""
        if not self.has_ended():
            self._process.kill()
        self._process.wait()
        self._reader.join(END_S)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _listen_to(self, output: IO[bytes]) -> None:
        with output:
            while data := os.read(output.fileno(), 4096):
                self._said.extend(data)

    def _words(self) -> str:
        text = bytes(self._said).decode(errors="replace")
        lines = ["".join(c for c in line if c.isprintable()).strip() for line in text.splitlines()]
        lines = [line for line in lines if line]
        telling = [line for line in lines if TELLING.search(line)] or lines
        return f": {telling[-1][-MAX_LINE:]}" if telling else ""


def start(command_for: CommandFor, folder: Path, limit_s: float, free_port: Callable[[], int]) -> Emulator:
    """An emulator that listens, on the first of several free ports that nobody else took before it.

    Raises BoardError: lost, with what the emulator said last; timeout; gone.
    """
    why: BoardError | None = None
    for _ in range(PORT_TRIES):
        port = free_port()
        emulator = Emulator(command_for(port), port, folder)
        try:
            emulator.wait_until_it_listens(limit_s)
        except PortTaken:
            why = emulator.why_ended()
            emulator.end()
            if why is None or not re.search(r"in use|EADDRINUSE", str(why)):
                break
        except BaseException:
            emulator.end()
            raise
        else:
            return emulator
    raise why or BoardError("lost", "the emulator ended before it listened")


def free_loopback_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(pid: int, port: int) -> bool:
    """Whether that very process listens on that TCP port: another one's listener on it is not taken for it."""
    folder = Path(f"/proc/{pid}")
    waiting = set()
    try:
        for table in ("net/tcp", "net/tcp6"):
            for line in (folder / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    waiting.add(f"socket:[{fields[9]}]")
        if not waiting:
            return False
        return any(_link_of(entry) in waiting for entry in (folder / "fd").iterdir())
    except OSError:
        return False


def _link_of(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""
