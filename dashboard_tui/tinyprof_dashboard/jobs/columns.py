"""The columns of the jobs' table, one entry each."""

from typing import Final

from tinyprof_dashboard import numerals
from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.columns import Column, Moment, Piece
from tinyprof_dashboard.jobs.lines import ORDER, JobLine, where_text
from tinyprof_dashboard.palette import Role
from tinyprof_protocol.job_states import JobState

STATES: Final[dict[JobState, tuple[str, Role]]] = {
    "started": ("▶ running", "accent"),
    "accepted": ("▷ accepted", "accent"),
    "queued": ("… queued", "text"),
    "finished": ("✓ finished", "healthy"),
    "refused": ("✗ refused", "critical"),
    "interrupted": ("≈ broken off", "warning"),
    "expired": ("◌ expired", "stale"),
    "cancelled": ("○ cancelled", "offline"),
}


def age_s(line: JobLine, moment: Moment) -> float | None:
    """Seconds since it was asked for, by the collector's clock."""
    return _since_s(line.view.asked_ns or None, moment)


def _since_s(time_ns: int | None, moment: Moment) -> float | None:
    return None if time_ns is None else max(0.0, (moment.now_ns - moment.snapshot.skew_ns - time_ns) / SECOND_NS)


def took_s(line: JobLine, moment: Moment) -> float | None:
    """Seconds from its start to its end, or to now while it runs."""
    view = line.view
    if view.started_ns is None:
        return None
    if view.ended_ns is not None:
        return max(0.0, (view.ended_ns - view.started_ns) / SECOND_NS)
    return _since_s(view.started_ns, moment) if line.open else None


def stage_text(line: JobLine) -> str:
    """Where its run is: `timed 2/6`; else how many go before it, or what its collector says of it."""
    if line.progress is not None:
        progress = line.progress.progress
        count = f" {progress.repetition}/{progress.repetitions}" if progress.repetitions else ""
        return numerals.printable(progress.stage) + count
    if line.view.joined is not None and line.open:
        return "joined to an equal one"
    if line.view.state == "queued" and line.view.ahead:
        return f"{numerals.some(line.view.ahead, 'job')} before it"
    return numerals.printable(line.view.message)


def _state(line: JobLine, _moment: Moment) -> Piece:
    return Piece(*STATES[line.view.state])


def _board(line: JobLine, _moment: Moment) -> Piece:
    if line.view.state == "queued" and line.view.where is not None:
        return Piece(where_text(line.view.where), "text")
    return Piece("/".join(line.place), "strong" if line.open else "text")


def _priority(line: JobLine, _moment: Moment) -> Piece:
    return Piece(f"{line.view.job.priority:+d}" if line.view.job.priority else "0",
                 "text" if line.view.job.priority else "faint")  # fmt: skip


def _age(line: JobLine, moment: Moment) -> Piece:
    return Piece(numerals.age(age_s(line, moment)), "text" if line.open else "dim")


def _took(line: JobLine, moment: Moment) -> Piece:
    return Piece(numerals.age(took_s(line, moment)), "dim")


JOB_COLUMNS: Final[tuple[Column[JobLine], ...]] = (
    Column("state", "state", 12, 1, _state, lambda line, _: ORDER[line.view.state], "How it is with the job."),
    Column("board", "board", 24, 1, _board, lambda line, _: "/".join(line.place),
           "The board that runs it, or those that may.", grows_to=40),
    Column("suite", "suite", 10, 4, lambda line, _: Piece(numerals.printable(line.view.job.suite), "dim"),
           lambda line, _: line.view.job.suite, "What it asks for."),
    Column("priority", "prio", 4, 2, _priority, lambda line, _: line.view.job.priority,
           "Its priority; the greatest goes first.", right=True),
    Column("client", "client", 8, 5, lambda line, _: Piece(line.view.client[:8] or numerals.NOTHING, "dim"),
           lambda line, _: line.view.client, "Who asked for it: the first digits of the client's own number."),
    Column("age", "age", 4, 1, _age, age_s, "Time since it was asked for.", right=True),
    Column("took", "took", 4, 3, _took, took_s, "How long its run takes or took.", right=True),
    Column("stage", "stage", 18, 2, lambda line, _: Piece(stage_text(line), "accent" if line.progress else "dim"),
           lambda line, _: stage_text(line), "Where its run is, as the agent tells it; else what is said of it.",
           grows_to=60),
)  # fmt: skip
