"""Whether a job can be carried: told before it is sent, in words, and not by who cannot read it."""

from tinyprof.fleet_errors import FleetError
from tinyprof_protocol.jobs import Job

MAX_PROMPTS, MAX_PROMPT, MAX_WORD, MAX_PRIORITY = 64, 4096, 64, 100
"""The bounds of a `Job`: prompts, characters of each, of a suite's name, and how far a priority is from 0."""


def check_job(job: Job) -> Job:
    """The job as it came. Raises FleetError for the first bound that it is over."""
    if len(job.prompts) > MAX_PROMPTS:
        raise FleetError(f"{len(job.prompts)} prompts are too many for one job: at most {MAX_PROMPTS}")
    for number, prompt in enumerate(job.prompts, 1):
        if len(prompt) > MAX_PROMPT:
            raise FleetError(f"prompt {number} has {len(prompt):,} characters: at most {MAX_PROMPT:,}")
    if len(job.suite) > MAX_WORD:
        raise FleetError(f"the suite's name has {len(job.suite):,} characters: at most {MAX_WORD}")
    if abs(job.priority) > MAX_PRIORITY:
        raise FleetError(f"priority {job.priority} is out of range: from -{MAX_PRIORITY} to {MAX_PRIORITY}")
    return job
