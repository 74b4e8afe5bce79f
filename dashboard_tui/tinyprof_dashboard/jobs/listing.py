"""The jobs as plain text and as JSON, for scripts and for terminals that are none."""

from typing import Any

from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.jobs.columns import JOB_COLUMNS, age_s, stage_text, took_s
from tinyprof_dashboard.jobs.lines import JobLine, job_lines, open_counts
from tinyprof_dashboard.jobs.tallies import tallies
from tinyprof_dashboard.jobs.words import tally_lines
from tinyprof_dashboard.plain_columns import plain_columns

_WIDE = 10_000


def plain_jobs(moment: Moment) -> str:
    """The sums, and every job in a line: what runs, what waits, what has ended."""
    snapshot = moment.snapshot
    lines = job_lines(snapshot, moment.now_ns)
    told = tally_lines(open_counts(snapshot, lines), tallies(snapshot), snapshot, _WIDE)
    table = plain_columns(JOB_COLUMNS, lines, moment) if lines else ["no client has asked for a run"]
    return "\n".join([*(line.plain for line in told), "", *table])


def jobs_json(moment: Moment) -> list[dict[str, Any]]:
    """The key `jobs_listed` that docs/dashboard.md describes."""
    return [_job(line, moment) for line in job_lines(moment.snapshot, moment.now_ns)]


def _job(line: JobLine, moment: Moment) -> dict[str, Any]:
    view = line.view
    return {
        "id": view.job.id.hex(), "node": view.job.node, "board": view.job.board, "state": view.state,
        "suite": view.job.suite, "priority": view.job.priority, "client": view.client, "collector": line.collector,
        "joined": view.joined.hex() if view.joined is not None else None, "ahead": view.ahead,
        "age_s": age_s(line, moment), "took_s": took_s(line, moment), "stage": stage_text(line),
    }  # fmt: skip
