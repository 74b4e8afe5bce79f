"""States of a job, and the names of the `Event` records by which its agent tells them (`job_id` is set in each)."""

from typing import Final, Literal

JobState = Literal["queued", "accepted", "refused", "started", "finished", "interrupted", "cancelled", "expired"]

JOB_ACCEPTED: Final = "job_accepted"
JOB_REFUSED: Final = "job_refused"
JOB_STARTED: Final = "job_started"
JOB_FINISHED: Final = "job_finished"
JOB_INTERRUPTED: Final = "job_interrupted"
JOB_CANCELLED: Final = "job_cancelled"

STATE_OF_EVENT: Final[dict[str, JobState]] = {
    JOB_ACCEPTED: "accepted",
    JOB_REFUSED: "refused",
    JOB_STARTED: "started",
    JOB_FINISHED: "finished",
    JOB_INTERRUPTED: "interrupted",
    JOB_CANCELLED: "cancelled",
}

ENDED: Final[frozenset[JobState]] = frozenset({"refused", "finished", "interrupted", "cancelled", "expired"})
"""A job in one of these states is over: it is neither sent nor run again."""
