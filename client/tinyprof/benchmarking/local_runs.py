"""Runs of a benchmark on a board of this machine, without a broker."""

import threading
from dataclasses import dataclass

from tinyprof.benchmarking.running import BoardPlan, Ended, Say
from tinyprof.local_profile import profile_here
from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.drivers.driver import BoardError
from tinyprof_platforms.suites import Suite


@dataclass(frozen=True, slots=True)
class LocalRuns:
    """Makes runs of a suite on one board."""

    board: BoardConfig
    suite: Suite

    def __call__(self, plan: BoardPlan, say: Say, cancelled: threading.Event) -> Ended:
        """One run; `cancelled` stops it between tokens. Raises BadBoard for options of no use."""
        try:
            outcome = profile_here(
                self.board,
                plan.suite,
                self.suite,
                lambda step: say(step.stage, step.repetition, step.repetitions),
                cancelled,
            )
        except KeyboardInterrupt:
            return Ended("cancelled", "interrupted")
        except BoardError as why:
            return Ended("failed", " ".join(str(why).split()))
        return Ended("finished", result=outcome.result)
