"""A serial port, or anything that looks like one, held by one process; each failure is a BoardError with one line.

A path is a port of this machine; a URL such as `socket://127.0.0.1:4444` is one that pyserial makes of something else.
"""

import contextlib
import errno
import os
import select
from typing import Protocol

import serial

from tinyprof_agent.drivers.driver import BoardError

READ_BYTES = 4096
MAX_DRAINED_BYTES = 1024 * 1024
WRITE_SECONDS = 2.0
_GONE = frozenset({errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO})
_DENIED = frozenset({errno.EACCES, errno.EPERM})
_BUSY = frozenset({errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK})


class BytePort(Protocol):
    """A line to a board. Each call may raise BoardError: `gone` when the line is no more."""

    def read(self, timeout_s: float) -> bytes:
        """What has come, as soon as anything has; b"" after `timeout_s` of silence."""

    def write(self, data: bytes) -> None:
        """Sends all of it, within a limit."""

    def drain(self) -> None:
        """Throws away what has come and was not read."""

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        """Sets the control lines that boards hang their reset on."""

    def close(self) -> None:
        """Lets go of the line; may be called more than once."""


class SerialPort:
    """A port that is open. Raises BoardError when it cannot be: gone, busy, refused."""

    def __init__(self, path: str, baud: int) -> None:
        self._path = path
        self._is_url = "://" in path
        try:
            # A timeout of zero: waiting is done by poll, so that any byte that came ends it.
            self._port = serial.serial_for_url(path, baud, timeout=0, write_timeout=WRITE_SECONDS, exclusive=True)
        except (OSError, ValueError) as why:
            raise _cannot_open(path, baud, why) from None
        self._poll = select.poll()
        self._poll.register(self._port.fileno(), select.POLLIN)

    def read(self, timeout_s: float) -> bytes:
        """What has come, as soon as anything has; b"" after `timeout_s` of silence. Raises BoardError: gone."""
        try:
            if not self._poll.poll(max(0.0, timeout_s) * 1000):
                return b""
            data: bytes = self._port.read(READ_BYTES)
        except (OSError, TypeError, ValueError) as why:
            raise self._gone(why) from None
        return data

    def write(self, data: bytes) -> None:
        """Sends all of it. Raises BoardError: gone, or silent when nothing takes it within 2 s."""
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            line = f"{self._path} takes no more bytes: nothing reads at the other end"
            raise BoardError("silent", line) from None
        except (OSError, TypeError, ValueError) as why:
            raise self._gone(why) from None

    def drain(self) -> None:
        """Throws away what has come and was not read. Raises BoardError: gone."""
        try:
            if self._is_url:
                self._read_away()
            else:
                self._port.reset_input_buffer()
        except (OSError, TypeError, ValueError) as why:
            raise self._gone(why) from None

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        """Sets DTR and RTS. Raises BoardError: gone, or refused where the port has no such lines."""
        if self._is_url:
            raise BoardError("refused", f"{self._path} has no DTR and RTS lines: set reset to a command, or to none")
        try:
            self._port.dtr = dtr
            self._port.rts = rts
        except OSError as why:
            if why.errno in (errno.ENOTTY, errno.EINVAL):
                line = f"{self._path} has no DTR and RTS lines: set reset to a command, or to none"
                raise BoardError("refused", line) from None
            raise self._gone(why) from None

    def close(self) -> None:
        """Lets go of the port; may be called more than once."""
        # pyserial forgets a socket whose other end is gone without closing it.
        line = getattr(self._port, "_socket", None)
        with contextlib.suppress(OSError):
            self._port.close()
        if line is not None:
            line.close()

    def _read_away(self) -> None:
        """Bounded, which pyserial's own is not: at the other end of a socket may be one that never stops."""
        for _ in range(MAX_DRAINED_BYTES // READ_BYTES):
            if not self._port.read(READ_BYTES):
                return

    def _gone(self, why: Exception) -> BoardError:
        return BoardError("gone", f"{self._path} went away: {_plain(why)}; is the cable in?")


def _cannot_open(path: str, baud: int, why: Exception) -> BoardError:
    number = getattr(why, "errno", None)
    # pyserial wraps the lock's error and keeps its number only in the text.
    if number in _BUSY or "exclusively lock" in str(why):
        return BoardError("busy", f"{path} is in use by another program")
    if number in _GONE:
        return BoardError("gone", f"there is no port {path}: is the board plugged in?")
    if number in _DENIED:
        return BoardError("refused", f"no permission to open {path}: join the group that owns it (often dialout)")
    return BoardError("refused", f"cannot open {path} at {baud} baud: {_plain(why)}")


def _plain(why: Exception) -> str:
    number = getattr(why, "errno", None)
    return os.strerror(number) if number else " ".join(str(why).split())[:160] or type(why).__name__
