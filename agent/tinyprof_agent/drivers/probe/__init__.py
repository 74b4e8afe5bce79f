"""Boards that speak tinyprof's link over a serial port (docs/link-protocol.md)."""

from tinyprof_agent.drivers.driver import Driver
from tinyprof_agent.drivers.probe.board_driver import ProbeDriver
from tinyprof_agent.drivers.probe.link import Clock
from tinyprof_agent.drivers.probe.options import Options

__all__ = ["Options", "make"]


def make(name: str, options: Options, clock: Clock) -> Driver:
    """The driver of one board; `clock` gives the host's monotonic nanoseconds. Nothing is opened yet."""
    return ProbeDriver(name, options, clock)
