"""Clock and flash bandwidth of the part that an emulator is or stands for: for the estimate of its speed."""

from tinyprof_agent.drivers.driver import PartSpeed
from tinyprof_platforms.catalogue import CatalogueError, find_platform


def part_speed(part: str | None) -> PartSpeed | None:
    """The figures of the platform catalogue; None for no part, or one of which either figure is not known."""
    if part is None:
        return None
    try:
        _, platform = find_platform(part)
    except (CatalogueError, KeyError):
        return None
    clock, flash = platform.clock_hz, platform.weights_bytes_s
    return None if clock is None or flash is None else PartSpeed(clock.value, flash.value)
