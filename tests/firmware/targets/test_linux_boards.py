"""The firmware as a Linux process, natively and under qemu-user: each of its lines, its outputs, its ends."""

import os
import pty
import signal
import subprocess
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest

from tinyprof_agent.drivers.driver import BoardError, Generation
from tinyprof_agent.drivers.probe.board_driver import ProbeDriver
from tinyprof_agent.drivers.probe.options import Options
from tinyprof_agent.profiling.golden_check import compare
from tinyprof_agent.serial_port import SerialPort
from tinyprof_models.golden import shipped_golden
from tinyprof_protocol.records import Build

PROMPTS = ("Once upon a time", "Lily and Tom went to the park", "The little dog", "One day")
END_S = 20.0

BuildFirmware = Callable[..., Path]
StartBoard = Callable[[str, Path], Any]


@dataclass(frozen=True)
class Running:
    """The native firmware as a process of this test's."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def told(self) -> str:
        """The next line that it says to a person."""
        return self.errors.readline().decode()

    def ends(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self.process.wait(END_S)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends it whatever it does, and lets go of its streams."""
    process.kill()
    process.wait(END_S)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@pytest.fixture
def run_native(build_firmware: BuildFirmware) -> Iterator[Callable[..., Running]]:
    """Starts the native firmware with arguments; whatever becomes of the test, it ends."""
    image = build_firmware("native") / "firmware.elf"
    with ExitStack() as endings:

        def begin(*words: str, **how: Any) -> Running:
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **how}
            process = subprocess.Popen([image, *words], stderr=subprocess.PIPE, **streams)
            assert process.stderr is not None
            endings.callback(end, process)
            return Running(process, process.stderr)

        yield begin


def driver_at(port: str) -> ProbeDriver:
    """The agent's own driver at a line."""
    options = Options(port=port, reset="none", open_s=20.0, answer_s=5.0)
    return ProbeDriver("linux", options, time.monotonic_ns, SerialPort)


def generate(driver: ProbeDriver, prompt: str, tokens: int) -> Generation:
    """One generation."""
    return driver.generate(prompt, tokens, timeout_s=120.0, cancelled=threading.Event())


def assert_golden(driver: ProbeDriver, build: Build) -> None:
    """Every golden prompt: none differs, and one at least is golden whole. `driver` is open."""
    golden, outcomes = shipped_golden(), []
    for prompt in PROMPTS:
        run = generate(driver, prompt, 64)
        case = golden.case(build.model_sha256, build.activations, build.kv_cache, prompt)  # type: ignore[arg-type]
        assert case is not None
        outcomes.append(compare(run.tokens, case, ended=run.stopped == "eos").golden)
        assert run.ram_peak_bytes is not None
        assert (run.heap_peak_bytes, run.stack_peak_bytes) == (None, None)
    assert "differs" not in outcomes
    assert "match" in outcomes


@pytest.mark.parametrize("target", ["armv6", "aarch64"])
def test_its_output_is_golden_under_qemu_user(
    target: str, build_firmware: BuildFirmware, start_board: StartBoard
) -> None:
    board = start_board(target, build_firmware(target) / "firmware.elf")
    assert board.info.build.platform == board.target.file.platform
    assert board.info.ram_is_rss
    assert board.info.tick_hz == 10**9
    with pytest.raises(BoardError, match="bad_request"):
        board.driver.known_loop(1000)
    assert_golden(board.driver, board.info.build)


def test_armv6_is_compiled_for_armv6(build_firmware: BuildFirmware) -> None:
    said = subprocess.run(
        ["readelf", "-A", str(build_firmware("armv6") / "firmware.elf")], capture_output=True, text=True, check=True
    ).stdout
    assert "Tag_CPU_arch: v6\n" in said


def test_over_tcp_it_takes_one_connection_and_ends_with_it(run_native: Callable[..., Running]) -> None:
    running = run_native("--tcp", "127.0.0.1:0")
    driver = driver_at(f"socket://{running.told().split()[-1]}")
    assert_golden(driver, driver.open().build)
    driver.close()
    assert running.ends() == 0


def test_its_memory_is_its_own_peak_and_not_that_of_who_started_it(run_native: Callable[..., Running]) -> None:
    running = run_native("--tcp", "127.0.0.1:0")
    driver = driver_at(f"socket://{running.told().split()[-1]}")
    assert driver.open().ram_is_rss
    run = generate(driver, "One day", 8)
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert run.ram_peak_bytes is not None
    assert abs(run.ram_peak_bytes - peak * 1024) <= 64 * 1024
    driver.close()


def test_at_a_terminal_that_it_makes_itself_it_outlives_who_opens_it(
    run_native: Callable[..., Running], tmp_path: Path
) -> None:
    name = tmp_path / "board"
    running = run_native("--pty", str(name))
    assert running.told() == f"a board is at {name}\n"
    for _ in range(2):
        driver = driver_at(str(name))
        driver.open()
        assert len(generate(driver, "One day", 8).tokens) == 8
        driver.close()
    running.process.send_signal(signal.SIGINT)
    assert running.ends() == 0
    assert not name.is_symlink()


def test_at_a_terminal_it_is_given(run_native: Callable[..., Running]) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs, termios.TCSANOW)
    ends = [ours, theirs]
    try:
        running = run_native("--tty", os.ttyname(theirs))
        os.set_blocking(ours, True)
        assert b"tinyprof" in os.read(ours, 4096)  # Hello, unasked
        running.process.send_signal(signal.SIGTERM)
        assert running.ends() == 0
    finally:
        for end in ends:
            os.close(end)


def test_over_standard_input_it_ends_with_it(run_native: Callable[..., Running]) -> None:
    running = run_native(stdin=subprocess.PIPE)
    assert running.process.stdout is not None
    assert running.process.stdin is not None
    assert b"linux-native" in os.read(running.process.stdout.fileno(), 4096)
    running.process.stdin.close()
    assert running.ends() == 0


@pytest.mark.parametrize("words", [("--tcp",), ("--tcp", "0.0.0.0:1"), ("--tcp", "127.0.0.1:x"), ("--serial", "x")])
def test_wrong_use_is_told_in_a_line_with_the_usage(words: tuple[str, ...], run_native: Callable[..., Running]) -> None:
    running = run_native(*words)
    assert words[0] in (first := running.told()) or words[-1] in first
    assert running.told().startswith("usage: ")
    assert running.ends() == 2


def test_help_is_the_usage(run_native: Callable[..., Running]) -> None:
    running = run_native("--help")
    assert running.process.stdout is not None
    assert running.process.stdout.read().startswith(b"usage: ")
    assert running.ends() == 0


def test_a_terminal_that_is_not_there_is_told_in_a_line(run_native: Callable[..., Running], tmp_path: Path) -> None:
    running = run_native("--tty", str(tmp_path / "none"))
    assert running.told() == f"cannot open {tmp_path / 'none'}: No such file or directory\n"
    assert running.ends() == 1
