"""One board's life: a thread that opens it, runs its schedule and its jobs one at a time, and samples in between."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from tinyprof_agent.board_session import KEEPS_BOARD, BoardSession
from tinyprof_agent.board_word import presence_of, vouched_for
from tinyprof_agent.boards import BoardConfig, suite_name_of
from tinyprof_agent.conditions import readings
from tinyprof_agent.drivers.driver import BoardError, BoardInfo, Cancelled, Driver, PausableDriver
from tinyprof_agent.job_queue import MAX_WAITING_JOBS, JobQueue, QueuedJob
from tinyprof_agent.processor import let_others, turn
from tinyprof_agent.profiling.run import RunPlan, Step, Surroundings, run
from tinyprof_agent.progress_teller import ProgressTeller
from tinyprof_agent.schedule import Task, Timetable, next_task, timetable
from tinyprof_agent.time_limit import RUN_ON_S, StopEvent, run_until_ns
from tinyprof_agent.worker_surroundings import JobState, OnJob, Recorder, WorkerSurroundings, shipped_cases
from tinyprof_platforms.suites import SuiteError, Suites, adapt, suite_named
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.presence import BoardPresence
from tinyprof_protocol.records import Body, Build, Result, Sample

_log = logging.getLogger(__name__)

__all__ = ["BoardWorker", "JobState", "OnJob", "Recorder", "WorkerSurroundings", "shipped_cases"]


class BoardWorker:
    """A board with its thread. `submit`, `cancel`, `presence` and `stop` may be called from any thread."""

    def __init__(
        self,
        config: BoardConfig,
        driver: Driver,
        suites: Suites,
        measuring_lock: threading.Lock,
        around: WorkerSurroundings,
    ) -> None:
        """Raises SuiteError where the board's configuration names a suite that there is not."""
        self._suite_name = suite_name_of(config)
        self._suite = suite_named(self._suite_name, suites)
        self._config, self._suites, self._around = config, suites, around
        self._driver = driver
        self._measuring_lock = measuring_lock
        if isinstance(driver, PausableDriver):
            driver.let_others = lambda: let_others(measuring_lock)
        self._session = BoardSession(
            config.name,
            driver,
            needs_run=config.every_s > 0,
            clock_ns=around.clock_ns,
            rng=around.rng,
            policy=around.breaker,
        )
        self._last_build: Build | None = None
        self._governor: str | None = None
        self._answered_s = float("-inf")
        self._wake = threading.Condition()
        self._submitting = threading.Lock()
        self._jobs = JobQueue()
        self._current: QueuedJob | None = None
        self._cancelled = StopEvent(around.clock_ns)
        self._stopping = False
        self._running = False
        self._teller = ProgressTeller(around.node, config.name, around.on_progress, around.clock_ns)
        now_s = around.clock_ns() / 1e9
        self._runs = timetable(config.every_s, now_s, around.rng)
        self._samples = timetable(config.sample_every_s, now_s, around.rng)
        self._thread = threading.Thread(target=self._live, name=f"board-{config.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread, unless the board is disabled."""
        if self._config.enabled:
            self._thread.start()

    def stop(self, finish_s: float, timeout: float) -> bool:
        """Lets a run end for `finish_s`, then ends it between tokens, lets go of the board, ends the thread.

        False if that takes over `timeout` s more. A job whose run was aborted is accepted still; it and those that wait
        are left to their owner.
        """
        with self._wake:
            self._stopping = True
            if self._current is None:
                self._cancelled.set()  # nobody waits for a run of the schedule
            self._wake.notify_all()
        if self._thread.ident is None:
            return True
        self._thread.join(finish_s)
        with self._wake:
            self._cancelled.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def alive(self) -> bool:
        """Whether the thread runs, or need not."""
        return self._thread.is_alive() or not self._config.enabled

    def submit(self, job: Job, attempt: int = 1) -> None:
        """Takes a job in, or refuses it; `on_job` is told which. A job that is held already changes nothing."""
        with self._submitting:
            with self._wake:
                if job.id in self._jobs or (self._current and self._current.job.id == job.id):
                    return
            why = self.refusal(job)
            self._tell("accepted" if why is None else "refused", job, why or "")
            if why is None:
                self.put(job, attempt)

    def put(self, job: Job, attempt: int = 1) -> None:
        """Takes in a job that was accepted: `refusal` had nothing against it, and that is recorded."""
        with self._wake:
            self._jobs.put(QueuedJob(job, attempt))
            self._wake.notify_all()

    def cancel(self, job_id: bytes) -> bool:
        """Cancels a job that waits or runs; False if it is not here."""
        with self._wake:
            queued = self._jobs.remove(job_id)
            running = self._current is not None and self._current.job.id == job_id
            if running:
                self._cancelled.set()
        if queued is not None:
            self._tell("cancelled", queued.job, "cancelled before it began")
        return running or queued is not None

    def presence(self) -> BoardPresence:
        """The board as it is now."""
        silent_s = 0.0 if self._running else self._around.clock_ns() / 1e9 - self._answered_s
        return presence_of(
            self._config,
            self._session,
            last_build=self._last_build,
            vouched=vouched_for(self._session.info, silent_s),
            governor=self._governor,
            running=self._running,
        )

    def refusal(self, job: Job, before: int = 0) -> str | None:
        """Why a job cannot be taken in after `before` others that are not here yet, in a line; None where it can."""
        with self._wake:
            full = len(self._jobs) + before >= MAX_WAITING_JOBS
        if not self._config.enabled:
            return f"board {self._config.name} is disabled"
        if full:
            return f"board {self._config.name} has {some(len(self._jobs), 'job')} waiting already"
        try:
            self._plan(QueuedJob(job), run_id=bytes(16))
        except SuiteError as why:
            return str(why)
        return None

    def _live(self) -> None:
        try:
            while (task := self._await_task()) is not None:
                if task != "wait":
                    self._do(task)
                self._drop_expired()
        finally:
            self._session.close()

    def _drop_expired(self) -> None:
        """Ends waiting jobs that are too late, so that none waits for ever on a board that does not come back."""
        with self._wake:
            waiting = self._jobs.waiting()
        for queued in waiting:
            if self._around.left_s(queued.job) <= 0:
                with self._wake:
                    removed = self._jobs.remove(queued.job.id)
                if removed is not None:
                    self._tell("cancelled", queued.job, "its deadline passed before it began")

    def _await_task(self) -> Task | None:
        """The next thing to do, once there is one; `wait` when a job that waits is too late; None to stop."""
        with self._wake:
            while not self._stopping:
                now_s = self._around.clock_ns() / 1e9
                task = next_task(
                    connected=self._session.connected,
                    may_try=self._session.may_try(),
                    job_waits=len(self._jobs) > 0,
                    run_due=self._runs.is_due(now_s),
                    sample_due=self._samples.is_due(now_s),
                )
                if task != "wait":
                    self._current = self._jobs.take() if task == "job" else None
                    self._cancelled = StopEvent(self._around.clock_ns, self._limit_ns())
                    return task
                left_s = min((self._around.left_s(queued.job) for queued in self._jobs.waiting()), default=None)
                if left_s is not None and left_s <= 0:
                    return task
                self._wake.wait(_sooner(self._wait_s(now_s), left_s))
        return None

    def _limit_ns(self) -> int | None:
        """Until when what begins now may go on."""
        if self._current is None:
            return None
        return run_until_ns(self._around.left_s(self._current.job), self._around.clock_ns())

    def _wait_s(self, now_s: float) -> float | None:
        """Seconds until something falls due; None: nothing will by itself."""
        if self._session.may_try():
            due_s = min(self._runs.due_s, self._samples.due_s)
        else:
            due_s = self._session.circuit.next_try_s
        return None if due_s == float("inf") else max(0.0, min(due_s - now_s, threading.TIMEOUT_MAX))

    def _do(self, task: Task) -> None:
        try:
            if task == "sample":
                self._take_sample()
            elif task == "open":
                self._with_processor(self._open)
            elif self._session.info is not None and self._session.info.emulation is not None:
                self._measure()
            else:
                self._with_processor(self._measure)
        except Exception as why:  # noqa: BLE001 - whatever a driver does, its board's thread lives on
            _log.exception("board %s: %s failed", self._config.name, task)
            self._session.failed("run" if task in ("job", "run") else "open", _as_fault(why))
            self._end_job("interrupted", f"the agent failed: {type(why).__name__}")
        self._record(self._session.take_events())

    def _with_processor(self, action: Callable[[], None]) -> None:
        """Does something while no other board measures on the same processor."""
        try:
            with turn(self._measuring_lock, self._cancelled):
                action()
        except Cancelled:
            self._end_cancelled()

    def _open(self) -> None:
        self._session.open()
        if self._session.info is not None:
            self._last_build = self._session.info.build
            self._answered()
            if _is_this_machine(self._session.info):
                self._governor = self._around.read_host().governor
            if self._session.circuit.failures:  # only a run shows whether the board is well: let it be now
                self._runs = Timetable(self._runs.every_s, self._around.clock_ns() / 1e9)

    def _measure(self) -> None:
        current, info = self._current, self._session.info
        assert info is not None
        if self._stopping:
            return  # it waited for the processor; its job is held
        if current is not None and self._around.left_s(current.job) <= 0:
            self._end_job("cancelled", "its deadline passed before it began")
            return
        plan = self._plan(current, self._around.new_run_id())
        self._running = True
        try:
            if current is not None:
                self._tell("started", current.job)
            outcome = run(self._driver, info, plan, self._run_surroundings(info, plan), self._cancelled)
        except Cancelled:
            self._end_cancelled(plan.run_id)
            return
        finally:
            self._running = False
            if current is None:
                self._runs = self._runs.after(self._around.clock_ns() / 1e9)
        if outcome.failure is None:
            self._session.succeeded()
            self._answered()
            self._governor = outcome.result.conditions.governor
        else:
            self._session.failed("run", outcome.failure, plan.run_id)
            if current is not None and outcome.failure.code in KEEPS_BOARD and not outcome.result.repetitions:
                # What the board cannot do at all, such as a prompt that is longer than its context, is no result.
                self._end_job("refused", str(outcome.failure))
                return
        self._hand_over(outcome.result)

    def _hand_over(self, result: Result) -> None:
        if self._current is None:
            self._record([result, *self._session.take_events()])
        else:
            self._end_job("finished", result.verdict, result)
        self._teller.tell(Step("done"), result.job_id, result.run_id)

    def _end_cancelled(self, run_id: bytes | None = None) -> None:
        if self._cancelled.time_is_up() and run_id is not None:
            line = f"not done {RUN_ON_S:g} s after its deadline"
            self._session.aborted(f"a run was {line}", run_id)
            self._end_job("interrupted", line)
        elif self._stopping:
            self._end_job("accepted", "the agent stops; it runs after the next start")
        else:
            self._end_job("cancelled", "cancelled while it ran")

    def _end_job(self, state: JobState, message: str, result: Result | None = None) -> None:
        """Until its end is told the job is here: told before that that no board had it, its owner would end it."""
        if self._current is not None:
            self._tell(state, self._current.job, message, result)
        with self._wake:
            self._current = None

    def _tell(self, state: JobState, job: Job, message: str = "", result: Result | None = None) -> None:
        try:
            self._around.on_job(state, job, message, result)
        except Exception:  # noqa: BLE001 - what the owner cannot take is no fault of the board's
            _log.exception("board %s: job %s: %s could not be told", self._config.name, job.id.hex(), state)

    def _plan(self, queued: QueuedJob | None, run_id: bytes) -> RunPlan:
        if queued is None:
            return RunPlan(run_id, self._config.name, self._suite_name, self._suite)
        job = queued.job
        suite = adapt(
            suite_named(job.suite, self._suites),
            prompts=tuple(job.prompts),
            max_tokens=job.max_tokens,
            repetitions=job.repetitions,
        )
        return RunPlan(run_id, self._config.name, job.suite, suite, job.id, queued.attempt)

    def _run_surroundings(self, info: BoardInfo, plan: RunPlan) -> Surroundings:
        return Surroundings(
            clock_ns=self._around.clock_ns,
            cases=self._around.cases_of(info.build),
            shape_of=self._around.shape_of,
            read_host=self._around.read_host if _is_this_machine(info) else None,
            on_step=lambda step: self._teller.tell(step, plan.job_id, plan.run_id),
            # The counts of an emulator are the same however often it lets others come first.
            turn=(lambda: turn(self._measuring_lock, self._cancelled)) if info.emulation is not None else nullcontext,
        )

    def _take_sample(self) -> None:
        info = self._session.info
        assert info is not None
        self._samples = self._samples.after(self._around.clock_ns() / 1e9)
        if info.emulation is not None:
            return
        values = {}
        if _is_this_machine(info):
            host = self._around.read_host()
            self._governor, values = host.governor, readings(host)
        if not info.host_clock:
            trip = self._session.round_trip()
            if trip is None:
                return
            self._answered()
            values["round_trip_us"] = (trip.received_ns - trip.sent_ns) / 1e3
        if values:
            self._record([Sample(values, board=self._config.name)])

    def _answered(self) -> None:
        self._answered_s = self._around.clock_ns() / 1e9

    def _record(self, bodies: Sequence[Body]) -> None:
        if not bodies:
            return
        try:
            self._around.recorder.record(bodies)
        except Exception:  # noqa: BLE001 - a full disk is counted by the spool; the board's thread lives on
            _log.exception("board %s: %d records could not be spooled", self._config.name, len(bodies))


def _sooner(one_s: float | None, other_s: float | None) -> float | None:
    """The shorter of two waits; None is for ever."""
    given = [s for s in (one_s, other_s) if s is not None]
    return min(*given, threading.TIMEOUT_MAX) if given else None


def _is_this_machine(info: BoardInfo) -> bool:
    return info.host_clock or info.build.platform == "host"


def _as_fault(why: Exception) -> BoardError:
    return BoardError("fault", f"{type(why).__name__}: {why}"[:300])
