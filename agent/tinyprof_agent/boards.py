"""Boards from their configuration: a driver by its kind, and who shares a processor with whom."""

import threading
from collections.abc import Callable, Iterable
from importlib import import_module, resources
from types import ModuleType
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tinyprof_agent.drivers.driver import BadOptions, Driver
from tinyprof_protocol.bounds import Word
from tinyprof_protocol.names import Name

DEFAULT_SUITE = "quick"
Interval = Annotated[float, Meta(ge=0, le=31 * 86400)]
"""Seconds; 0: never by itself."""


class BadBoard(ValueError):
    """A board's configuration that cannot be used; the message names the board and the key, in one line."""


class BoardConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[boards]]` table. `every_s` 0 measures on request only, `sample_every_s` 0 takes no samples.

    Boards with the same `processor` never measure at the same time; where it is None the driver says which processor
    its board runs on, if it is one that boards may share. `suite` is the driver's own default where it is empty.
    `options` are the driver's own.
    """

    name: Name
    driver: Word
    suite: Word = ""
    every_s: Interval = 60.0
    sample_every_s: Interval = 30.0
    processor: Word | None = None
    enabled: bool = True
    labels: Annotated[list[Word], Meta(max_length=16)] = []
    """Words by which jobs may choose boards."""
    options: dict[str, Any] = {}


def driver_kinds() -> tuple[str, ...]:
    """The kinds of drivers there are: the folders of `drivers`, with '-' for '_'."""
    folder = resources.files("tinyprof_agent.drivers")
    kinds = (entry.name for entry in folder.iterdir() if entry.joinpath("__init__.py").is_file())
    return tuple(sorted(kind.replace("_", "-") for kind in kinds))


def make_driver(board: BoardConfig, clock: Callable[[], int]) -> Driver:
    """The driver of a board, not yet opened. `clock` is monotonic, in nanoseconds. Raises BadBoard."""
    module = _module(board)
    try:
        driver: Driver = module.make(board.name, _options(board, module), clock)
    except BadOptions as why:
        raise BadBoard(f"board {board.name!r}: {why}") from why
    return driver


def processor_of(board: BoardConfig) -> str | None:
    """The processor that a board shares with others: as configured, else as its driver says. Raises BadBoard."""
    if board.processor is not None:
        return board.processor
    module = _module(board)
    default: Callable[[Any], str | None] = getattr(module, "default_processor", lambda _: None)
    return default(_options(board, module))


def suite_name_of(board: BoardConfig) -> str:
    """The suite that a board runs: as configured, else the default of its driver's kind. Raises BadBoard."""
    if board.suite:
        return board.suite
    default: str = getattr(_module(board), "DEFAULT_SUITE", DEFAULT_SUITE)
    return default


def measuring_locks(boards: Iterable[BoardConfig]) -> dict[str, threading.Lock]:
    """A lock for each board by its name; one and the same for boards that share a processor. Raises BadBoard."""
    shared: dict[str, threading.Lock] = {}
    locks = {}
    for board in boards:
        processor = processor_of(board)
        locks[board.name] = threading.Lock() if processor is None else shared.setdefault(processor, threading.Lock())
    return locks


def _module(board: BoardConfig) -> ModuleType:
    if board.driver not in driver_kinds():
        raise BadBoard(f"board {board.name!r}: no driver is called {board.driver!r}; there are {_listed()}")
    return import_module(f"tinyprof_agent.drivers.{board.driver.replace('-', '_')}")


def _options(board: BoardConfig, module: ModuleType) -> Any:
    try:
        return msgspec.convert(board.options, module.Options)
    except (msgspec.ValidationError, ValueError) as why:
        line = " ".join(str(why).split()).replace("$.", "options.")
        raise BadBoard(f"board {board.name!r}: options of driver {board.driver!r}: {line}"[:300]) from None


def _listed() -> str:
    return ", ".join(driver_kinds())
