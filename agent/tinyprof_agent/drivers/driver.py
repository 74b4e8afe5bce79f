"""What every driver offers: a board that can be asked to generate, timed on a clock that can be checked.

A driver's kind is its folder's name. `drivers/<kind>/__init__.py` holds `Options` (a msgspec struct, unknown keys
forbidden) and `make(name, options, clock) -> Driver`, which raises BadOptions for options that can never work; it is
imported when a configuration uses it.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from tinyprof_protocol.records import Build

OnText = Callable[[bytes], None]
"""Told the text of each token as it comes, where the driver streams."""


class BoardError(Exception):
    """A board that does not do what it was asked; the message is one line that says what to do.

    `code` is a short word for events and verdicts: gone, busy, silent, reset, fault, timeout, version, refused, lost.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BadOptions(ValueError):
    """Options of a driver with which no board can ever be opened; the message is one line that says why."""


class Cancelled(Exception):
    """The run was cancelled between tokens."""


Counts = Literal["instructions", "model_cycles", "nothing"]
"""What an emulator's virtual clock counts."""


@dataclass(frozen=True, slots=True)
class PartSpeed:
    """What is known of the part that an emulated machine is or stands for, for the estimate of its speed.

    `flash_bytes_per_s` is how fast it reads its model.
    """

    clock_hz: float
    flash_bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Emulation:
    """How an emulated board's virtual clock is read: `counts_hz` counts are one second of it.

    `part` and `model_bytes` (what is read from flash for each token) are None where they are not known.
    """

    counts: Counts
    counts_hz: float
    part: PartSpeed | None = None
    model_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class BoardInfo:
    """What a board says of itself when it is opened. `identity` is its own serial number, or "" if it has none.

    `emulation` is None for a board that is no emulator.
    """

    build: Build
    identity: str
    tick_hz: int
    """Rate of the clock that times its runs; 10**9 where that is nanoseconds."""
    host_clock: bool
    """The clock that times its runs is the host's own, so that there is nothing to check."""
    flash_bytes: int | None = None
    ram_is_rss: bool = False
    weight_bytes: int | None = None
    """Bytes of weights that its engine reads for each token, where it says so."""
    read_bytes_s: float | None = None
    """How fast its machine reads so many bytes at best, where that was measured."""
    emulation: Emulation | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation as it was observed. Times are nanoseconds of the board's own clock, unwrapped.

    `t0_ns` is when the whole request was known to the timing side; `token_ns[i]` is when token i's id was chosen.
    """

    t0_ns: int
    token_ns: list[int]
    tokens: list[int]
    prompt_tokens: int
    text: bytes
    stopped: Literal["eos", "limit"]
    missing_tokens: int = 0
    """Tokens that the board made but whose ids or times never arrived, whatever was asked again."""
    ram_peak_bytes: int | None = None
    heap_peak_bytes: int | None = None
    stack_peak_bytes: int | None = None
    cpu_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One exchange: host time when it left and came back (CLOCK_MONOTONIC), and the board's clock in between."""

    sent_ns: int
    received_ns: int
    board_ns: int


@dataclass(frozen=True, slots=True)
class LoopCheck:
    """A loop of exactly so many instructions, and how long it took by the board's own clock."""

    instructions: int
    board_ns: int


@dataclass(slots=True)
class LinkCounters:
    """What a link counts where it happens, by name (bad_crc, strangers, resent_groups, log_bytes, ...)."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, n: int = 1) -> None:
        """Counts `n` more of `name`."""
        self.counts[name] = self.counts.get(name, 0) + n


class Driver(Protocol):
    """One board. Every call has a time limit and raises BoardError; none is called from two threads at once."""

    counters: LinkCounters

    def open(self) -> BoardInfo:
        """Connects and asks who is there."""

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        """Generates greedily with an empty KV cache. With `on_text` the tokens are streamed, and the run is marked so.

        Raises Cancelled once `cancelled` is set and the board has stopped.
        """

    def round_trip(self) -> RoundTrip:
        """Asks for the board's clock once."""

    def reset(self) -> None:
        """Resets a board that hangs, by whatever means its configuration gives. `open` follows."""

    def close(self) -> None:
        """Lets go of the port or ends the child. May be called at any time, more than once."""


@runtime_checkable
class LoopDriver(Protocol):
    """A driver whose board can be asked for a loop of known instructions: every emulated board's."""

    def known_loop(self, instructions: int) -> LoopCheck:
        """Lets the board execute a loop of about so many instructions. Raises BoardError."""


@runtime_checkable
class PausableDriver(Protocol):
    """A driver that can let others have the processor in the middle of a call, as an emulator's can."""

    let_others: Callable[[], None]
    """Called about once a second in a long call, while the board stands still; returns when it may go on."""
