"""What keeps jobs over a restart. A keeper is one file behind `load`, `keep` and `result`."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Protocol, runtime_checkable

from msgspec import Meta, Struct

from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_protocol.bounds import Id16, TimeNs
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.names import NodeName

MAX_OFFERED_JOBS: Final = 64
"""Jobs that share a run which is offered; one that more share stays where it is."""


class JobStoreFailed(Exception):
    """Jobs could not be kept: no client may be told that its job is. The message says why in a line."""


class TakenByOthers(JobStoreFailed):
    """Other collectors have some of what was to be kept; nothing of it is kept, theirs is not ours to change.

    All jobs in `partitions` are theirs, and `jobs`, each with the board that it was taken for where that is known.
    """

    def __init__(self, partitions: Collection[int], jobs: Mapping[bytes, BoardKey | None]) -> None:
        super().__init__("another collector serves its partition now; it is asked next")
        self.partitions = frozenset(partitions)
        self.jobs = jobs


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

        Raises TakenByOthers where others serve or have what is to be kept.
        """

    def result(self, run_id: bytes) -> bytes | None:
        """The packed record of a run's result; None where none is kept. Raises JobStoreFailed."""

    def taken(self) -> TakenByOthers | None:
        """What other collectors serve now, as far as is known; asks nobody."""

    def close(self) -> None:
        """Lets go of what is held."""


class Offer(Struct, frozen=True):
    """A run that waits at its collector for any board of a kind, and that others may take with all its jobs."""

    run_id: Id16
    where: Where
    priority: Annotated[int, Meta(ge=-100, le=100)]
    deadline_ns: TimeNs
    jobs: Annotated[dict[Id16, NodeName], Meta(min_length=1, max_length=MAX_OFFERED_JOBS)]
    """Its jobs, each with the node that it is kept by."""


@runtime_checkable
class SharedJobStore(JobStore, Protocol):
    """Keeps the jobs of several collectors, who may take runs from each other while those wait for any board."""

    def offers(self, now_ns: int) -> dict[bytes, Offer]:
        """All that is offered, by the runs' ids. May be called from any thread. Raises JobStoreFailed."""

    def offer(self, wanted: Iterable[Offer], there: Collection[bytes]) -> None:
        """Offers runs that are not `there`; an offer ends when a job of the run is kept otherwise.

        Raises JobStoreFailed, and TakenByOthers for those of them that were taken.
        """

    def take(self, offer: Offer, board: BoardKey) -> list[KeptJob]:
        """Takes all jobs of a run for a board of ours, which they name from then on; empty where others were sooner.

        Raises JobStoreFailed, and TakenByOthers where the board is not ours any more.
        """

    def taken_unheard(self) -> list[KeptJob]:
        """Jobs that were taken after all though the answer was lost. Raises JobStoreFailed."""

    def board_of(self, job_id: bytes) -> BoardKey | None:
        """The board that a job of any board's is with, whoever has it. Raises JobStoreFailed."""

    def find(self, job_id: bytes, node: str) -> list[KeptJob]:
        """The job of that id if it is kept by that node, which is ours. Raises JobStoreFailed."""
