"""The state directory and the spool in it, looked at without touching what a running agent holds."""

import contextlib
import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tinyprof_agent.doctor.findings import Finding
from tinyprof_agent.spool.schema import VERSION
from tinyprof_protocol.counts_text import some

SPOOL = "spool.db"


def holder_of(spool: Path) -> str | None:
    """The process that holds the spool, as it says itself; None where none does."""
    try:
        file = os.open(spool.with_name(spool.name + ".lock"), os.O_RDONLY)
    except OSError:
        return None
    try:
        # Shared, for an instant: an agent that runs has it alone, so that this fails and changes nothing for it.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return os.read(file, 32).decode("ascii", "replace").strip() or "unknown"
    finally:
        os.close(file)
    return None


def check_folder(folder: Path) -> Finding:
    """Whether files can be made in the state directory; one that is not there yet is only looked for."""
    what = "state directory"
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if existing != folder:
        if os.access(existing, os.W_OK | os.X_OK):
            return Finding(what, "ok", f"{folder} is made when the agent starts")
        return Finding(what, "failed", f"{folder} cannot be made: nothing can be written to {existing}; set state_dir")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as why:
        return Finding(what, "failed", f"{folder}: {why.strerror or why}; make it the agent's own, or set state_dir")
    room = os.statvfs(folder)
    return Finding(what, "ok", f"{folder} can be written to, {room.f_bavail * room.f_frsize >> 20:,} MiB free")


def check_spool(spool: Path, cap_bytes: int, holder: str | None) -> Finding:
    """What is in the spool, by a read that changes nothing."""
    if holder is not None:
        return Finding("spool", "skipped", f"process {holder} holds it: an agent runs, and is left alone")
    if not spool.exists():
        return Finding("spool", "ok", f"{spool} is made when the agent starts")
    try:
        with _read_only(spool) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                return Finding("spool", "failed" if version > VERSION else "warning",
                               f"{spool} has version {version}, this tinyprof knows {VERSION}")  # fmt: skip
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            records, size = connection.execute("SELECT COUNT(*), TOTAL(LENGTH(body)) FROM records").fetchone()
    except sqlite3.Error as why:
        return Finding(
            "spool", "failed", f"{spool} cannot be read: {why}; the agent sets a broken one aside and goes on"
        )
    if whole != "ok":
        return Finding(
            "spool", "failed", f"{spool} is not whole: {whole}; the agent sets it aside and carries over what it can"
        )
    full = 100 * size / cap_bytes
    line = f"{spool} holds {some(records, 'record')}, {full:.0f}% of its {cap_bytes >> 20:,} MiB"
    return Finding("spool", "warning" if full > 80 else "ok", line + ("; is a collector there?" if full > 80 else ""))


@contextlib.contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2.0)
    try:
        yield connection
    finally:
        connection.close()
