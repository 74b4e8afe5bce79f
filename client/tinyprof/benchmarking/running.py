"""Makes the runs of a benchmark: boards side by side, the runs of a board one after the other.

`RunOne` makes one run; where it makes it (a fleet, this machine) is its own affair. What has been made so far can be
asked for at any moment, so that whoever stops in the middle keeps it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from tinyprof.benchmarking.results_file import BoardResults, RunFailed, RunMade, iso
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.records import Result

log = logging.getLogger(__name__)

AT_ONCE: Final = 64
"""So many boards are waited for at the same time; the others follow."""
GIVE_UP_AFTER: Final = 3
"""A board whose runs failed so often in a row is not asked again."""


@dataclass(frozen=True, slots=True)
class BoardPlan:
    """A board of a benchmark by its identity, and what is asked of it. `terms` go to whoever makes its runs."""

    board: str
    suite: str
    runs: int
    driver: str = ""
    labels: tuple[str, ...] = ()
    terms: object = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `recorded` says whose clock `recorded_ns` is of, as in a record."""

    state: str
    message: str = ""
    result: Result | None = None
    recorded_ns: int = 0
    recorded: str = "clock"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a board is."""

    board: str
    runs: int
    run: int = 0
    """The run under way; 0 before the first."""
    stage: str = "waits"
    repetition: int = 0
    repetitions: int = 0
    last: Result | None = None
    failed: int = 0
    done: bool = False


Say = Callable[[str, int, int], None]
"""Told where a run is: its stage, the repetition, and how many it makes at least."""


class RunOne(Protocol):
    """Makes one run. What a board or a fleet may cause it says in what it gives back."""

    def __call__(self, plan: BoardPlan, say: Say, cancelled: threading.Event) -> Ended:
        """A run that is cancelled ends soon."""
        ...


@dataclass(slots=True)
class _Board:
    plan: BoardPlan
    progress: Progress
    runs: list[RunMade] = field(default_factory=list)
    failures: list[RunFailed] = field(default_factory=list)


class Benchmark:
    """The runs under way. `on_ended` hears of each run that ended, from the thread of its board."""

    def __init__(
        self,
        plans: Sequence[BoardPlan],
        run_one: RunOne,
        wall_ns: Callable[[], int],
        on_ended: Callable[[BoardPlan, int, Ended], None] = lambda *_: None,
    ) -> None:
        self._boards = [_Board(plan, Progress(plan.board, plan.runs)) for plan in plans]
        self._run_one, self._wall_ns, self._on_ended = run_one, wall_ns, on_ended
        self._lock = threading.Lock()
        self._next = iter(self._boards)
        self._cancelled = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"benchmark-{number}", daemon=True)
            for number in range(min(AT_ONCE, len(self._boards)))
        ]

    def start(self) -> None:
        """Begins; returns at once."""
        for thread in self._threads:
            thread.start()

    def cancel(self) -> None:
        """Ends the runs under way and begins no other; may be called twice."""
        self._cancelled.set()

    def wait(self, seconds: float) -> bool:
        """Whether everything has ended, after so many seconds at most."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join(seconds)
                break
        return not any(thread.is_alive() for thread in self._threads)

    def progress(self) -> list[Progress]:
        """Where each board is, in their order."""
        with self._lock:
            return [board.progress for board in self._boards]

    def results(self) -> list[BoardResults]:
        """What there is of each board so far."""
        with self._lock:
            return [
                BoardResults(
                    one.plan.board, one.plan.suite, one.plan.runs, one.plan.driver, list(one.plan.labels),
                    list(one.runs), list(one.failures),
                )
                for one in self._boards
            ]  # fmt: skip

    def _work(self) -> None:
        while not self._cancelled.is_set():
            with self._lock:
                board = next(self._next, None)
            if board is None:
                return
            try:
                self._measure(board)
            finally:
                self._update(board, done=True)

    def _measure(self, board: _Board) -> None:
        plan, failed_in_a_row = board.plan, 0
        for run in range(1, plan.runs + 1):
            if self._cancelled.is_set() or failed_in_a_row >= GIVE_UP_AFTER:
                return
            self._update(board, run=run, stage="asks", repetition=0, repetitions=0)
            asked = iso(self._wall_ns())

            def say(stage: str, repetition: int, repetitions: int) -> None:
                self._update(board, stage=stage, repetition=repetition, repetitions=repetitions)

            try:
                ended = self._run_one(plan, say, self._cancelled)
            except Exception as why:
                log.debug("where it went wrong", exc_info=why)
                ended = Ended("failed", f"unexpected {type(why).__name__}: {' '.join(str(why).split())}")
            self._keep(board, run, asked, ended)
            failed_in_a_row = 0 if ended.result is not None else failed_in_a_row + 1
            self._on_ended(plan, run, ended)

    def _keep(self, board: _Board, run: int, asked: str, ended: Ended) -> None:
        now = iso(self._wall_ns())
        if ended.result is None:
            failure = RunFailed(run, ended.state[:64], ended.message[:300], asked, now)
            with self._lock:
                board.failures.append(failure)
            self._update(board, failed=len(board.failures))
            return
        made = RunMade(run, asked, now, ended.result, ended.recorded_ns, ended.recorded)
        with self._lock:
            board.runs.append(made)
        self._update(board, last=ended.result)

    def _update(self, board: _Board, **changes: object) -> None:
        with self._lock:
            board.progress = replace(board.progress, **changes)  # type: ignore[arg-type]


def why_incomplete(boards: Sequence[BoardResults], *, cancelled: bool) -> str:
    """Why not all that was asked for is there, in a line; empty where it is."""
    asked = sum(board.runs_asked for board in boards)
    made = sum(len(board.runs) for board in boards)
    if made >= asked:
        return ""
    if cancelled:
        return f"interrupted after {made} of {some(asked, 'run')}"
    failures = [(board.board, failure.why or failure.state) for board in boards for failure in board.failures]
    first = f": {failures[0][0]}: {failures[0][1]}" if failures else ""
    verb = "has" if asked == 1 else "have"
    return f"{asked - made} of {some(asked, 'run')} {verb} no result{first}"[:300]
