"""Tells the service manager how the service is: systemd's protocol, sd_notify(3).

Datagrams to the socket that NOTIFY_SOCKET names; without it every call does nothing.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

DEFAULT_INTERVAL_S = 5.0
_SEND_TIMEOUT_S = 1.0


class ServiceNotify:
    """Where to say `READY=1`, `WATCHDOG=1` and `STOPPING=1`; `interval_s` is how often to say that all is well."""

    def __init__(self, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.interval_s = watchdog_interval_s(environment, os.getpid() if pid is None else pid)

    def ready(self, status: str) -> None:
        """The service is up."""
        self._send(f"READY=1\nSTATUS={status}")

    def alive(self) -> None:
        """The watchdog's clock starts anew."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is going down as it was told to."""
        self._send("STOPPING=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # "@" stands for the zero byte that begins an address in the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out,
        ):
            out.settimeout(_SEND_TIMEOUT_S)
            out.sendto(text.encode(), address)


def watchdog_interval_s(environment: Mapping[str, str], pid: int) -> float:
    """A third of the watchdog's time, or a few seconds where there is none for this process.

    WATCHDOG_USEC is the time; WATCHDOG_PID, where it is set, must be this process.
    """
    try:
        limit_s = int(environment.get("WATCHDOG_USEC", "0")) / 1e6
        meant = int(environment.get("WATCHDOG_PID", pid)) == pid
    except ValueError:
        return DEFAULT_INTERVAL_S
    return min(DEFAULT_INTERVAL_S, limit_s / 3) if meant and limit_s > 0 else DEFAULT_INTERVAL_S
