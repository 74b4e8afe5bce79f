"""What keeps jobs over a restart. A keeper is one file behind `load`, `keep` and `result`."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from tinyprof_collector.jobs.entry import KeptJob


class JobStoreFailed(Exception):
    """Jobs could not be kept: no client may be told that its job is. The message says why in a line."""


class PartitionsTaken(JobStoreFailed):
    """Other collectors serve partitions of what was to be kept; nothing of it is kept, theirs is not ours to change."""

    def __init__(self, partitions: Collection[int]) -> None:
        super().__init__("another collector serves its partition now; it is asked next")
        self.partitions = frozenset(partitions)


@dataclass(slots=True)
class JobChanges:
    """What has changed since it was kept last."""

    jobs: list[KeptJob] = field(default_factory=list)
    gone: list[bytes] = field(default_factory=list)
    """Ids of jobs that are forgotten."""
    results: list[tuple[bytes, bytes]] = field(default_factory=list)
    """The records of results, packed, by the id of their run."""
    results_gone: list[bytes] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.jobs or self.gone or self.results or self.results_gone)


class JobStore(Protocol):
    """Keeps jobs and their results. One thread at a time."""

    def load(self) -> list[KeptJob]:
        """All that was kept, as it was asked for. Raises JobStoreFailed."""

    def keep(self, changes: JobChanges) -> None:
        """Keeps all or nothing, and returns once it would survive a loss of power. Raises JobStoreFailed.

        Raises PartitionsTaken where others serve what is to be kept.
        """

    def result(self, run_id: bytes) -> bytes | None:
        """The packed record of a run's result; None where none is kept. Raises JobStoreFailed."""

    def taken(self) -> Collection[int]:
        """Partitions that another collector serves now, as far as is known; asks nobody."""

    def close(self) -> None:
        """Lets go of what is held."""
