"""A board that does what its script says, a worker with it, and what that worker recorded and told."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.breaker import BreakerPolicy
from tinyprof_agent.conditions import HostState
from tinyprof_agent.drivers.driver import (
    BoardError,
    BoardInfo,
    Cancelled,
    Emulation,
    Generation,
    LinkCounters,
    OnText,
    RoundTrip,
)
from tinyprof_agent.worker import BoardWorker, WorkerSurroundings
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.jobs import Job, Progress
from tinyprof_protocol.records import Body, Build, Event, Result, Sample

BUILD = Build("rp2040", "c", "1", "m", "0" * 64, "Q8_0", "f32", "float32", 256, "device")
SUITES = {"quick": Suite(prompts=("One day",), max_tokens=3, min_repetitions=6, min_timed_s=0, warm_up=False)}
PATIENCE_S = 30
POLICY = BreakerPolicy(opens_after=3, retry_s=0.001, first_delay_s=0.002, max_delay_s=0.004)


@dataclass
class ScriptedBoard:
    """Does what its hooks say; a hook may raise, or wait."""

    on_open: Callable[[int], None] = lambda _: None
    on_generate: Callable[[int, threading.Event], None] = lambda _n, _c: None
    on_round_trip: Callable[[int], None] = lambda _: None
    build: Build = BUILD
    host_clock: bool = False
    emulation: Emulation | None = None
    opens: int = 0
    generations: int = 0
    trips: int = 0
    resets: int = 0
    closes: int = 0
    counters: LinkCounters = field(default_factory=LinkCounters)

    def open(self) -> BoardInfo:
        self.opens += 1
        self.on_open(self.opens)
        return BoardInfo(self.build, "", 10**9, self.host_clock, emulation=self.emulation)

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        self.generations += 1
        if cancelled.is_set():
            raise Cancelled
        self.on_generate(self.generations, cancelled)
        stamps = [10**6 * i for i in range(1, max_tokens + 1)]
        return Generation(0, stamps, list(range(max_tokens)), 3, b"said", "limit")

    def round_trip(self) -> RoundTrip:
        self.trips += 1
        self.on_round_trip(self.trips)
        now_ns = time.monotonic_ns()
        return RoundTrip(now_ns - 1000, now_ns, now_ns - 500)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closes += 1


class Diary:
    """What the worker recorded and told, in its order; `until` waits for something to be in it."""

    def __init__(self) -> None:
        self.bodies: list[Body] = []
        self.jobs: list[tuple[str, bytes, str, Result | None]] = []
        self.progress: list[Progress] = []
        self.full = False
        self._changed = threading.Condition()

    def record(self, bodies: Sequence[Body], *, durable: bool = True) -> None:
        if self.full:
            raise OSError("disk full")
        with self._changed:
            self.bodies += bodies
            self._changed.notify_all()

    def on_job(self, state: str, job: Job, message: str, result: Result | None) -> None:
        with self._changed:
            self.jobs.append((state, job.id, message, result))
            self._changed.notify_all()

    def on_progress(self, progress: Progress) -> None:
        with self._changed:
            self.progress.append(progress)
            self._changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE_S), (self.bodies, self.jobs)

    def events(self) -> list[str]:
        return [body.name for body in self.bodies if isinstance(body, Event)]

    def results(self) -> list[Result]:
        return [body for body in self.bodies if isinstance(body, Result)]

    def samples(self) -> list[Sample]:
        return [body for body in self.bodies if isinstance(body, Sample)]

    def states(self, job: Job) -> list[str]:
        return [state for state, job_id, _, _ in self.jobs if job_id == job.id]


@contextmanager
def working(
    board: ScriptedBoard,
    diary: Diary,
    lock: "threading.Lock | None" = None,
    expired: bool = False,
    left_s: Callable[[Job], float] | None = None,
    breaker: BreakerPolicy | None = None,
    clock_ns: Callable[[], int] = time.monotonic_ns,
    **config: Any,
) -> Iterator[BoardWorker]:
    run_ids = iter(range(1, 10**9))
    around = WorkerSurroundings(
        node="site.agent",
        recorder=diary,
        clock_ns=clock_ns,
        rng=Random(1),
        new_run_id=lambda: next(run_ids).to_bytes(16),
        on_job=diary.on_job,
        on_progress=diary.on_progress,
        left_s=(lambda _: 0.0 if expired else float("inf")) if left_s is None else left_s,
        read_host=HostState,
        cases_of=lambda _: {},
        breaker=breaker or POLICY,
    )
    settings = {"every_s": 0.0, "sample_every_s": 0.0} | config
    worker = BoardWorker(BoardConfig("b1", "probe", **settings), board, SUITES, lock or threading.Lock(), around)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop(0.0, PATIENCE_S)
        assert not worker._thread.is_alive()


def job(number: int = 1, **changes: Any) -> Job:
    return Job(**({"id": number.to_bytes(16), "node": "site.agent", "board": "b1", "deadline_ns": 0} | changes))


@contextmanager
def held_in_a_run(diary: Diary, **config: Any) -> Iterator[tuple[BoardWorker, ScriptedBoard, threading.Event]]:
    """A worker in the middle of job 1, until the event is set or the run cancelled."""
    entered, go_on = threading.Event(), threading.Event()

    def hold(_: int, cancelled: threading.Event) -> None:
        entered.set()
        deadline = time.monotonic() + PATIENCE_S
        while not go_on.is_set():
            if cancelled.wait(0.005):
                raise Cancelled
            assert time.monotonic() < deadline

    board = ScriptedBoard(on_generate=hold)
    with working(board, diary, **config) as worker:
        worker.submit(job(1))
        assert entered.wait(PATIENCE_S)
        yield worker, board, go_on


def fails(code: str, *, from_n: int = 1, until_n: int = 10**9) -> Callable[..., None]:
    def hook(n: int, *_: object) -> None:
        if from_n <= n < until_n:
            raise BoardError(code, "what to do")

    return hook
