"""Whether a job can be carried and run: told before it is sent, in words, and not by who cannot read it."""

from tinyprof.fleet_errors import BadArgument, check_range
from tinyprof_platforms.suites import MAX_REPETITIONS, MAX_TOKENS
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import Job

MAX_PROMPTS, MAX_PROMPT, MAX_WORD, MAX_PRIORITY = 64, 4096, 64, 100
"""The bounds of a `Job`: prompts, characters of each, of a suite's name, and how far a priority is from 0."""
MAX_TIME_S = 1_000_000_000
"""Bound of a time that is given in seconds."""


def check_job(job: Job) -> Job:
    """The job as it came. Raises BadArgument for the first bound that it is over."""
    if len(job.prompts) > MAX_PROMPTS:
        raise BadArgument(f"{len(job.prompts)} prompts are too many for one job: at most {MAX_PROMPTS}")
    for number, prompt in enumerate(job.prompts, 1):
        if len(prompt) > MAX_PROMPT:
            raise BadArgument(f"prompt {number} has {some(len(prompt), 'character')}: at most {MAX_PROMPT:,}")
    if len(job.suite) > MAX_WORD:
        raise BadArgument(f"the suite's name has {some(len(job.suite), 'character')}: at most {MAX_WORD}")
    check_range("max_tokens", job.max_tokens, 1, MAX_TOKENS)
    check_range("repetitions", job.repetitions, 1, MAX_REPETITIONS)
    check_range("priority", job.priority, -MAX_PRIORITY, MAX_PRIORITY)
    return job


def check_times(within_s: float, max_age_s: float | None) -> None:
    """Nothing where both, in seconds, can be kept. Raises BadArgument."""
    check_range("within_s", within_s, 0, MAX_TIME_S)
    check_range("max_age_s", max_age_s, 0, MAX_TIME_S)
