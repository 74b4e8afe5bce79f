"""Boards that an emulator on this machine stands for: the same firmware over the same link, on a virtual clock."""

from tinyprof_agent.drivers.driver import BadOptions
from tinyprof_agent.drivers.emulated.driver import EmulatedDriver
from tinyprof_agent.drivers.emulated.installed import find_target
from tinyprof_agent.drivers.emulated.options import Options
from tinyprof_agent.drivers.probe.link import Clock
from tinyprof_platforms.targets import TargetError

__all__ = ["DEFAULT_SUITE", "EmulatedDriver", "Options", "default_processor", "make"]

DEFAULT_SUITE = "emulated"


def default_processor(_options: Options) -> str:
    """Emulators run on this machine and share its processor with whatever else is measured there."""
    return "host"


def make(name: str, options: Options, clock: Clock) -> EmulatedDriver:
    """A driver that starts its emulator when it is opened. Raises BadOptions for a target that there is not."""
    try:
        target = find_target(options.target, options.firmware)
    except TargetError as why:
        raise BadOptions(str(why)) from None
    if target.file.emulator is None:
        raise BadOptions(f"target {target.name!r} is built and not run: its target.toml names no emulator")
    return EmulatedDriver(name, options, target, clock)
