"""Jobs of clients on a board: taken, waited for, cancelled, ended. Waits are for what is told, never for a time."""

import threading
import time

import pytest
from scripted_board import PATIENCE_S, Diary, ScriptedBoard, fails, held_in_a_run, job, working

from tinyprof_agent.breaker import BreakerPolicy
from tinyprof_agent.drivers.driver import (
    Cancelled,
)
from tinyprof_agent.time_limit import RUN_ON_S
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.records import Result


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


def test_a_job_goes_before_the_schedule_and_the_schedule_goes_on() -> None:
    diary = Diary()
    with held_in_a_run(diary, every_s=0.01) as (_, __, go_on):
        go_on.set()
        diary.until(lambda: "finished" in diary.states(job(1)) and len(diary.results()) >= 2)
    assert all(result.job_id is None for result in diary.results())
