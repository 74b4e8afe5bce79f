"""What a person sees while a benchmark runs: a line a board, in place on a terminal, a line a run elsewhere."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, TextIO

from tinyprof.benchmarking.running import BoardPlan, Ended, Progress
from tinyprof.terminal import one_line
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.figures_text import amount, unit
from tinyprof_protocol.records import Result

DRAW_EVERY_S: Final = 0.1
BAR: Final = 12
_SHOWN: Final = ("ttft_ms", "decode_tps", "inference_ms", "instructions_per_token", "model_cycles_per_token")


class BoardLines:
    """The lines of all boards on stderr, drawn at most ten times a second; nothing where it is no terminal."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self.live = self._stream.isatty()
        self._drawn_s = float("-inf")
        self._lines = 0

    def draw(self, boards: Sequence[Progress], *, note: str = "", now: bool = False) -> None:
        """Puts the lines in the place of the last ones, unless those are too new; `note` stands under them."""
        now_s = self._clock()
        if not self.live or (now_s - self._drawn_s < DRAW_EVERY_S and not now):
            return
        self._drawn_s = now_s
        size = shutil.get_terminal_size()
        lines = [line[: max(20, size.columns - 1)] for line in board_lines(boards, max(2, size.lines - 3))]
        lines += [note[: max(20, size.columns - 1)]] if note else []
        self._stream.write(self._up() + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self._stream.flush()
        self._lines = len(lines)

    def clear(self) -> None:
        """Takes the lines away, before anything else is printed."""
        if self._lines:
            self._stream.write(self._up() + "\x1b[J")
            self._stream.flush()
            self._lines = 0

    def _up(self) -> str:
        return f"\x1b[{self._lines}F" if self._lines else ""


def board_lines(boards: Sequence[Progress], at_most: int) -> list[str]:
    """A line a board; where they are too many, those that run go before those that wait or have ended."""
    shown = list(boards)
    if len(shown) > at_most:
        order = sorted(shown, key=lambda one: (one.done, one.run == 0))
        shown = order[: at_most - 1]
    width = max((len(one.board) for one in shown), default=0)
    lines = [_line(one, width) for one in shown]
    left = len(boards) - len(shown)
    if left:
        done = sum(one.done for one in boards)
        lines.append(f"... and {left} more; ended: {done} of {some(len(boards), 'board')}")
    return lines


def run_line(plan: BoardPlan, run: int, ended: Ended) -> str:
    """A run that ended, where there is no terminal to draw on."""
    what = verdict_and_figures(ended.result) if ended.result is not None else _failure(ended)
    return f"{plan.board}: run {run} of {plan.runs}: {what}"


def verdict_and_figures(result: Result) -> str:
    """A result in a few words."""
    figures = [
        f"{'~' if figure.estimated else ''}{amount(name, figure.value)} {unit(name)}".strip()
        for name in _SHOWN
        if (figure := result.figures.get(name)) is not None
    ]
    why = f" ({one_line(result.reasons[0])})" if result.reasons else ""
    return ", ".join([result.verdict, *figures]) + why


def _failure(ended: Ended) -> str:
    return f"{ended.state}{f': {one_line(ended.message)}' if ended.message else ''}"


def _line(one: Progress, width: int) -> str:
    within = min(1.0, one.repetition / one.repetitions) if one.repetitions else 0.0
    share = 1.0 if one.done else min(1.0, (max(0, one.run - 1) + 0.99 * within) / one.runs)
    filled = int(share * BAR)
    parts = [one.board.ljust(width), "█" * filled + "░" * (BAR - filled), f"run {one.run}/{one.runs}"]
    if one.done:
        parts.append("done")
    else:
        count = f" {one.repetition} of {max(one.repetition, one.repetitions)}" if one.repetition else ""
        parts.append(f"{one_line(one.stage)}{count}")
    if one.failed:
        parts.append(f"{one.failed} failed")
    if one.last is not None:
        parts.append(verdict_and_figures(one.last))
    return "  ".join(parts)
