"""The results file of a benchmark: JSON with all that is needed to judge it later. docs/results-file.md describes it.

Keys are only ever added within a version; whoever reads ignores those that it does not know. Ids are hexadecimal.
"""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from tinyprof.output_file import output_file
from tinyprof.terminal import one_line, plain
from tinyprof_platforms.suites import MAX_RUNS
from tinyprof_protocol.bounds import Count, Line, TimeNs, Word
from tinyprof_protocol.records import Result

SCHEMA: Final = "tinyprof-results"
VERSION: Final = 1
MAX_FILE_BYTES: Final = 1 << 30
MAX_BOARDS: Final = 10_000
_IDS: Final = ("run_id", "job_id")

BoardName = Annotated[str, Meta(min_length=1, max_length=200)]
When = Annotated[str, Meta(max_length=40)]
"""ISO 8601 with its offset from UTC."""


class BadResults(ValueError):
    """A file that is no results file, or one of another version; the message is one line with its name."""


class Machine(Struct, frozen=True):
    """The machine that the command ran on; what it does not say of itself is empty or 0."""

    system: Line = ""
    architecture: Word = ""
    cpu: Line = ""
    cpus: Count = 0
    memory_bytes: Count = 0
    python: Word = ""


class Agent(Struct, frozen=True):
    """An agent whose boards were measured: its version, and the id of its machine's boot."""

    node: Annotated[str, Meta(max_length=127)]
    version: Word = ""
    boot: Word = ""


class RunMade(Struct, frozen=True):
    """A run that has a result, with when it was asked for and when it had ended (wall time of this machine).

    `recorded_ns` is the wall time that its agent gave it; 0 for a run on this machine.
    """

    run: Count
    asked: When
    ended: When
    result: Result
    recorded_ns: TimeNs = 0
    recorded: Word = "clock"
    """`estimated` where the agent had no clock to trust."""


class RunFailed(Struct, frozen=True):
    """A run that has none: the state that its job ended in, and why."""

    run: Count
    state: Word
    why: Line
    asked: When = ""
    ended: When = ""


class BoardResults(Struct, frozen=True):
    """A board, what was asked of it, and what came of it. `board` is its identity: SITE.AGENT/BOARD in a fleet."""

    board: BoardName
    suite: Word
    runs_asked: Count
    driver: Word = ""
    labels: Annotated[list[Word], Meta(max_length=16)] = []
    runs: Annotated[list[RunMade], Meta(max_length=MAX_RUNS)] = []
    failures: Annotated[list[RunFailed], Meta(max_length=MAX_RUNS)] = []

    @property
    def results(self) -> list[Result]:
        """The results of its runs."""
        return [run.result for run in self.runs]


class Results(Struct, frozen=True):
    """The whole file. `complete` is false where a run that was asked for was not made; `why` says why."""

    schema: Word
    version: Count
    tinyprof: Word
    started: When
    ended: When
    complete: bool
    machine: Machine
    why: Line = ""
    suites: Annotated[dict[Word, dict[str, Any]], Meta(max_length=64)] = {}
    """What the suites ask for, as far as it is known here: an agent may have suites of its own."""
    agents: Annotated[list[Agent], Meta(max_length=MAX_BOARDS)] = []
    boards: Annotated[list[BoardResults], Meta(max_length=MAX_BOARDS)] = []


def iso(time_ns: int) -> str:
    """A wall time as the file has it, in UTC to the millisecond."""
    return dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC).isoformat(timespec="milliseconds")


def encode_results(results: Results) -> str:
    """The file's text: a run a line, so that it can be read and compared by line."""
    top = plain(results)
    boards = top.pop("boards")
    lines = [f" {json.dumps(key)}: {_json(value)}," for key, value in top.items()]
    shown = ",\n".join("".join(_board_lines(board)) for board in boards)
    body = "\n".join(lines)
    return f'{{\n{body}\n "boards": [\n{shown}\n ]\n}}\n'


def write_results(path: Path, results: Results) -> None:
    """Writes the file whole or not at all. Raises OSError."""
    with output_file(path) as stream:
        stream.write(encode_results(results).encode())


def read_results(path: Path) -> Results:
    """The results in a file. Raises BadResults with a line that says what is wrong with it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as why:
        raise BadResults(f"{path}: cannot be read: {why.strerror or why}") from None
    if len(data) > MAX_FILE_BYTES:
        raise BadResults(f"{path}: has over {MAX_FILE_BYTES} bytes")
    return parse_results(data, str(path))


def parse_results(data: bytes, source: str) -> Results:
    """The results in a file's bytes; `source` names it in errors. Raises BadResults."""
    try:
        top = json.loads(data)
    except (ValueError, RecursionError):
        raise BadResults(f"{source}: is no JSON, so no results file of 'tinyprof benchmark'") from None
    if not isinstance(top, dict) or top.get("schema") != SCHEMA:
        raise BadResults(f"{source}: is no results file of 'tinyprof benchmark' (its schema is not {SCHEMA!r})")
    if top.get("version") != VERSION:
        version, writer = (one_line(str(top.get(key, "")))[:20] for key in ("version", "tinyprof"))
        raise BadResults(
            f"{source}: is of version {version or 'none'} of the results' schema, and this tinyprof reads version "
            f"{VERSION}: read it with the tinyprof that wrote it{f', {writer}' if writer else ''}"
        )
    try:
        return msgspec.convert(_with_ids(top), Results, builtin_types=(bytes,))
    except (msgspec.ValidationError, ValueError) as why:
        raise BadResults(f"{source}: {one_line(str(why))[:300]}") from None


def _with_ids(value: Any) -> Any:
    """Hexadecimal ids as the bytes that they are."""
    if isinstance(value, list) and value and isinstance(value[0], dict):  # lists of raw times are long
        return [_with_ids(item) for item in value]
    if isinstance(value, dict):
        return {key: bytes.fromhex(item) if key in _IDS and isinstance(item, str) else _with_ids(item)
                for key, item in value.items()}  # fmt: skip
    return value


def _board_lines(board: dict[str, Any]) -> Iterator[str]:
    runs = board.pop("runs")
    yield "  {" + ", ".join(f"{json.dumps(key)}: {_json(value)}" for key, value in board.items()) + ',\n   "runs": ['
    yield ",".join(f"\n    {_json(run)}" for run in runs)
    yield "]}"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
