"""The jobs that wait for one board: by priority, then by the order they came; bounded."""

from dataclasses import dataclass

from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import Job

MAX_WAITING_JOBS = 64


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job and which attempt at it this is."""

    job: Job
    attempt: int = 1


class JobQueue:
    """At most `at_most` jobs. Not for several threads at once: its owner has the lock."""

    def __init__(self, at_most: int = MAX_WAITING_JOBS) -> None:
        self._at_most = at_most
        self._jobs: dict[bytes, QueuedJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._jobs

    def is_full(self) -> bool:
        """Whether no further job fits."""
        return len(self._jobs) >= self._at_most

    def put(self, queued: QueuedJob) -> None:
        """Adds a job; one that waits already stays where it is. Raises OverflowError when full."""
        if queued.job.id not in self._jobs and self.is_full():
            raise OverflowError(f"{some(len(self._jobs), 'job')} in the queue already")
        self._jobs.setdefault(queued.job.id, queued)

    def take(self) -> QueuedJob | None:
        """Removes the next job: of the highest priority, the one that came first."""
        if not self._jobs:
            return None
        chosen = max(self._jobs.values(), key=lambda queued: queued.job.priority)
        return self._jobs.pop(chosen.job.id)

    def waiting(self) -> list[QueuedJob]:
        """The jobs that wait, in the order they came."""
        return list(self._jobs.values())

    def remove(self, job_id: bytes) -> QueuedJob | None:
        """Removes a job by its id; None if it does not wait here."""
        return self._jobs.pop(job_id, None)
