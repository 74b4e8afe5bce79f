"""A report's content from what the stores of a fleet hold, page by page and within bounds."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from tinyprof.board_names import BoardRef
from tinyprof.reporting.content import Board, Run
from tinyprof_protocol.records import Record, Result

MAX_BOARDS: Final = 200
MAX_RUNS: Final = 400
"""The newest of each board: more cannot be told apart in a plot."""
RUNS_WITH_GAPS: Final = 16
"""Raw gaps are most of a result, and those of the newest runs are enough for their distribution."""


def load_board(
    ref: BoardRef, pages: Iterable[Sequence[Record]], on_runs: Callable[[int], None] = lambda _: None
) -> Board:
    """The newest runs of a board from pages of its results, oldest first; `on_runs` hears how many were read."""
    runs: deque[Run] = deque(maxlen=MAX_RUNS)
    seen = 0
    for page in pages:
        for record in page:
            if not isinstance(record.body, Result):
                continue
            seen += 1
            runs.append(
                Run(record.time_ns, replace(record.body, repetitions=[], output=""), record.time == "estimated")
            )
            if len(runs) > RUNS_WITH_GAPS:
                old = runs[-1 - RUNS_WITH_GAPS]
                runs[-1 - RUNS_WITH_GAPS] = Run(old.time_ns, replace(old.result, itl_us=[]), old.time_estimated)
        on_runs(seen)
    return Board(str(ref), list(runs), left_out=seen > len(runs))
