"""The ARM targets' firmware in their emulators, by the agent's own driver: what it says, makes, counts and survives."""

import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tinyprof_agent.drivers.driver import BoardError, Generation
from tinyprof_agent.drivers.probe.frames import FrameDecoder, encode_frame
from tinyprof_agent.drivers.probe.messages import (
    RUNNING,
    AskStats,
    End,
    Hello,
    Log,
    Run,
    Stats,
    decode_board_message,
    encode_message,
)
from tinyprof_agent.profiling.golden_check import compare, overall
from tinyprof_models.golden import shipped_golden

ARM = ("stm32f405", "cortex-m7", "rp2040")
LOOP = 2_000_000
STACK_BYTES = 8192
LIMIT_S = 120.0
NEVER = threading.Event()
BURST = range(1, 21)
Told = TypeVar("Told")

Build = Callable[..., Path]
StartBoard = Callable[[str, Path], Any]


@pytest.fixture(params=ARM)
def arm_board(request: pytest.FixtureRequest, build_firmware: Build, start_board: StartBoard) -> Any:
    """An ordinary firmware of each target."""
    return start_board(request.param, build_firmware(request.param) / "firmware.elf")


def generate(board: Any, prompt: str, tokens: int) -> Generation:
    """One generation."""
    result: Generation = board.driver.generate(prompt, tokens, timeout_s=LIMIT_S, cancelled=NEVER)
    return result


def duration_ns(run: Generation) -> int:
    """From the whole prompt to the last token, by the board's clock."""
    return run.token_ns[-1] - run.t0_ns


def told(said: bytearray, kind: type[Told]) -> list[Told]:
    """All messages of a kind that the board has sent."""
    messages = [decode_board_message(body) for body in FrameDecoder().feed(bytes(said)).bodies]
    return [message for message in messages if isinstance(message, kind)]


def logs_of(said: bytearray) -> list[str]:
    """The lines of the board's log that came in frames."""
    return [message.text.decode() for message in told(said, Log)]


def elf_sizes(size: str, image: Path) -> tuple[int, int]:
    """Flash and RAM of an image as binutils' size has them."""
    said = subprocess.run([size, str(image)], capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(word) for word in said.splitlines()[1].split()[:3])
    return text + data, data + bss


def test_a_board_says_who_it_is_and_gives_the_golden_output(arm_board: Any) -> None:
    """The gate as a run has it, over all 64 tokens, and two runs whose counts agree."""
    build = arm_board.info.build
    assert build.platform == arm_board.target.file.platform
    assert build.model == "stories260k-q4_0"
    image = Path(__file__).resolve().parents[3] / "firmware" / "build" / arm_board.target.name / "firmware.elf"
    flash, ram = elf_sizes("arm-none-eabi-size", image)
    assert abs(arm_board.info.flash_bytes - flash) <= 64  # alignment between sections

    began = time.monotonic()
    runs = [generate(arm_board, "One day", 16) for _ in range(2)]
    print(f"\n{build.platform}: two runs of 16 tokens in {time.monotonic() - began:.1f} s")
    first, second = (duration_ns(run) for run in runs)
    assert abs(first - second) <= first * 1e-4
    assert runs[0].tokens == runs[1].tokens

    began = time.monotonic()
    long = generate(arm_board, "The little dog", 64)
    print(f"{build.platform}: 64 tokens in {time.monotonic() - began:.1f} s")
    assert len(long.tokens) == 64
    golden = shipped_golden()
    checked = {
        prompt: compare(
            run.tokens,
            golden.case(build.model_sha256, "int8", build.kv_cache, prompt),
            ended=False,
        ).golden
        for prompt, run in {"One day": runs[0], "The little dog": long}.items()
    }
    assert overall(list(checked.values())) in ("match", "tie"), checked
    assert "match" in checked.values(), checked

    for run in (*runs, long):
        assert run.stack_peak_bytes is not None
        assert run.ram_peak_bytes is not None
        assert 256 < run.stack_peak_bytes < STACK_BYTES
        assert run.heap_peak_bytes == 0
        assert abs(run.ram_peak_bytes - run.stack_peak_bytes - (ram - STACK_BYTES)) <= 64
    assert arm_board.driver.counters.counts.get("bad_crc", 0) == 0


def test_a_loop_of_known_instructions_reads_back_on_the_real_counter(arm_board: Any) -> None:
    """Within 0.1% of what the emulator counts."""
    plan = arm_board.target.file.emulator
    checked = arm_board.driver.known_loop(LOOP)
    assert abs(checked.instructions - LOOP) <= LOOP / 100
    ns_each = 2**plan.shift if plan.counts == "instructions" else 1e9 / arm_board.info.tick_hz
    assert abs(checked.board_ns / ns_each / checked.instructions - 1) < 1e-3
    twice = arm_board.driver.known_loop(2 * LOOP)
    assert abs(twice.board_ns / checked.board_ns / (twice.instructions / checked.instructions) - 1) < 1e-3


def test_what_comes_during_a_forward_pass_is_not_lost(arm_board: Any) -> None:
    """A run and twenty questions right behind it, in one go: each is answered, most of them while it runs."""
    questions = b"".join(encode_frame(encode_message(AskStats(nonce))) for nonce in BURST)
    arm_board.ports[-1].write(encode_frame(encode_message(Run(7, 0, 1, 8, 0, b"The little dog"))) + questions)
    deadline = time.monotonic() + LIMIT_S
    while not (told(arm_board.said, End) and len(told(arm_board.said, Stats)) >= len(BURST)):
        assert time.monotonic() < deadline, told(arm_board.said, Stats)
        arm_board.ports[-1].read(0.05)
    stats = [message for message in told(arm_board.said, Stats) if message.nonce]
    assert [message.nonce for message in stats] == list(BURST)
    assert stats[0].state == RUNNING
    assert stats[-1].dropped == 0


CAUSES = {
    ("stm32f405", "!fault"): "undefined instruction, pc 0x080",
    ("stm32f405", "!overflow"): r"stack overflow, .* address 0x1fff",
    ("cortex-m7", "!fault"): "undefined instruction, pc 0x0000",
    ("cortex-m7", "!overflow"): r"stack overflow, .* address 0x1fff",
    ("rp2040", "!fault"): "hard fault, pc 0x1000",
    ("rp2040", "!overflow"): "stack overflow",
}


@pytest.mark.parametrize(("target", "prompt"), CAUSES)
def test_a_fault_is_reported_by_the_start_after_it(
    target: str, prompt: str, build_firmware: Build, start_board: StartBoard
) -> None:
    """The chip resets itself, tells what happened, with another boot id, and works."""
    image = build_firmware(target, variant="fault", DEFINES="-DFAULT_TEST") / "firmware.elf"
    board = start_board(target, image)
    before = generate(board, "One day", 4).tokens
    with pytest.raises(BoardError) as why:
        generate(board, prompt, 4)
    assert why.value.code == "reset"
    board.driver.round_trip()  # by its answer all that the start had to say has come
    assert re.search(f"reset by a fault: {CAUSES[target, prompt]}", logs_of(board.said)[-1]), logs_of(board.said)
    assert generate(board, "One day", 4).tokens == before
    boots = [hello.boot for hello in told(board.said, Hello)]
    assert len(set(boots)) == 2, boots
