"""The pseudo-terminal of a soft board: what it reads and writes, and what wakes it."""

import contextlib
import os
import pty
import select
import tty
from pathlib import Path

READ_BYTES = 4096
WRITE_SECONDS = 1.0


class Terminal:
    """A pseudo-terminal that outlives whoever opens it, and a link to it whose name stays.

    `path` is what to open. Nobody reading is like a cable that leads nowhere: after a second, bytes are dropped, and as
    with a cable it is the host that counts what did not come.
    Raises OSError where the system gives no terminal, and FileExistsError where `link` is something else.
    """

    def __init__(self, link: Path | None) -> None:
        self._link = link
        self._poll = select.poll()
        self._wakers: list[int] = []
        self._board_fd = self._host_fd = -1
        self.path = ""
        self._plug_in()

    def also_wake_on(self, fd: int) -> None:
        """`wait` returns when this descriptor has something, too."""
        self._wakers.append(fd)
        self._poll.register(fd, select.POLLIN)

    def wait(self, timeout_s: float) -> set[int]:
        """Which of the other descriptors woke it; an empty set for bytes on the line or for time."""
        return {fd for fd, _ in self._poll.poll(timeout_s * 1000) if fd in self._wakers}

    def read(self) -> bytes:
        """What has come; b"" if nothing has."""
        try:
            return os.read(self._board_fd, READ_BYTES)
        except OSError:
            return b""

    def write(self, data: bytes) -> None:
        """Sends what the line takes within a second."""
        room = select.poll()
        room.register(self._board_fd, select.POLLOUT)
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._board_fd, view) :]
            except BlockingIOError:
                if not room.poll(WRITE_SECONDS * 1000):
                    return

    def unplug(self) -> None:
        """The terminal vanishes, as a USB cable that is pulled, and another comes in its place."""
        self._let_go()
        self._plug_in()

    def close(self) -> None:
        """Ends the terminal and takes the link away, if it is still ours."""
        link, path = self._link, self.path
        self._let_go()
        if link is not None:
            with contextlib.suppress(OSError):
                if str(link.readlink()) == path:
                    link.unlink()

    def _plug_in(self) -> None:
        # The host's side stays open here too, so that a host that hangs up does not end the terminal.
        self._board_fd, self._host_fd = pty.openpty()
        tty.setraw(self._host_fd)
        os.set_blocking(self._board_fd, False)
        self._poll.register(self._board_fd, select.POLLIN)
        self.path = os.ttyname(self._host_fd)
        if self._link is not None:
            _point(self._link, self.path)

    def _let_go(self) -> None:
        if self._board_fd >= 0:
            self._poll.unregister(self._board_fd)
            os.close(self._board_fd)
            os.close(self._host_fd)
        self._board_fd = self._host_fd = -1


def _point(link: Path, path: str) -> None:
    """Makes `link` point to `path` in one step, so that it never points nowhere."""
    if link.exists() and not link.is_symlink():
        raise FileExistsError(f"{link} is there and is no link")
    new = link.with_name(f"{link.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(path)
    new.replace(link)
