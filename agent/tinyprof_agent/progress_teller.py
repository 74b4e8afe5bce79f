"""How far a board's run is, told no more often than does not disturb what is measured."""

from collections.abc import Callable
from typing import Final

from tinyprof_agent.profiling.run import Step
from tinyprof_protocol.jobs import Progress

PROGRESS_EVERY_NS: Final = 250_000_000
"""A stage's steps are told no more often: publishing them would disturb what is measured."""


class ProgressTeller:
    """Tells each new stage at once, and of a stage's steps four a second at most. For one thread."""

    def __init__(
        self, node: str, board: str, on_progress: Callable[[Progress], None], clock_ns: Callable[[], int]
    ) -> None:
        self._node = node
        self._board = board
        self._on_progress = on_progress
        self._clock_ns = clock_ns
        self._told = ("", 0)

    def tell(self, step: Step, job_id: bytes | None, run_id: bytes) -> None:
        """A run has come to a step."""
        (stage, told_ns), now_ns = self._told, self._clock_ns()
        if step.stage == stage and now_ns - told_ns < PROGRESS_EVERY_NS:
            return
        self._told = (step.stage, now_ns)
        self._on_progress(
            Progress(
                node=self._node,
                board=self._board,
                stage=step.stage,
                job_id=job_id,
                run_id=run_id,
                repetition=step.repetition,
                repetitions=step.repetitions,
                text=step.text,
            )
        )
