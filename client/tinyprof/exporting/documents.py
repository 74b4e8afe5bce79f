"""Results as they come from the fleet, written in a format: rows, llama-bench's JSON, or a Markdown table."""

import json
from collections import deque
from collections.abc import Sequence
from typing import BinaryIO, Final, Protocol

from msgspec.structs import replace

from tinyprof.board_names import BoardRef
from tinyprof.exporting.rows import Layout
from tinyprof.exporting.writers import WRITERS
from tinyprof.formats.llama_bench import TimedRun, llama_bench_tests
from tinyprof.formats.markdown import results_table
from tinyprof.formats.model_sizes import shipped_size
from tinyprof_protocol.records import Record, Result

MAX_RUNS_IN_A_TABLE: Final = 1000
"""The newest of each board: a table has one figure for all of them."""


class Document(Protocol):
    """Takes a board's results page by page; all is in the stream after `close`."""

    def take(self, ref: BoardRef, records: Sequence[Record]) -> int:
        """Takes results of a board; returns how many rows, tests or runs they made. Raises OSError."""

    def close(self) -> None:
        """Writes what is left. Raises OSError."""


def writer_of(form: str, stream: BinaryIO, layout: Layout) -> Document:
    """The writer of a format. Raises MissingPackage."""
    if form == "llama-bench":
        return LlamaBench(stream)
    return Markdown(stream) if form == "markdown" else Rows(form, stream, layout)


class Rows:
    """Rows by a layout."""

    def __init__(self, form: str, stream: BinaryIO, layout: Layout) -> None:
        """Raises MissingPackage."""
        self._layout = layout
        self._writer = WRITERS[form](stream, layout.columns())

    def take(self, ref: BoardRef, records: Sequence[Record]) -> int:
        """Writes rows; returns how many. Raises OSError."""
        rows = list(self._layout.rows(ref, records))
        self._writer.write(rows)
        return len(rows)

    def close(self) -> None:
        """Writes what is left. Raises OSError."""
        self._writer.close()


class LlamaBench:
    """A JSON array of llama-bench's tests, an object a line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._tests = 0

    def take(self, ref: BoardRef, records: Sequence[Record]) -> int:  # noqa: ARG002  (llama-bench names no board)
        """Writes tests; returns how many. Raises OSError."""
        runs = [TimedRun(record.body, record.time_ns) for record in records if isinstance(record.body, Result)]
        tests = llama_bench_tests(runs, shipped_size)
        for test in tests:
            line = json.dumps(test, ensure_ascii=False, allow_nan=False)
            self._stream.write(f"{',' if self._tests else '['}\n  {line}".encode())
            self._tests += 1
        return len(tests)

    def close(self) -> None:
        """Ends the array. Raises OSError."""
        self._stream.write(b"\n]\n" if self._tests else b"[]\n")


class Markdown:
    """A table with a row a board, of its newest 1,000 runs."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._runs: dict[str, deque[Result]] = {}

    def take(self, ref: BoardRef, records: Sequence[Record]) -> int:
        """Keeps runs, small; returns how many. Raises nothing."""
        results = [record.body for record in records if isinstance(record.body, Result)]
        kept = self._runs.setdefault(str(ref), deque(maxlen=MAX_RUNS_IN_A_TABLE))
        kept.extend(replace(result, itl_us=[], output="") for result in results)
        return len(results)

    def close(self) -> None:
        """Writes the table. Raises OSError."""
        self._stream.write(f"{results_table({name: list(runs) for name, runs in self._runs.items()})}\n".encode())
