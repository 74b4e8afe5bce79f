"""What a board's worker does next, and when its next run or sample is due. Pure; seconds on a monotonic clock.

Due times lie on a grid that starts at a random place, so that boards of one agent do not all begin together. A slot
that passes while a run lasts is skipped: nothing piles up.
"""

import math
from dataclasses import dataclass
from random import Random
from typing import Literal

MAX_SPREAD_S = 5.0

Task = Literal["open", "job", "run", "sample", "wait"]


@dataclass(frozen=True, slots=True)
class Timetable:
    """Due every `every_s` seconds, next at `due_s`; never with `every_s` zero."""

    every_s: float
    due_s: float

    def is_due(self, now_s: float) -> bool:
        """Whether it is time."""
        return now_s >= self.due_s

    def after(self, now_s: float) -> "Timetable":
        """The timetable once what was due has been done: the first place on the grid that is still to come."""
        if not math.isfinite(self.due_s) or now_s < self.due_s:
            return self
        steps = math.floor((now_s - self.due_s) / self.every_s) + 1
        return Timetable(self.every_s, self.due_s + steps * self.every_s)


def timetable(every_s: float, now_s: float, rng: Random) -> Timetable:
    """A timetable from `now_s` on: first due within a quarter of the interval, at most 5 s from now."""
    if every_s <= 0:
        return Timetable(0.0, math.inf)
    return Timetable(every_s, now_s + rng.uniform(0, min(every_s / 4, MAX_SPREAD_S)))


def next_task(*, connected: bool, may_try: bool, job_waits: bool, run_due: bool, sample_due: bool) -> Task:
    """What a board's worker does now: open the board first, then jobs, then its schedule, then samples."""
    if not may_try:
        return "wait"
    if not connected:
        return "open"
    if job_waits:
        return "job"
    if run_due:
        return "run"
    return "sample" if sample_due else "wait"
