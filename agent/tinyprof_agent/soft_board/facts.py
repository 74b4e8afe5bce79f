"""What a soft board knows of itself, and its counter."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tinyprof_agent.drivers.probe.messages import (
    RAM_IS_RSS,
    Firmware,
    Hello,
    Limits,
    Machine,
    Model,
)

NS = 10**9
PROTOCOL = 1
_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PromptTooLong(Exception):
    """The prompt leaves no room in the model's context."""


class Generator(Protocol):
    """A model that runs."""

    firmware: Firmware
    model: Model
    eos: int

    def encode(self, prompt: str) -> list[int]:
        """The prompt's tokens. Raises PromptTooLong."""

    def greedy(self, prompt_tokens: Sequence[int], max_tokens: int) -> Iterator[int]:
        """The likeliest tokens, as they are chosen, from an empty cache."""

    def text(self, tokens: Sequence[int]) -> bytes:
        """The text of tokens."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of `tick_bits` bits at `tick_hz`, made of a clock in nanoseconds."""

    tick_hz: int
    tick_bits: int
    clock: Callable[[], int] = time.perf_counter_ns

    @property
    def mask(self) -> int:
        """The counter's largest value."""
        return (1 << self.tick_bits) - 1

    def __call__(self) -> int:
        """The counter now."""
        now = self.clock()
        return (now if self.tick_hz == NS else now * self.tick_hz // NS) & self.mask


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while the board is on."""

    firmware: Firmware
    model: Model
    limits: Limits
    identity: str | None

    def hello(self, nonce: int, boot: int) -> Hello:
        """The board's `hello`."""
        machine = Machine("host", self.identity, 0, _ram_bytes(), 0, 0, RAM_IS_RSS)
        return Hello(nonce, PROTOCOL, boot, self.firmware, machine, self.limits, self.model)


def start_peak_anew() -> None:
    """Lets the kernel count the peak resident set from now on; where it cannot, the peak is of the whole life."""
    try:
        _CLEAR_REFS.write_text("5")
    except OSError:
        return


def peak_bytes() -> int | None:
    """The peak resident set in bytes, or None where the system does not tell it."""
    return _kib_field(_STATUS, "VmHWM:")


def _ram_bytes() -> int:
    return _kib_field(Path("/proc/meminfo"), "MemTotal:") or 0


def _kib_field(path: Path, field: str) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)
