"""What every board's worker shares with the agent around it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal, Protocol, cast

from tinyprof_agent.breaker import BreakerPolicy
from tinyprof_agent.conditions import HostState, read_host
from tinyprof_agent.model_files import shipped_shape
from tinyprof_agent.profiling.bound import ShapeOf
from tinyprof_agent.profiling.golden_check import GoldenCases
from tinyprof_models.golden import Activations, KvCache, shipped_golden
from tinyprof_protocol.jobs import Job, Progress
from tinyprof_protocol.records import Body, Build, Result

JobState = Literal["accepted", "refused", "started", "finished", "interrupted", "cancelled"]
OnJob = Callable[[JobState, Job, str, Result | None], None]


class Recorder(Protocol):
    """Where records go."""

    def record(self, bodies: Sequence[Body], *, durable: bool = True) -> None:
        """Returns once the bodies are in the spool."""


def shipped_cases(build: Build) -> GoldenCases:
    """The golden outputs that ship for what a board runs, by prompt; none for a model of one's own."""
    cases = shipped_golden().cases(
        build.model_sha256, cast("Activations", build.activations), cast("KvCache", build.kv_cache)
    )
    return {case.prompt: case for case in cases}


@dataclass(frozen=True, slots=True)
class WorkerSurroundings:
    """What every worker of an agent shares. `clock_ns` is monotonic; the callbacks come from the workers' threads.

    `on_job` is told a job's new state, and with `finished` its result: its owner records both in one transaction.
    `left_s` says how many seconds a job has until its deadline; below zero it is past.
    """

    node: str
    recorder: Recorder
    clock_ns: Callable[[], int]
    rng: Random
    new_run_id: Callable[[], bytes]
    on_job: OnJob
    on_progress: Callable[[Progress], None] = lambda _: None
    left_s: Callable[[Job], float] = lambda _: float("inf")
    read_host: Callable[[], HostState] = read_host
    cases_of: Callable[[Build], GoldenCases] = shipped_cases
    shape_of: ShapeOf = shipped_shape
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
