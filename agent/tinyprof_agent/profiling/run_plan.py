"""What a run is given and what it gives: its plan, its surroundings, its steps and its outcome."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from tinyprof_agent.conditions import HostState
from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.model_files import shipped_shape
from tinyprof_agent.profiling.bound import ShapeOf
from tinyprof_agent.profiling.golden_check import GoldenCases
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.records import Result


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What to run, and for whom."""

    run_id: bytes
    board: str
    suite_name: str
    suite: Suite
    job_id: bytes | None = None
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """Where a run is. `text` is what the board said last."""

    stage: str
    repetition: int = 0
    repetitions: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs beside its board. `clock_ns` is the host's monotonic clock.

    `read_host` is None where the board measures another machine than this one. `turn` is held while an emulated board
    works, one generation at a time: others who share its processor come in between.
    """

    clock_ns: Callable[[], int]
    cases: GoldenCases
    read_host: Callable[[], HostState] | None = None
    on_step: Callable[[Step], None] = lambda _: None
    turn: Callable[[], AbstractContextManager[None]] = nullcontext
    shape_of: ShapeOf = shipped_shape


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """A run's result, and the failure of the board that cut it short, if one did."""

    result: Result
    failure: BoardError | None
