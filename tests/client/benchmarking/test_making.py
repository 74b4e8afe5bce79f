"""A benchmark from its first run to its file: kept up to date, and whole at the end."""

import io
import threading
from itertools import count

from tinyprof.benchmarking.display import BoardLines
from tinyprof.benchmarking.making import SAVE_EVERY_S, Making
from tinyprof.benchmarking.results_file import read_results
from tinyprof.benchmarking.running import BoardPlan, Ended
from tinyprof_platforms.suites import shipped_suites

PATIENCE_S = 20


def test_what_there_is_so_far_is_in_the_file_before_the_end(tmp_path, result) -> None:
    path, ticks = tmp_path / "r.json", count(step=SAVE_EVERY_S)
    so_far = []

    def run_one(plan, say, cancelled):
        """The second run goes on until the file shows the first."""
        while ran and not so_far:
            if path.exists() and read_results(path).boards[0].runs:
                so_far.append(read_results(path))
        ran.append(plan)
        return Ended("finished", result=result([1.0]))

    ran = []
    quick = shipped_suites()["quick"]
    making = Making([BoardPlan("a", "quick", 2)], run_one, {"quick": quick}, [], lambda: 0, lambda: float(next(ticks)))
    said = []
    assert making.follow(BoardLines(io.StringIO()), path, said.append) is False
    assert [len(one.boards[0].runs) for one in so_far] == [1]
    assert not so_far[0].complete
    whole = making.results()
    assert (whole.complete, whole.why, len(whole.boards[0].runs)) == (True, "", 2)
    assert whole.suites["quick"]["max_tokens"] == quick.max_tokens
    assert said == ["a: run 1 of 2: valid", "a: run 2 of 2: valid"]


def test_an_interrupt_ends_the_runs_and_what_is_there_stays(tmp_path, result) -> None:
    first = threading.Event()

    def run_one(plan, say, cancelled):
        if not first.is_set():
            first.set()
            return Ended("finished", result=result([1.0]))
        assert cancelled.wait(PATIENCE_S)
        return Ended("cancelled", "interrupted")

    class Interrupted(BoardLines):
        def draw(self, boards, *, note="", now=False) -> None:
            if boards[0].run == 2 and not note:
                raise KeyboardInterrupt

    making = Making([BoardPlan("a", "quick", 5)], run_one, {}, [], lambda: 0)
    said = []
    assert making.follow(Interrupted(io.StringIO()), tmp_path / "r.json", said.append) is True
    assert making.results().why == "interrupted after 1 of 5 runs"
    assert said[-1] == "a: run 2 of 5: cancelled: interrupted"
