"""A benchmark from its first run to its results: follows the runs, shows them, keeps the file up to date."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from tinyprof import __version__
from tinyprof.benchmarking.display import BoardLines, run_line
from tinyprof.benchmarking.machine import this_machine
from tinyprof.benchmarking.results_file import SCHEMA, VERSION, Agent, Results, iso, write_results
from tinyprof.benchmarking.running import Benchmark, BoardPlan, Ended, RunOne, why_incomplete
from tinyprof_platforms.suites import Suite

POLL_S: Final = 0.1
SAVE_EVERY_S: Final = 30.0
"""A file of what there is so far is written so often: a machine that goes down loses no more."""
CANCEL_WITHIN_S: Final = 20.0
CANCELLING: Final = "ends the runs under way (Ctrl-C again: does not wait for them)"


class Making:
    """The runs of some plans. `suites`: what is known here of them. `wall_ns` is wall time, `clock` only rises."""

    def __init__(
        self,
        plans: Sequence[BoardPlan],
        run_one: RunOne,
        suites: Mapping[str, Suite],
        agents: Sequence[Agent],
        wall_ns: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._suites, self._agents, self._wall_ns, self._clock = suites, agents, wall_ns, clock
        self._started_ns = wall_ns()
        self._cancelled = False
        self._ended: deque[str] = deque()
        self._benchmark = Benchmark(plans, run_one, wall_ns, self._on_ended)

    def follow(self, lines: BoardLines, output: Path, say: Callable[[str], None]) -> bool:
        """Makes all runs, or until an interrupt; whether it was interrupted.

        On a terminal the boards have a line each; elsewhere each run that ends is said.
        """
        self._benchmark.start()
        try:
            self._until_done(lines, output, say)
        except KeyboardInterrupt:
            self._cancel(lines, say)
        finally:
            lines.clear()
            self._say_ended(lines, say)
        return self._cancelled

    def results(self) -> Results:
        """What there is, marked incomplete where a run is missing."""
        boards = self._benchmark.results()
        why = why_incomplete(boards, cancelled=self._cancelled)
        return Results(
            schema=SCHEMA,
            version=VERSION,
            tinyprof=__version__,
            started=iso(self._started_ns),
            ended=iso(self._wall_ns()),
            complete=not why,
            why=why,
            machine=this_machine(),
            suites={name: msgspec.to_builtins(suite) for name, suite in self._suites.items()},
            agents=list(self._agents),
            boards=boards,
        )

    def _until_done(self, lines: BoardLines, output: Path, say: Callable[[str], None]) -> None:
        saved_s = self._clock()
        while not self._benchmark.wait(POLL_S):
            self._say_ended(lines, say)
            lines.draw(self._benchmark.progress())
            if self._clock() - saved_s > SAVE_EVERY_S:
                saved_s = self._clock()
                with suppress(OSError):  # the last one is not suppressed
                    write_results(output, self.results())

    def _cancel(self, lines: BoardLines, say: Callable[[str], None]) -> None:
        self._cancelled = True
        self._benchmark.cancel()
        if not lines.live:
            say(CANCELLING)
        until_s = self._clock() + CANCEL_WITHIN_S
        try:
            while not self._benchmark.wait(POLL_S) and self._clock() < until_s:
                lines.draw(self._benchmark.progress(), note=CANCELLING)
        except KeyboardInterrupt:
            return

    def _on_ended(self, plan: BoardPlan, run: int, ended: Ended) -> None:
        self._ended.append(run_line(plan, run, ended))

    def _say_ended(self, lines: BoardLines, say: Callable[[str], None]) -> None:
        """Says the runs that have ended since, where no line in place shows them."""
        while self._ended:
            line = self._ended.popleft()
            if not lines.live:
                say(line)
