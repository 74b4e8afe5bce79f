"""A worker with a scripted board. Waits are for what is recorded or told, never for a time."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from msgspec import structs

from tinyprof_agent.board_word import VOUCHED_FOR_S
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
from tinyprof_agent.schedule import next_task
from tinyprof_agent.service import fewer_locks
from tinyprof_agent.time_limit import RUN_ON_S
from tinyprof_agent.worker import BoardWorker, WorkerSurroundings
from tinyprof_platforms.suites import Suite, SuiteError
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode
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


@pytest.mark.parametrize(
    ("state", "task"),
    [
        ("-----", "wait"),
        ("-t---", "open"),
        ("ct---", "wait"),
        ("ctjrs", "job"),
        ("ct-rs", "run"),
        ("ct--s", "sample"),
        ("c-jrs", "wait"),
        ("-tjrs", "open"),
    ],
)
def test_what_comes_next(state: str, task: str) -> None:
    connected, may_try, job_waits, run_due, sample_due = (letter != "-" for letter in state)
    assert task == next_task(
        connected=connected, may_try=may_try, job_waits=job_waits, run_due=run_due, sample_due=sample_due
    )


@pytest.mark.parametrize("emulated", [False, True])
def test_a_board_is_listed_as_emulated_from_its_first_opening_on(emulated: bool) -> None:
    board, diary = ScriptedBoard(build=structs.replace(BUILD, emulated=emulated)), Diary()
    with working(board, diary) as worker:
        diary.until(lambda: worker.presence().platform == "rp2040")
        assert worker.presence().emulated is emulated


def test_a_board_is_vouched_for_while_it_is_open_and_not_once_it_is_lost() -> None:
    def goes(generation: int, _: threading.Event) -> None:
        if generation > 7:
            raise BoardError("gone", "unplugged")

    def opens_once(times: int) -> None:
        if times > 1:
            raise BoardError("gone", "unplugged")

    board, diary, first, second = ScriptedBoard(on_open=opens_once, on_generate=goes), Diary(), job(1), job(2)
    with working(board, diary) as worker:
        worker.submit(first)
        diary.until(lambda: "finished" in diary.states(first))
        result = diary.jobs[-1][3]
        assert result is not None
        assert worker.presence().build == build_fingerprint(result.build) == build_fingerprint(BUILD)
        assert worker.presence().clock_mode == clock_mode(result.clock.tick_hz, result.conditions.governor)
        worker.submit(second)
        diary.until(lambda: "board_lost" in diary.events())
        assert (worker.presence().build, worker.presence().clock_mode) == ("", "")


def test_a_board_with_which_nobody_spoke_for_long_may_have_other_firmware() -> None:
    ahead_ns = 0
    board, diary = ScriptedBoard(), Diary()
    with working(board, diary, clock_ns=lambda: time.monotonic_ns() + ahead_ns) as worker:
        diary.until(lambda: bool(worker.presence().build))
        ahead_ns = int((VOUCHED_FOR_S + 1) * 1e9)
        assert worker.presence().build == ""
        worker.submit(job())
        diary.until(lambda: "finished" in diary.states(job()))
        assert worker.presence().build == build_fingerprint(BUILD)


@pytest.mark.parametrize("held", [{"host_clock": True}, {"emulation": Emulation("nothing", 1e9)}])
def test_what_runs_in_a_process_of_the_agents_own_is_vouched_for_as_long_as_it_is_open(held: dict[str, Any]) -> None:
    ahead_ns = 0
    board, diary = ScriptedBoard(**held), Diary()
    with working(board, diary, clock_ns=lambda: time.monotonic_ns() + ahead_ns) as worker:
        diary.until(lambda: bool(worker.presence().build))
        ahead_ns = 10**15
        assert worker.presence().build == build_fingerprint(BUILD)


def test_the_schedule_gives_results_and_samples_in_between() -> None:
    board, diary = ScriptedBoard(), Diary()
    with working(board, diary, every_s=0.02, sample_every_s=0.01) as worker:
        diary.until(lambda: len(diary.results()) >= 3 and len(diary.samples()) >= 3)
        assert worker.presence().state in ("idle", "running")
        assert (worker.presence().platform, worker.presence().model) == ("rp2040", "m")
        assert worker.presence().interval_s == 0.01
    assert diary.events() == ["board_connected"]
    assert board.opens == 1
    assert {result.board for result in diary.results()} == {"b1"}
    assert len({result.run_id for result in diary.results()}) == len(diary.results())
    assert diary.samples()[0].board == "b1"
    assert diary.samples()[0].readings == {"round_trip_us": 1.0}


def test_a_disabled_board_does_nothing_and_refuses_jobs() -> None:
    board, diary = ScriptedBoard(), Diary()
    with working(board, diary, enabled=False, every_s=0.01) as worker:
        worker.submit(job())
        assert worker.presence().state == "disabled"
    assert board.opens == 0
    assert diary.states(job()) == ["refused"]
    assert "disabled" in diary.jobs[0][2]


def test_an_unknown_suite_in_the_configuration_is_refused_at_once() -> None:
    with pytest.raises(SuiteError, match="no suite is called 'fast'"), working(ScriptedBoard(), Diary(), suite="fast"):
        pass


def test_a_job_is_run_and_its_result_handed_to_its_owner() -> None:
    board, diary = ScriptedBoard(), Diary()
    asked = job(prompts=["Hello"], max_tokens=7, repetitions=8)
    with working(board, diary) as worker:
        worker.submit(asked, attempt=2)
        diary.until(lambda: "finished" in diary.states(asked))
        diary.until(lambda: bool(diary.progress) and diary.progress[-1].stage == "done")
    assert diary.states(asked) == ["accepted", "started", "finished"]
    result = diary.jobs[-1][3]
    assert result is not None
    assert (result.job_id, result.attempt, result.prompts, result.max_tokens) == (asked.id, 2, ["Hello"], 7)
    assert len(result.repetitions) == 8
    assert diary.results() == []  # the owner records it together with the job's state
    assert {(p.node, p.board, p.job_id, p.run_id) for p in diary.progress} == {
        ("site.agent", "b1", asked.id, result.run_id)
    }


@pytest.mark.parametrize(
    ("asked", "word"),
    [(job(suite="slow"), "slow"), (job(max_tokens=10**7), "max_tokens"), (job(prompts=["x" * 4096] * 3), "prompts")],
)
def test_a_job_beyond_what_is_offered_is_refused(asked: Job, word: str) -> None:
    diary = Diary()
    with working(ScriptedBoard(), diary) as worker:
        worker.submit(asked)
    assert diary.states(asked) == ["refused"]
    assert word in diary.jobs[0][2]


def test_a_job_whose_deadline_has_passed_is_not_run() -> None:
    board, diary = ScriptedBoard(), Diary()
    with working(board, diary, expired=True) as worker:
        worker.submit(job())
        diary.until(lambda: "cancelled" in diary.states(job()))
    assert diary.states(job()) == ["accepted", "cancelled"]
    assert board.generations == 0


def test_a_job_does_not_wait_for_ever_on_a_board_that_is_not_there() -> None:
    diary = Diary()
    with working(ScriptedBoard(on_open=fails("gone")), diary, expired=True) as worker:
        worker.submit(job())
        diary.until(lambda: "cancelled" in diary.states(job()))
    assert diary.states(job()) == ["accepted", "cancelled"]


def test_progress_is_told_at_most_four_times_a_second_but_each_stage_is() -> None:
    board, diary = ScriptedBoard(), Diary()
    asked = job(repetitions=500)
    begin_ns = time.monotonic_ns()
    with working(board, diary) as worker:
        worker.submit(asked)
        diary.until(lambda: bool(diary.progress) and diary.progress[-1].stage == "done")
    took_s = (time.monotonic_ns() - begin_ns) / 1e9
    assert list(dict.fromkeys(progress.stage for progress in diary.progress)) == ["clock", "timed", "done"]
    assert sum(progress.stage == "timed" for progress in diary.progress) <= 1 + took_s * 4


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


def test_jobs_wait_in_order_of_priority_and_the_queue_is_bounded() -> None:
    diary = Diary()
    with held_in_a_run(diary) as (worker, _, go_on):
        assert worker.presence().state == "running"
        for number in range(2, 66):
            worker.submit(job(number, priority=number % 2))
        worker.submit(job(66))
        worker.submit(job(1))  # running already: the same job
        worker.submit(job(2))  # waiting already
        assert diary.states(job(66)) == ["refused"]
        go_on.set()
        diary.until(lambda: sum(state == "finished" for state, *_ in diary.jobs) == 65)
    finished = [int.from_bytes(job_id) for state, job_id, *_ in diary.jobs if state == "finished"]
    assert finished == [1, *range(3, 66, 2), *range(2, 66, 2)]
    assert diary.states(job(1)) == ["accepted", "started", "finished"]


def test_a_running_job_is_cancelled_between_tokens_and_a_waiting_one_before_it_begins() -> None:
    diary = Diary()
    with held_in_a_run(diary) as (worker, _, go_on):
        worker.submit(job(2))
        worker.submit(job(3))
        assert worker.cancel(job(2).id)
        assert worker.cancel(job(1).id)
        diary.until(lambda: "cancelled" in diary.states(job(1)))
        go_on.set()
        diary.until(lambda: "finished" in diary.states(job(3)))
        assert not worker.cancel(job(9).id)
    assert diary.states(job(1)) == ["accepted", "started", "cancelled"]
    assert diary.states(job(2)) == ["accepted", "cancelled"]
    assert "run_failed" not in diary.events()


def test_a_job_is_here_until_its_end_is_told() -> None:
    found: list[bool] = []

    class Asking(Diary):
        def on_job(self, state: str, job: Job, message: str, result: Result | None) -> None:
            if state == "finished":
                found.append(worker.cancel(job.id))
            super().on_job(state, job, message, result)

    diary = Asking()
    with working(ScriptedBoard(), diary) as worker:
        worker.submit(job(1))
        diary.until(lambda: "finished" in diary.states(job(1)))
        worker.submit(job(2))
        diary.until(lambda: "finished" in diary.states(job(2)))
    assert found == [True, True]
    assert diary.states(job(1)) == ["accepted", "started", "finished"]


def test_stopping_ends_a_run_between_tokens_and_lets_go_of_the_board() -> None:
    diary = Diary()
    with held_in_a_run(diary) as (worker, board, _):
        worker.submit(job(2))
        assert worker.stop(0.0, PATIENCE_S)
    # Both are their owner's, for the next start.
    assert diary.states(job(1)) == ["accepted", "started", "accepted"]
    assert diary.jobs[-1][2] == "the agent stops; it runs after the next start"
    assert diary.states(job(2)) == ["accepted"]
    assert board.closes >= 1


def test_a_stop_lets_the_run_of_a_job_end_by_itself() -> None:
    diary = Diary()
    with held_in_a_run(diary) as (worker, _, go_on):
        worker.submit(job(2))
        stopper = threading.Thread(target=lambda: worker.stop(PATIENCE_S, PATIENCE_S))
        stopper.start()
        diary.until(lambda: worker._stopping)
        go_on.set()
        stopper.join(PATIENCE_S)
    assert diary.states(job(1)) == ["accepted", "started", "finished"]
    assert diary.states(job(2)) == ["accepted"]


def test_a_run_that_goes_on_after_its_deadline_is_aborted_and_its_board_reset() -> None:
    """The clock of the test stands still until the run is under way, then it is past deadline and grace."""
    now_ns = [10**9]

    def hangs(n: int, cancelled: threading.Event) -> None:
        if n == 1:
            now_ns[0] += round((20 + RUN_ON_S) * 1e9)
        if cancelled.is_set():
            raise Cancelled

    board, diary = ScriptedBoard(on_generate=hangs), Diary()
    with working(
        board, diary, clock_ns=lambda: now_ns[0], left_s=lambda asked: 20.0 if asked.id == job(1).id else 1e6
    ) as worker:
        worker.submit(job(1))
        diary.until(lambda: "interrupted" in diary.states(job(1)))
        worker.submit(job(2))
        diary.until(lambda: "finished" in diary.states(job(2)))
    assert diary.states(job(1)) == ["accepted", "started", "interrupted"]
    assert diary.jobs[2][2] == "not done 5 s after its deadline"
    assert (board.resets, board.opens) == (1, 2)
    assert "circuit_open" not in diary.events()


def test_a_job_for_a_board_whose_circuit_is_open_waits_until_its_deadline_and_no_longer() -> None:
    now_ns = [10**9]
    board, diary = ScriptedBoard(on_open=fails("gone")), Diary()
    left_s = [30.0]
    slow = BreakerPolicy(opens_after=1, first_delay_s=10**6, jitter=0.0)
    with working(board, diary, clock_ns=lambda: now_ns[0], left_s=lambda _: left_s[0], breaker=slow) as worker:
        worker.submit(job(1))
        diary.until(lambda: worker.presence().state == "open")
        assert diary.states(job(1)) == ["accepted"]
        left_s[0] = 0.0
        worker.submit(job(2))  # whatever wakes it; by itself it wakes at the deadline
        diary.until(lambda: "cancelled" in diary.states(job(1)))
    assert board.opens == 1


def test_a_worker_wakes_at_the_deadline_of_a_job_that_waits() -> None:
    board, diary = ScriptedBoard(on_open=fails("gone")), Diary()
    slow = BreakerPolicy(opens_after=1, first_delay_s=10**6, jitter=0.0)
    end_s = time.monotonic() + 0.3
    with working(board, diary, left_s=lambda _: end_s - time.monotonic(), breaker=slow) as worker:
        worker.submit(job(1))
        diary.until(lambda: "cancelled" in diary.states(job(1)))


@pytest.mark.parametrize("at_most", [1, 2, 3])
def test_no_more_boards_measure_at_once_than_max_workers_says(at_most: int) -> None:
    counted = threading.Lock()
    now, most = [0], [0]
    full = threading.Event()

    def measures(_n: int, _cancelled: threading.Event) -> None:
        with counted:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] >= at_most:
                full.set()
        full.wait(PATIENCE_S)
        time.sleep(0.001)
        with counted:
            now[0] -= 1

    locks = fewer_locks({f"b{n}": threading.Lock() for n in range(6)}, at_most)
    diary = Diary()
    with ExitStack() as stack:
        for n in range(6):
            board = ScriptedBoard(on_generate=measures)
            worker = stack.enter_context(working(board, diary, lock=locks[f"b{n}"]))
            worker.submit(job(n + 1))
        diary.until(lambda: sum(state == "finished" for state, *_ in diary.jobs) == 6)
    assert most[0] == at_most


def test_a_job_goes_before_the_schedule_and_the_schedule_goes_on() -> None:
    diary = Diary()
    with held_in_a_run(diary, every_s=0.01) as (_, __, go_on):
        go_on.set()
        diary.until(lambda: "finished" in diary.states(job(1)) and len(diary.results()) >= 2)
    assert all(result.job_id is None for result in diary.results())


def fails(code: str, *, from_n: int = 1, until_n: int = 10**9) -> Callable[..., None]:
    def hook(n: int, *_: object) -> None:
        if from_n <= n < until_n:
            raise BoardError(code, "what to do")

    return hook


def test_a_hung_board_is_reset_and_the_result_says_why() -> None:
    board, diary = ScriptedBoard(on_generate=fails("timeout", until_n=2)), Diary()
    with working(board, diary, every_s=0.01):
        diary.until(lambda: len(diary.results()) >= 2)
    assert diary.events() == ["board_connected", "run_failed", "board_reset"]
    first, second = diary.results()[:2]
    assert first.verdict == "invalid"
    assert first.reasons[0] == "timeout: what to do"
    assert second.reasons[0] != first.reasons[0]
    assert (board.resets, board.opens) == (1, 2)
    failed = next(body for body in diary.bodies if isinstance(body, Event) and body.name == "run_failed")
    assert failed.run_id == first.run_id


def test_a_board_that_resets_itself_is_told_once_and_used_again() -> None:
    board, diary = ScriptedBoard(on_generate=fails("reset", until_n=3)), Diary()
    with working(board, diary, every_s=0.01):
        diary.until(lambda: len(diary.results()) >= 3)
    assert diary.events() == ["board_connected", "run_failed", "board_reset"]
    assert board.resets == 0
    assert [result.verdict for result in diary.results()[:2]] == ["invalid", "invalid"]


def test_a_board_that_is_gone_is_told_once_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", logger="tinyprof_agent")
    board, diary = ScriptedBoard(on_open=fails("gone", from_n=2, until_n=20)), Diary()
    board.on_round_trip = fails("gone", until_n=2)
    with working(board, diary, sample_every_s=0.01) as worker:
        diary.until(lambda: "circuit_closed" in diary.events())
        diary.until(lambda: bool(diary.samples()))
        assert worker.presence().state == "idle"
        assert worker.presence().failures == 0
    assert diary.events() == ["board_connected", "board_lost", "circuit_open", "board_connected", "circuit_closed"]
    lost = next(body for body in diary.bodies if isinstance(body, Event) and body.name == "board_lost")
    assert lost.message.startswith("gone: ")
    said = {record.getMessage().split(": ")[1]: record.levelname for record in caplog.records}
    assert (said["board_lost"], said["circuit_open"]) == ("WARNING", "ERROR")


def test_a_board_that_was_never_there_is_told_once_and_its_circuit_opens() -> None:
    tries, silent = threading.Event(), fails("silent")

    def hook(n: int) -> None:
        if n > 12:
            tries.set()
        silent(n)

    board, diary = ScriptedBoard(on_open=hook), Diary()
    with working(board, diary, every_s=0.01) as worker:
        worker.submit(job())
        assert tries.wait(PATIENCE_S)
        presence = worker.presence()
        assert presence.state == "open"
        assert presence.failures >= 12
        assert presence.message == "silent: what to do"
    assert diary.events() == ["board_reset", "board_lost", "circuit_open"]
    assert diary.states(job()) == ["accepted"]


def test_a_board_that_opens_but_never_runs_opens_its_circuit_and_a_run_closes_it() -> None:
    board, diary = ScriptedBoard(on_generate=fails("timeout", until_n=6)), Diary()
    with working(board, diary, every_s=0.01):
        diary.until(lambda: "circuit_closed" in diary.events())
    assert diary.events() == ["board_connected", "run_failed", "board_reset", "circuit_open", "circuit_closed"]
    assert [result.reasons[0] for result in diary.results()[:5]] == ["timeout: what to do"] * 5
    assert board.resets == 5


def test_a_refused_request_is_no_fault_of_the_board() -> None:
    board, diary = ScriptedBoard(on_generate=fails("refused", until_n=5)), Diary()
    with working(board, diary) as worker:
        for number in range(1, 6):
            worker.submit(job(number))
        diary.until(lambda: "finished" in diary.states(job(5)))
    assert board.opens == 1
    assert diary.events() == ["board_connected", "run_failed"]
    ends = [(state, why, result) for state, job_id, why, result in diary.jobs if job_id == job(1).id]
    assert ends[-1] == ("refused", "what to do", None)


def test_the_labels_of_the_configuration_are_told() -> None:
    with working(ScriptedBoard(), Diary(), labels=["rack-1"]) as worker:
        assert worker.presence().labels == ["rack-1"]


def test_an_error_nobody_foresaw_ends_neither_the_thread_nor_the_job_in_silence() -> None:
    def breaks(n: int, _: threading.Event) -> None:
        if n == 1:
            raise ZeroDivisionError("a defect")

    board, diary = ScriptedBoard(on_generate=breaks), Diary()
    with working(board, diary) as worker:
        worker.submit(job(1))
        worker.submit(job(2))
        diary.until(lambda: "finished" in diary.states(job(2)))
    assert diary.states(job(1)) == ["accepted", "started", "interrupted"]
    assert diary.events() == ["board_connected", "run_failed"]


def test_a_full_disk_does_not_end_the_boards_thread() -> None:
    board, diary = ScriptedBoard(), Diary()
    diary.full = True
    with working(board, diary, every_s=0.01):
        diary.until(lambda: sum(p.stage == "done" for p in diary.progress) >= 2)
        diary.full = False
        diary.until(lambda: bool(diary.results()))


def test_boards_on_one_processor_never_measure_at_once_and_none_waits_with_the_lock() -> None:
    inside, most = [0], [0]
    counting = threading.Lock()

    def measured(_: int, __: threading.Event) -> None:
        with counting:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.001)
        with counting:
            inside[0] -= 1

    shared, first, second = threading.Lock(), Diary(), Diary()
    with (
        working_named("b1", ScriptedBoard(on_generate=measured), first, shared),
        working_named("b2", ScriptedBoard(on_generate=measured), second, shared),
    ):
        first.until(lambda: len(first.results()) >= 3)
        second.until(lambda: len(second.results()) >= 3)
    assert most[0] == 1
    assert not shared.locked()


@contextmanager
def working_named(name: str, board: ScriptedBoard, diary: Diary, lock: threading.Lock) -> Iterator[BoardWorker]:
    around = WorkerSurroundings(
        "site.agent", diary, time.monotonic_ns, Random(2), lambda: bytes(16), diary.on_job, cases_of=lambda _: {}
    )
    config = BoardConfig(name, "probe", every_s=0.02, sample_every_s=0)
    worker = BoardWorker(config, board, SUITES, lock, around)
    worker.start()
    try:
        yield worker
    finally:
        assert worker.stop(0.0, PATIENCE_S)


def test_waiting_for_the_processor_can_be_stopped_and_cancelled() -> None:
    lock, board, diary = threading.Lock(), ScriptedBoard(), Diary()
    with working(board, diary, lock) as worker:
        diary.until(lambda: diary.events() == ["board_connected"])
        with lock:
            worker.submit(job(1))
            deadline = time.monotonic() + PATIENCE_S
            while not worker.cancel(job(1).id):
                assert time.monotonic() < deadline
            diary.until(lambda: "cancelled" in diary.states(job(1)))
            worker.submit(job(2))
            assert worker.stop(0.0, PATIENCE_S)
    assert board.generations == 0
    assert "started" not in diary.states(job(1)) + diary.states(job(2))
