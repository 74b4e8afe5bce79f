"""What reaches a soft board from outside its line: signals, and the end of its parent."""

import os
import signal
import sys
from types import FrameType


class Stopped(Exception):
    """The board is to end."""


class ResetPressed(Exception):
    """The board's reset button was pressed."""


class Switches:
    """Signals as flags, and descriptors that wake who waits for them."""

    def __init__(self, *, end_with_stdin: bool) -> None:
        self._stop = self._reset = False
        self.wake_fd, self._signal_fd = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._signal_fd, False)
        self.stdin_fd = sys.stdin.fileno() if end_with_stdin else None
        signal.set_wakeup_fd(self._signal_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def check(self) -> None:
        """Raises Stopped or ResetPressed if that has happened."""
        if self._stop:
            raise Stopped
        if self._reset:
            self._reset = False
            raise ResetPressed

    def woken_by(self, fds: set[int]) -> None:
        """Reads what these descriptors have; stdin's end stops the board."""
        if self.wake_fd in fds:
            os.read(self.wake_fd, 4096)
        if self.stdin_fd in fds and not os.read(self.stdin_fd, 4096):
            self._stop = True

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._reset = True
        else:
            self._stop = True
