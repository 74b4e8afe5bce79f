"""What is drawn: a line a board, in place, and no more than the terminal holds."""

import io

import pytest

from tinyprof.benchmarking.display import BoardLines, board_lines, run_line
from tinyprof.benchmarking.running import BoardPlan, Ended, Progress
from tinyprof_protocol.records import Figure


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What a terminal shows of what was written: the last drawing."""
        return [
            line.replace("\x1b[2K", "") for line in self.getvalue().rpartition("F")[2].split("\x1b[J")[0].splitlines()
        ]


@pytest.fixture
def valid(result):
    return result([1.25], figures={"ttft_ms": Figure(1.25), "decode_tps": Figure(812.4, estimated=True)})


def test_a_line_says_where_a_board_is(valid) -> None:
    waits, runs, ended = board_lines(
        [
            Progress("lab.a/b1", 4),
            Progress("lab.a/b2", 4, 3, "timed", 3, 6, valid, failed=1),
            Progress("x", 4, 4, done=True),
        ],
        10,
    )
    assert waits.split("  ") == ["lab.a/b1", "░" * 12, "run 0/4", "waits"]
    assert runs.split("  ") == ["lab.a/b2", "█" * 7 + "░" * 5, "run 3/4", "timed 3 of 6", "1 failed",
                                "valid, 1.250 ms, ~812.4 tokens/s"]  # fmt: skip
    assert ended.startswith("x         " + "█" * 12)


def test_where_boards_are_too_many_those_that_run_are_shown() -> None:
    boards = [Progress(f"b{n}", 1, 1, done=True) for n in range(5)] + [Progress("slow", 1, 1), Progress("next", 1)]
    lines = board_lines(boards, 3)
    assert [line.split()[0] for line in lines[:2]] == ["slow", "next"]
    assert lines[2] == "... and 5 more; ended: 5 of 7 boards"


def test_lines_are_drawn_in_place_and_taken_away() -> None:
    terminal, now = Terminal(), [0.0]
    lines = BoardLines(terminal, lambda: now[0])
    lines.draw([Progress("a", 1), Progress("b", 1)])
    first = terminal.getvalue()
    assert first.count("\n") == 2
    lines.draw([Progress("a", 1, 1), Progress("b", 1)])
    assert terminal.getvalue() == first, "a tenth of a second has not passed"
    now[0] = 1.0
    lines.draw([Progress("a", 1, 1), Progress("b", 1)], note="ends")
    assert terminal.getvalue()[len(first) :].startswith("\x1b[2F")
    assert [line.split()[0] for line in terminal.screen()] == ["a", "b", "ends"]
    lines.clear()
    assert terminal.getvalue().endswith("\x1b[3F\x1b[J")


def test_elsewhere_nothing_is_drawn() -> None:
    stream = io.StringIO()
    lines = BoardLines(stream)
    lines.draw([Progress("a", 1)])
    lines.clear()
    assert (stream.getvalue(), lines.live) == ("", False)


def test_a_run_that_ended_is_a_line(valid) -> None:
    plan = BoardPlan("lab.a/b", "quick", 3)
    assert run_line(plan, 2, Ended("finished", result=valid)) == (
        "lab.a/b: run 2 of 3: valid, 1.250 ms, ~812.4 tokens/s"
    )
    assert run_line(plan, 2, Ended("refused", "no \x1b[31m such suite")) == (
        "lab.a/b: run 2 of 3: refused: no [31m such suite"
    )
