"""What time it is, and what may be believed of it: the rules that turn time since boot into wall time.

Everything here is pure over readings that come in, but for `HostClock`, which takes them from the machine.
"""

import contextlib
import functools
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from tinyprof_protocol.records import TimeSource

Trust = Literal["always", "auto"]

STEP_BACK_NS = 1_000_000_000
UNSYNCHRONISED_WAIT_NS = 60 * 1_000_000_000
LATEST_NS = 7_258_118_400 * 1_000_000_000
"""The year 2200: no collector's time beyond it is taken, so that no time stamp leaves int64."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x0040


@dataclass(frozen=True, slots=True)
class Raw:
    """One reading of the machine's clocks, nanoseconds: since 1970 as the system has it, and since boot."""

    wall_ns: int
    boottime_ns: int
    synchronised: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What may be believed of a `Raw`: `wall_ns` is None while no clock can be trusted."""

    boot: bytes
    boottime_ns: int
    wall_ns: int | None
    source: TimeSource = "clock"


class Clock(Protocol):
    """Where the spool takes its time from."""

    def read(self) -> Reading:
        """The present moment. May be called from any thread."""


@dataclass(frozen=True, slots=True)
class BootSpan:
    """Consecutive records of one boot that have no wall time: the first and the last time since that boot."""

    first_ns: int
    last_ns: int


def judge(trust: Trust, boot: bytes, raw: Raw, started_ns: int, anchor_ns: int | None) -> Reading:
    """The wall time of a reading, if any can be trusted.

    `started_ns` is the time since boot when the agent started; `anchor_ns` is a live collector's time minus the time
    since boot when it came, None if none came. It is taken only once the system's clock stayed unsynchronised for 60 s.
    """
    if trust == "always" or raw.synchronised:
        return Reading(boot, raw.boottime_ns, raw.wall_ns)
    waited = raw.boottime_ns - started_ns >= UNSYNCHRONISED_WAIT_NS
    if waited and anchor_ns is not None:
        return Reading(boot, raw.boottime_ns, raw.boottime_ns + anchor_ns, "estimated")
    return Reading(boot, raw.boottime_ns, None)


def stepped_back(previous: Reading | None, now: Reading, last_ns: int) -> bool:
    """Whether the clock went back by over 1 s, against time since boot or against the last time that was given out."""
    if now.wall_ns is None:
        return False
    if last_ns - now.wall_ns > STEP_BACK_NS:
        return True
    if previous is None or previous.wall_ns is None or previous.boot != now.boot:
        return False
    offset, before = now.wall_ns - now.boottime_ns, previous.wall_ns - previous.boottime_ns
    return before - offset > STEP_BACK_NS


def epoch_digits(epoch: bytes) -> int:
    """The last three digits of every time in an epoch, so that two epochs never share a time."""
    return int.from_bytes(epoch, "big") % 1000


def stamp(wall_ns: int, last_ns: int, epoch: bytes) -> int:
    """The time of the next record of an epoch: whole microseconds are time, and it is after `last_ns` (0: none yet)."""
    return max(wall_ns // 1000, last_ns // 1000 + 1) * 1000 + epoch_digits(epoch)


def place_before(spans: Sequence[BootSpan], boot_wall_ns: int) -> list[int]:
    """For earlier boots, oldest first: what to add to time since boot so that all lie, in order, before this boot.

    The gaps between the records of one boot are kept; each boot ends 1 µs before the next one's first record.
    """
    offsets: list[int] = []
    end_ns = boot_wall_ns
    for span in reversed(spans):
        offset = end_ns - 1000 - span.last_ns
        offsets.append(offset)
        end_ns = span.first_ns + offset
    return offsets[::-1]


class HostClock:
    """This machine's clocks under a rule of trust. `observe` is told the time that live collectors carry."""

    def __init__(self, trust: Trust, boot: bytes, raw: Callable[[], Raw]) -> None:
        self._trust = trust
        self._boot = boot
        self._raw = raw
        self._lock = threading.Lock()
        self._anchor_ns: int | None = None
        self._synchronised = False
        self._started_ns = raw().boottime_ns
        self.skew_ns: int | None = None
        """A live collector's time minus the system's, when it was last heard."""

    def read(self) -> Reading:
        """The present moment. A clock that was once synchronised stays trusted until the agent ends."""
        raw = self._raw()
        with self._lock:
            self._synchronised = self._synchronised or raw.synchronised
            sure = Raw(raw.wall_ns, raw.boottime_ns, self._synchronised)
            return judge(self._trust, self._boot, sure, self._started_ns, self._anchor_ns)

    def observe(self, collector_ns: int) -> None:
        """Takes note of the time in a collector's status that came live (a retained one may be of any age)."""
        if not 0 < collector_ns < LATEST_NS:
            return
        raw = self._raw()
        with self._lock:
            self._anchor_ns = collector_ns - raw.boottime_ns
            self.skew_ns = collector_ns - raw.wall_ns


def host_clock(trust: Trust) -> HostClock:
    """The clock of this machine."""
    return HostClock(trust, boot_id(), functools.partial(read_raw, check=trust == "auto"))


def boot_id(path: Path = _BOOT_ID) -> bytes:
    """16 bytes that the kernel made at boot; where it gives none, each start of the agent counts as a boot."""
    with contextlib.suppress(OSError, ValueError):
        return uuid.UUID(path.read_text().strip()).bytes
    return uuid.uuid4().bytes


def read_raw(check: bool) -> Raw:
    """Reads the machine's clocks; `check` asks the kernel whether its clock is synchronised (no: it counts as so)."""
    boottime = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    synchronised = kernel_synchronised() if check else True
    return Raw(time.time_ns(), time.clock_gettime_ns(boottime), synchronised)


def kernel_synchronised() -> bool:
    """Whether the kernel says that its clock is kept right (adjtimex without STA_UNSYNC); False where it cannot say."""
    asked = _adjtimex()
    return asked is not None and asked() & _STA_UNSYNC == 0


@functools.cache
def _adjtimex() -> Callable[[], int] | None:
    """Reads the kernel's clock status word. ctypes is loaded only where the rule of trust needs it."""
    import ctypes

    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_uint),
            ("offset", ctypes.c_long),
            ("freq", ctypes.c_long),
            ("maxerror", ctypes.c_long),
            ("esterror", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_byte * 256),
        )

    try:
        function = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None

    def status() -> int:
        timex = Timex()
        return int(timex.status) if function(ctypes.byref(timex)) >= 0 else _STA_UNSYNC

    return status
