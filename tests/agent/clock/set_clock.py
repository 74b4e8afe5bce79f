"""A clock that stands where a test puts it."""

from dataclasses import dataclass

from tinyprof_agent.clock import Reading
from tinyprof_protocol.records import TimeSource


@dataclass(slots=True)
class SetClock:
    """Time passes when the test lets it."""

    wall_ns: int | None = 1_800_000_000 * 10**9
    boottime_ns: int = 100 * 10**9
    boot: bytes = bytes(16)
    source: TimeSource = "clock"

    def read(self) -> Reading:
        """Where it stands."""
        return Reading(self.boot, self.boottime_ns, self.wall_ns, self.source)

    def pass_s(self, seconds: float) -> None:
        """Lets time go on."""
        self.boottime_ns += int(seconds * 1e9)
        if self.wall_ns is not None:
            self.wall_ns += int(seconds * 1e9)

    def step_s(self, seconds: float) -> None:
        """Sets the wall clock on or back, with no time passing."""
        if self.wall_ns is not None:
            self.wall_ns += int(seconds * 1e9)
