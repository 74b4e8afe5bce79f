"""Builds firmware with make, once for each choice of options, and runs it in the emulator that its target names."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tinyprof_agent.drivers.driver import BoardInfo
from tinyprof_agent.drivers.emulated.driver import filled_in
from tinyprof_agent.drivers.emulated.emulator import Emulator, free_loopback_port, start
from tinyprof_agent.drivers.emulated.installed import emulator_missing, find_target, toolchain_missing
from tinyprof_agent.drivers.probe.board_driver import ProbeDriver
from tinyprof_agent.drivers.probe.options import Options
from tinyprof_agent.serial_port import BytePort, SerialPort
from tinyprof_platforms.targets import Target

FIRMWARE = Path(__file__).resolve().parents[3] / "firmware"
BUILD_LIMIT_S = 240
START_LIMIT_S = 30


def need(missing: str | None) -> None:
    """Leaves the test out where something is not installed, or fails it if TINYPROF_TEST_EVERYTHING is 1."""
    if missing is None:
        return
    if os.environ.get("TINYPROF_TEST_EVERYTHING") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def make_firmware() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs make for a target, with options such as KV="f32", and returns what came of it."""

    def run(target: str, **options: str) -> subprocess.CompletedProcess[str]:
        need(toolchain_missing(find_target(target, FIRMWARE)))
        need(None if shutil.which("make") else "make is not installed: apt install make")
        words = [f"{name}={value}" for name, value in options.items()]
        command = ["make", "-C", str(FIRMWARE), f"TARGET={target}", f"PYTHON={sys.executable}", *words]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        return subprocess.run(
            command, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False, env=environment
        )

    return run


@pytest.fixture(scope="session")
def build_firmware(
    make_firmware: Callable[..., subprocess.CompletedProcess[str]],
) -> Callable[..., Path]:
    """Builds a target and returns the folder of its images; a variant has a name and a folder of its own."""
    built: dict[tuple[str, str], Path] = {}

    def build(target: str, variant: str = "", **options: str) -> Path:
        key = (target, variant)
        if key not in built:
            folder = f"build/{target}-{variant}" if variant else f"build/{target}"
            made = make_firmware(target, OUT=folder, **options)
            assert made.returncode == 0, made.stdout + made.stderr
            built[key] = FIRMWARE / folder
        return built[key]

    return build


class RecordingPort:
    """A line that keeps all that came over it."""

    def __init__(self, port: BytePort, said: bytearray) -> None:
        self._port = port
        self._said = said

    def read(self, timeout_s: float) -> bytes:
        """What came, and kept."""
        data = self._port.read(timeout_s)
        self._said += data
        return data

    def write(self, data: bytes) -> None:
        """Sends it."""
        self._port.write(data)

    def drain(self) -> None:
        """Throws nothing away: what came before anyone asked is to be seen."""

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        """Sets the control lines."""
        self._port.set_lines(dtr=dtr, rts=rts)

    def close(self) -> None:
        """Lets go of it."""
        self._port.close()


@dataclass(frozen=True)
class EmulatedBoard:
    """A firmware in its emulator, with the agent's own driver at the line."""

    target: Target
    emulator: Emulator
    driver: ProbeDriver
    info: BoardInfo
    ports: list[BytePort]
    """The line, anew each time that the driver opened it."""
    said: bytearray
    """Every byte that the board has sent."""


@pytest.fixture
def start_board() -> Iterator[Callable[[str, Path], EmulatedBoard]]:
    """Starts a target's emulator with an image; it ends with the test."""
    with ExitStack() as endings:

        def begin(name: str, image: Path) -> EmulatedBoard:
            target = find_target(name, FIRMWARE)
            need(emulator_missing(target))
            plan = target.file.emulator
            assert plan is not None

            def command(port: int) -> list[str]:
                values = {"port": str(port), "image": str(image), "shift": str(plan.shift or 0)}
                return [filled_in(word, {**values, "target": str(target.folder)}) for word in plan.command]

            emulator = start(command, target.folder, START_LIMIT_S, free_loopback_port)
            endings.callback(emulator.end)
            said = bytearray()
            options = Options(port=f"socket://127.0.0.1:{emulator.port}", reset="none", open_s=20.0, answer_s=5.0)
            ports: list[BytePort] = []

            def open_port(port: str, baud: int) -> BytePort:
                ports.append(RecordingPort(SerialPort(port, baud), said))
                return ports[-1]

            driver = ProbeDriver(name, options, time.monotonic_ns, open_port)
            endings.callback(driver.close)
            return EmulatedBoard(target, emulator, driver, driver.open(), ports, said)

        yield begin
