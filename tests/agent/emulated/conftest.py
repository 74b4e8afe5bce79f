"""Targets in a folder of their own, whose emulator is a soft board on a TCP port."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinyprof_agent.drivers.emulated import EmulatedDriver, Options, make

BOARD = Path(__file__).with_name("virtual_board.py")
TARGET = """
platform = "host"
title = "a board in software"
stands_for = "nothing-real"
[toolchain]
program = "cc"
[emulator]
program = "sh"
packages = ["some-emulator"]
command = {command}
counts = "{counts}"
shift = 3
image = "firmware.elf"
"""
MakeDriver = Callable[..., EmulatedDriver]


def write_target(folder: Path, *arguments: str, counts: str = "instructions", name: str = "virtual") -> Path:
    """A firmware folder with one target whose image is there."""
    firmware = folder / "firmware"
    command = [sys.executable, str(BOARD), "{port}", *arguments]
    (firmware / "targets" / name).mkdir(parents=True, exist_ok=True)
    (firmware / "targets" / name / "target.toml").write_text(TARGET.format(command=json.dumps(command), counts=counts))
    (firmware / "build" / name).mkdir(parents=True, exist_ok=True)
    (firmware / "build" / name / "firmware.elf").write_bytes(b"")
    return firmware


@pytest.fixture
def make_emulated(tmp_path: Path) -> Iterator[MakeDriver]:
    """Makes a driver of a virtual board with these arguments; whatever it started is ended."""
    made: list[EmulatedDriver] = []

    def make_one(*arguments: str, counts: str = "instructions", **options: object) -> EmulatedDriver:
        firmware = write_target(tmp_path, *arguments, counts=counts)
        settings = Options(target="virtual", firmware_dir=str(firmware), **options)  # type: ignore[arg-type]
        made.append(make("virtual-1", settings, time.monotonic_ns))
        return made[-1]

    yield make_one
    for driver in made:
        driver.close()
