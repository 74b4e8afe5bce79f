"""Asks collectors for what an open screen shows, and says so in events."""

from collections.abc import Sequence
from typing import Final

from tinyprof_dashboard.events import Event, JobsAsked, JobsCame, LedgerAsked, LedgerCame, Source
from tinyprof_dashboard.snapshot import Snapshot
from tinyprof_protocol.jobs import JobsRequest
from tinyprof_protocol.requests import LedgerRequest

NO_CONNECTION: Final = "there is no connection to the broker"
MAX_JOBS: Final = 200
"""Of each collector: those that are open first."""


def live_collectors(snapshot: Snapshot) -> list[str]:
    """The collectors that can be asked."""
    return [name for name, heard in sorted(snapshot.collectors.items()) if heard.alive]


def ask_ledgers(source: Source, collectors: Sequence[str]) -> list[Event]:
    """Asks each of them; the events that say what was asked, and of whom that was not possible."""
    request = LedgerRequest(settled_as_one=True)
    unsent = [name for name in collectors if not source.ask_ledger(name, request)]
    return [LedgerAsked(tuple(collectors)), *(LedgerCame(name, None, NO_CONNECTION) for name in unsent)]


def ask_jobs(source: Source, collectors: Sequence[str]) -> list[Event]:
    """Asks each of them for its jobs, in the same way."""
    request = JobsRequest("list", limit=MAX_JOBS)
    unsent = [name for name in collectors if not source.ask_jobs(name, request)]
    return [JobsAsked(tuple(collectors)), *(JobsCame(name, None, NO_CONNECTION) for name in unsent)]
