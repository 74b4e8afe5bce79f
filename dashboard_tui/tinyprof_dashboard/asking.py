"""Asks collectors for what an open screen shows, and says so in events."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from tinyprof_dashboard.events import Asked, Came, Event, Parts, Source
from tinyprof_dashboard.snapshot import Snapshot
from tinyprof_protocol.jobs import JobsRequest
from tinyprof_protocol.requests import LedgerRequest

ScreenName = Literal["fleet", "pipeline", "jobs"]
"""The screens that can be opened by their names."""
NO_CONNECTION: Final = "there is no connection to the broker"
MAX_JOBS: Final = 200
"""Of each collector: those that are open first."""
REQUESTS: Final[Mapping[Parts, LedgerRequest | JobsRequest]] = {
    "ledgers": LedgerRequest(settled_as_one=True),
    "jobs": JobsRequest("list", limit=MAX_JOBS),
}
PARTS_OF: Final[Mapping[ScreenName, Parts]] = {"pipeline": "ledgers", "jobs": "jobs"}
"""What a screen shows of collectors' answers."""


def live_collectors(snapshot: Snapshot) -> list[str]:
    """The collectors that can be asked."""
    return [name for name, heard in sorted(snapshot.collectors.items()) if heard.alive]


def ask_parts(source: Source, what: Parts, collectors: Sequence[str]) -> list[Event]:
    """Asks each of them; the events that say what was asked, and of whom that was not possible."""
    unsent = [name for name in collectors if not source.ask_part(what, name, REQUESTS[what])]
    return [Asked(what, tuple(collectors)), *(Came(what, name, None, NO_CONNECTION) for name in unsent)]


def waits_for_parts(snapshot: Snapshot, what: Parts) -> bool:
    """Whether a live collector was not asked for its part yet, or has not answered."""
    parts = snapshot.ledgers if what == "ledgers" else snapshot.jobs
    return any(name not in parts or parts[name].waiting for name in live_collectors(snapshot))
