"""A worker with a scripted board. Waits are for what is recorded or told, never for a time."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any

import pytest
from msgspec import structs
from scripted_board import BUILD, PATIENCE_S, SUITES, Diary, ScriptedBoard, job, working

from tinyprof_agent.board_word import VOUCHED_FOR_S
from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.drivers.driver import (
    BoardError,
    Emulation,
)
from tinyprof_agent.schedule import next_task
from tinyprof_agent.service import fewer_locks
from tinyprof_agent.worker import BoardWorker, WorkerSurroundings
from tinyprof_platforms.suites import SuiteError
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode


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


def test_the_labels_of_the_configuration_are_told() -> None:
    with working(ScriptedBoard(), Diary(), labels=["rack-1"]) as worker:
        assert worker.presence().labels == ["rack-1"]


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
