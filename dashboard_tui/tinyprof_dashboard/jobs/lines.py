"""The jobs as their table lists them: pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.events import Key
from tinyprof_dashboard.runs import FRESH_S
from tinyprof_dashboard.snapshot import ProgressAt, Snapshot
from tinyprof_protocol.job_states import ENDED, JobState
from tinyprof_protocol.jobs import JobView, Where

ORDER: Final[Mapping[JobState, int]] = {
    "started": 0, "accepted": 1, "queued": 2, "refused": 3, "interrupted": 4, "expired": 5, "cancelled": 6,
    "finished": 7,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job, whose it is, and how far its run is if that is known now."""

    key: bytes
    view: JobView
    collector: str
    progress: ProgressAt | None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.view.state not in ENDED

    @property
    def place(self) -> Key:
        """The board that it is with, or is to be with."""
        return (self.view.job.node, self.view.job.board)


def job_lines(snapshot: Snapshot, now_ns: int, *, open_only: bool = False) -> list[JobLine]:
    """Every job that was told of: what runs first, then what waits, then what has ended, newest first."""
    lines = [
        JobLine(view.job.id, view, name, _progress(snapshot, view, now_ns))
        for name, part in snapshot.jobs.items()
        if part.reply is not None
        for view in part.reply.jobs
    ]
    shown = [line for line in lines if line.open or not open_only]
    return sorted(shown, key=_order)


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """How many of the jobs that are shown run, are with their agent, and wait. `more`: others are not shown."""

    running: int
    accepted: int
    queued: int
    more: bool


def open_counts(snapshot: Snapshot, lines: Iterable[JobLine]) -> OpenCounts | None:
    """The counts of these lines, all of them; None before anybody has answered."""
    replies = [part.reply for part in snapshot.jobs.values() if part.reply is not None]
    if not replies:
        return None
    states = Counter(line.view.state for line in lines)
    cut_off = any(len(one.jobs) < one.total and (not one.jobs or one.jobs[-1].state not in ENDED) for one in replies)
    return OpenCounts(states["started"], states["accepted"], states["queued"], cut_off)


def _order(line: JobLine) -> tuple[int, int, int]:
    view = line.view
    if line.open:
        return (ORDER[view.state], view.ahead, view.asked_ns)
    return (len(ORDER), 0, -(view.ended_ns or 0))


def _progress(snapshot: Snapshot, view: JobView, now_ns: int) -> ProgressAt | None:
    found = snapshot.progress.get((view.job.node, view.job.board))
    if found is None or view.state in ENDED or now_ns - found.at_ns > FRESH_S * SECOND_NS:
        return None
    return found if found.progress.job_id in (view.job.id, view.joined) else None


def where_text(where: Where | None) -> str:
    """`any of platform rp2040, site berlin`; empty for a job that names its board."""
    if where is None:
        return ""
    given = ((name, getattr(where, name)) for name in where.__struct_fields__)
    return "any of " + (", ".join(f"{name} {value}" for name, value in given if value is not None) or "all")
