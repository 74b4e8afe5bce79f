"""RISC-V and Xtensa firmware in its emulators, by the agent's own driver; the ESP32-C3's image as a file."""

import re
import struct
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tinyprof_agent.drivers.driver import BoardError, Generation
from tinyprof_agent.drivers.probe.frames import FrameDecoder
from tinyprof_agent.drivers.probe.messages import Log, decode_board_message
from tinyprof_agent.profiling.golden_check import compare
from tinyprof_models.golden import shipped_golden

BOARDS = {"rv32imc": 8192, "lx106": 6144}
"""Targets, and the bytes of their stacks."""
SIZE = {"rv32imc": "riscv64-unknown-elf-size", "lx106": "xtensa-lx106-elf-size"}
PROMPTS = ("One day", "The little dog")
LOOP = 2_000_000
LIMIT_S = 120.0

Build = Callable[..., Path]
Make = Callable[..., subprocess.CompletedProcess[str]]
StartBoard = Callable[[str, Path], Any]


def generate(board: Any, prompt: str, tokens: int) -> Generation:
    """One generation."""
    result: Generation = board.driver.generate(prompt, tokens, timeout_s=LIMIT_S, cancelled=threading.Event())
    return result


def duration_ns(run: Generation) -> int:
    """From the whole prompt to the last token, by the board's clock."""
    return run.token_ns[-1] - run.t0_ns


def logs_of(said: bytearray) -> list[str]:
    """The lines of the board's log that came in frames."""
    messages = [decode_board_message(body) for body in FrameDecoder().feed(bytes(said)).bodies]
    return [message.text.decode() for message in messages if isinstance(message, Log)]


@pytest.fixture(params=BOARDS)
def board(request: pytest.FixtureRequest, build_firmware: Build, start_board: StartBoard) -> Any:
    """An ordinary firmware of each target, just started."""
    return start_board(request.param, build_firmware(request.param) / "firmware.elf")


def test_its_output_is_golden_and_its_counts_are_the_same_twice(board: Any) -> None:
    build = board.info.build
    assert build.platform == board.target.file.platform
    assert board.info.identity == ""
    golden = shipped_golden()
    outcomes = []
    for prompt in PROMPTS:
        run = generate(board, prompt, 64)
        assert len(run.tokens) == 64
        case = golden.case(build.model_sha256, build.activations, build.kv_cache, prompt)
        assert case is not None
        outcomes.append(compare(run.tokens, case, ended=run.stopped == "eos").golden)
    assert "match" in outcomes
    assert "differs" not in outcomes
    first, second = (generate(board, "One day", 16) for _ in range(2))
    assert first.tokens == second.tokens
    assert abs(duration_ns(first) - duration_ns(second)) <= duration_ns(first) * 1e-4
    assert board.driver.counters.counts.get("bad_crc", 0) == 0


def test_what_it_says_of_memory_is_what_the_linker_placed(board: Any, build_firmware: Build) -> None:
    name = board.target.name
    image = build_firmware(name) / "firmware.elf"
    said = subprocess.run([SIZE[name], str(image)], capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(word) for word in said.splitlines()[1].split()[:3])
    run = generate(board, "One day", 4)
    assert run.stack_peak_bytes is not None
    assert run.ram_peak_bytes is not None
    assert 256 < run.stack_peak_bytes < BOARDS[name] / 2  # twice what is used is there
    assert run.heap_peak_bytes == 0
    assert abs(run.ram_peak_bytes - run.stack_peak_bytes - (data + bss - BOARDS[name])) <= 128
    assert abs(board.info.flash_bytes - text - data) <= 256
    limits = board.target.file.limits
    assert limits is not None
    assert data + bss <= limits.ram_bytes
    assert text + data <= limits.flash_bytes


def test_a_loop_of_known_instructions_reads_back_within_a_thousandth(board: Any) -> None:
    shift = board.target.file.emulator.shift
    checked = board.driver.known_loop(LOOP)
    assert checked.instructions == LOOP
    assert abs(checked.board_ns / 2**shift / checked.instructions - 1) < 1e-3


@pytest.mark.parametrize("target", BOARDS)
@pytest.mark.parametrize(
    ("prompt", "cause"),
    [("!fault", r"breakpoint, pc 0x[24]0"), ("!overflow", r"stack overflow, pc 0x[24]0\w+, .* address 0x[57]fff")],
)
def test_a_fault_is_reported_by_the_start_after_it(
    target: str, prompt: str, cause: str, build_firmware: Build, start_board: StartBoard
) -> None:
    board = start_board(target, build_firmware(target, variant="fault", DEFINES="-DFAULT_TEST") / "firmware.elf")
    before = generate(board, "One day", 4).tokens
    with pytest.raises(BoardError) as why:
        generate(board, prompt, 4)
    assert why.value.code == "reset"
    with suppress(BoardError):
        board.driver.round_trip()  # the report is on the line before its answer
    assert [line for line in logs_of(board.said) if re.search(f"reset by a fault: {cause}", line)], board.said
    board.driver.open()
    assert generate(board, "One day", 4).tokens == before


@pytest.mark.parametrize(
    ("target", "options"), [("rv32imc", {"KV": "f32", "STACK_BYTES": "65536"}), ("lx106", {"KV": "f16"})]
)
def test_a_build_that_does_not_fit_fails_in_one_line_that_says_what_would(
    target: str, options: dict[str, str], make_firmware: Make
) -> None:
    made = make_firmware(target, OUT=f"build/{target}-nofit", **options)
    assert made.returncode != 0
    lines = [line for line in made.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert "does not fit: RAM" in lines[0]
    assert "would fit" in lines[0]


def test_the_image_of_an_esp32_c3_is_laid_out_as_its_rom_starts_it(build_firmware: Build) -> None:
    folder = build_firmware("esp32c3")
    image, flash = (folder / "firmware.elf").read_bytes(), (folder / "firmware.bin").read_bytes()
    assert flash[:8] == struct.pack("<II", 0xAEDB041D, 0xAEDB041D)
    assert len(flash) <= 4 << 20
    offset, count = struct.unpack_from("<I", image, 28)[0], struct.unpack_from("<H", image, 44)[0]
    for at in range(offset, offset + 32 * count, 32):
        kind, place, seen, kept, stored, size = struct.unpack_from("<6I", image, at)
        if kind != 1:
            continue
        assert flash[kept : kept + stored] == image[place : place + stored]
        if seen >> 24 in (0x42, 0x3C):
            assert seen & 0xFFFFFF == kept  # the ROM maps flash as it is
        else:
            assert 0x3FC80000 <= seen <= seen + size <= 0x3FCE0000
    jump = struct.unpack_from("<I", flash, 8)[0]
    assert jump & 0xFFF == 0x06F  # jal x0: the ROM jumps to what follows the two words
