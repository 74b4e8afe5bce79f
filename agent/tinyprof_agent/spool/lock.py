"""One process holds a spool: a lock on a file beside it that ends with the process, however it ends."""

import contextlib
import fcntl
import os
from pathlib import Path

from tinyprof_agent.spool.rows import SpoolError


class SpoolLocked(SpoolError):
    """Another process holds the spool; the message names it."""


class SpoolLock:
    """Held from construction until `release`. Raises SpoolLocked, or SpoolError where the file cannot be made."""

    def __init__(self, spool: Path) -> None:
        path = spool.with_name(spool.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as why:
            raise SpoolError(f"cannot make {path}: {why.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise SpoolLocked(
                f"the spool {spool} is held by process {holder}: stop that agent, or give this one another state_dir"
            ) from None
        # The pid only names the holder in a message; on a full disk the lock holds without it.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets another process have the spool. May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
