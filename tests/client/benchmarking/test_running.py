"""Runs side by side: who runs when, what is kept, and what a cancellation leaves."""

import threading
from collections import Counter

import pytest

from tinyprof.benchmarking.running import AT_ONCE, GIVE_UP_AFTER, Benchmark, BoardPlan, Ended, why_incomplete

PATIENCE_S = 20


@pytest.fixture
def finished(result):
    return Ended("finished", result=result([1.0]))


def done(benchmark):
    benchmark.start()
    assert benchmark.wait(PATIENCE_S) or wait_for(lambda: benchmark.wait(1.0))
    return benchmark.results()


def wait_for(true):
    return any(true() for _ in range(PATIENCE_S))


def test_boards_run_side_by_side_and_the_runs_of_one_in_turn(finished) -> None:
    both = threading.Barrier(2, timeout=PATIENCE_S)
    order, lock = [], threading.Lock()

    def run_one(plan, say, cancelled):
        both.wait()  # nobody passes unless the other board runs at the same time
        with lock:
            order.append(plan.board)
        return finished

    boards = done(Benchmark([BoardPlan("a", "quick", 3), BoardPlan("b", "quick", 3)], run_one, lambda: 0))
    assert [[run.run for run in board.runs] for board in boards] == [[1, 2, 3], [1, 2, 3]]
    assert Counter(order) == {"a": 3, "b": 3}
    assert why_incomplete(boards, cancelled=False) == ""


def test_more_boards_than_threads_all_have_their_turn(finished) -> None:
    plans = [BoardPlan(f"b{number}", "quick", 1) for number in range(3 * AT_ONCE)]
    boards = done(Benchmark(plans, lambda *_: finished, lambda: 0))
    assert [len(board.runs) for board in boards] == [1] * len(plans)


def test_a_run_that_fails_is_told_and_the_others_go_on(finished) -> None:
    runs = iter([finished, Ended("expired", "too late"), finished])
    ended = []
    benchmark = Benchmark([BoardPlan("a", "quick", 3)], lambda *_: next(runs), lambda: 0,
                          lambda plan, run, one: ended.append((run, one.state)))  # fmt: skip
    [board] = done(benchmark)
    assert [run.run for run in board.runs] == [1, 3]
    assert [(one.run, one.state, one.why) for one in board.failures] == [(2, "expired", "too late")]
    assert ended == [(1, "finished"), (2, "expired"), (3, "finished")]
    assert why_incomplete([board], cancelled=False) == "1 of 3 runs have no result: a: too late"


def test_a_board_that_only_fails_is_not_asked_for_ever() -> None:
    [board] = done(Benchmark([BoardPlan("a", "quick", 40)], lambda *_: Ended("refused", "no"), lambda: 0))
    assert len(board.failures) == GIVE_UP_AFTER


def test_what_nobody_expected_is_a_failure_of_that_run(finished) -> None:
    def run_one(plan, say, cancelled):
        if plan.board == "a":
            raise ZeroDivisionError("by\nzero")
        return finished

    a, b = done(Benchmark([BoardPlan("a", "quick", 1), BoardPlan("b", "quick", 1)], run_one, lambda: 0))
    assert a.failures[0].why == "unexpected ZeroDivisionError: by zero"
    assert len(b.runs) == 1


def test_a_cancellation_ends_what_runs_and_keeps_what_is_there(finished) -> None:
    second = threading.Event()
    made = Counter()

    def run_one(plan, say, cancelled):
        made[plan.board] += 1
        if made[plan.board] == 1:
            return finished
        say("timed", 2, 6)
        second.set()
        assert cancelled.wait(PATIENCE_S)
        return Ended("cancelled", "interrupted")

    benchmark = Benchmark([BoardPlan("a", "quick", 5)], run_one, lambda: 0)
    benchmark.start()
    assert second.wait(PATIENCE_S)
    [progress] = benchmark.progress()
    assert (progress.run, progress.stage, progress.repetition, progress.repetitions) == (2, "timed", 2, 6)
    benchmark.cancel()
    assert wait_for(lambda: benchmark.wait(1.0))
    [board] = benchmark.results()
    assert ([run.run for run in board.runs], [one.state for one in board.failures]) == ([1], ["cancelled"])
    assert why_incomplete([board], cancelled=True) == "interrupted after 1 of 5 runs"
    assert benchmark.progress()[0].done
