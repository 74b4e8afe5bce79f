"""Boards with the real firmware, each behind a line with faults: an STM32F405 in QEMU, and the Linux build.

Both are `emulated` boards of the agent. The firmware is that with the prompts `!fault`, `!overflow` and `!hang`.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from line_with_faults import Faults, LineWithFaults
from msgspec import structs

from tinyprof_agent.drivers.driver import Generation
from tinyprof_agent.drivers.emulated import EmulatedDriver, Options
from tinyprof_agent.drivers.emulated.installed import emulator_missing, toolchain_missing
from tinyprof_agent.profiling.run import RunPlan, Surroundings, run
from tinyprof_agent.serial_port import SerialPort
from tinyprof_agent.worker_surroundings import shipped_cases
from tinyprof_platforms.suites import Suite
from tinyprof_platforms.targets import Target, read_target
from tinyprof_protocol.records import Result

FIRMWARE: Final = Path(__file__).resolve().parents[2] / "firmware"
BUILD_LIMIT_S: Final = 240
SUITE: Final = Suite(prompts=("One day",), gate=("One day",), max_tokens=16, min_timed_s=0, max_timed_s=60)
LONG: Final = structs.replace(SUITE, max_tokens=200, gate=())
QEMU: Final = "stm32f405"
LINUX: Final = "native"
NEVER: Final = threading.Event()
LINUX_TARGET: Final = """
platform = "linux-native"
title = "the Linux build"
[toolchain]
program = "gcc"
packages = ["gcc"]
[emulator]
program = "sh"
command = ["{image}", "--tcp", "127.0.0.1:{port}"]
counts = "nothing"
"""


def need(missing: str | None) -> None:
    """Leaves the test out where something is not installed, or fails it if TINYPROF_TEST_EVERYTHING is 1."""
    if missing is None:
        return
    if os.environ.get("TINYPROF_TEST_EVERYTHING") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


def built(target: Target, variant: str, defines: str) -> Path:
    """The image of a target with these macros; make builds it where it is not up to date."""
    need(toolchain_missing(target) or (None if shutil.which("make") else "make is not installed: apt install make"))
    out = f"build/{target.name}-{variant}"
    words = ["make", "-C", str(FIRMWARE), f"TARGET={target.name}", f"OUT={out}", f"DEFINES={defines}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        [*words, f"PYTHON={sys.executable}"], capture_output=True, text=True, timeout=BUILD_LIMIT_S, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return FIRMWARE / out / "firmware.elf"


class FirmwareBoard:
    """A board of the agent whose line has the faults in `faults`; `folder` is a short one for what it needs."""

    def __init__(
        self, kind: str, folder: Path, *, variant: str = "fault", defines: str = "-DFAULT_TEST", **options: float
    ) -> None:
        self.kind, self.faults = kind, Faults()
        self.folder = folder / variant / kind
        self.folder.mkdir(parents=True)
        said = (FIRMWARE / "targets" / kind / "target.toml").read_text() if kind != LINUX else LINUX_TARGET
        monitor = '"-monitor", "unix:monitor,server=on,wait=off"'
        (self.folder / "target.toml").write_text(said.replace('"-monitor", "none"', monitor))
        target = read_target(self.folder)
        need(emulator_missing(target))
        self.image = built(target, variant, defines)
        self._lines: list[LineWithFaults] = []
        patience = {"answer_s": 0.5, "tries": 8, "stop_s": 5.0} | options
        settings = Options(target=str(self.folder), image=str(self.image), **patience)  # type: ignore[arg-type]
        self.driver = EmulatedDriver(kind, settings, target, time.monotonic_ns, self._open_port)

    def counted(self, name: str) -> int:
        """What the agent's side of the link has counted."""
        return self.driver.counters.counts.get(name, 0)

    def generate(self, prompt: str, max_tokens: int, timeout_s: float = 60.0) -> Generation:
        """One generation."""
        return self.driver.generate(prompt, max_tokens, timeout_s=timeout_s, cancelled=NEVER)

    def measure(self, suite: Suite = SUITE) -> Result:
        """Opens the board and runs a suite on it, as an agent does."""
        info = self.driver.open()
        around = Surroundings(time.monotonic_ns, shipped_cases(info.build))
        return run(self.driver, info, RunPlan(bytes(16), self.kind, "emulated", suite), around, NEVER).result

    def send_to_board(self, data: bytes) -> None:
        """Bytes that no agent has sent."""
        self._lines[-1].send_to_board(data)

    def start_anew(self) -> None:
        """Resets the board as its reset pin would: QEMU by its monitor, while it runs."""
        # The path of a socket is short; that of a test's folder need not be.
        here = os.open(self.folder, os.O_RDONLY)
        try:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.connect(f"/proc/self/fd/{here}/monitor")
                monitor.sendall(b"system_reset\n")
                monitor.shutdown(socket.SHUT_WR)
                monitor.settimeout(10)
                while monitor.recv(4096):
                    continue
        finally:
            os.close(here)

    def close(self) -> None:
        """Ends the emulator and the lines to it."""
        self.driver.close()
        for line in self._lines:
            line.close()

    def _open_port(self, path: str, baud: int) -> SerialPort:
        self._lines.append(LineWithFaults(int(path.rpartition(":")[2]), self.faults))
        return SerialPort(f"socket://127.0.0.1:{self._lines[-1].port}", baud)


def assert_whole(result: Result) -> None:
    """Nothing was lost: every token came, they are the golden ones, and what was counted agrees."""
    assert (result.verdict, result.reasons, result.golden) == ("valid", [], "match")
    assert {one.output_tokens for one in result.repetitions} == {result.max_tokens}


def names_in(image: Path, addresses: Sequence[int]) -> list[str]:
    """The function that each address of an ARM image lies in, or was inlined into."""
    words = ["arm-none-eabi-addr2line", "-f", "-e", str(image), *map(hex, addresses)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[::2]
