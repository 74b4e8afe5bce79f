"""Every target that can be built and emulated here: agent, link, real firmware, result, golden gate."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tinyprof.demo.emulators import emulated_targets
from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.emulated import Options, make
from tinyprof_agent.drivers.emulated.installed import emulator_missing, image_of, toolchain_missing
from tinyprof_platforms.targets import Target

EVERYTHING = os.environ.get("TINYPROF_TEST_EVERYTHING") == "1"
TARGETS = emulated_targets()
NEVER = threading.Event()


def built(target: Target) -> Target:
    """The target with its image, or a test that is left out and says what to install."""
    why = emulator_missing(target) or toolchain_missing(target)
    if why is not None:
        pytest.fail(why) if EVERYTHING else pytest.skip(why)
    firmware = target.folder.parents[1]
    made = subprocess.run(
        ["make", "-C", str(firmware), f"TARGET={target.name}"], capture_output=True, text=True, timeout=280
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert image_of(target, firmware).is_file()
    return target


def instruction_target() -> Target:
    """The quickest of the targets that count instructions."""
    return built(TARGETS["stm32f405"])


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_passes_the_golden_gate_from_end_to_end(name: str) -> None:
    target = built(TARGETS[name])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tinyprof", "profile", "--target", str(target.folder), "--json"],
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)["result"]
    assert (result["verdict"], result["reasons"]) == ("valid", [])
    assert result["golden"] in ("match", "tie"), "a float16 cache may part at a near tie; one of the gate matches whole"
    assert result["build"]["emulated"] is True
    assert result["build"].get("stands_for") == target.file.stands_for
    assert result["build"]["platform"] == target.file.platform
    figures = result["figures"]
    counts = target.file.emulator.counts
    assert result["clock"]["check"] == ("unchecked" if counts == "nothing" else "emulated")
    if counts == "nothing":
        assert not {key for key in figures if "_ms" in key or "_tps" in key or "_per_token" in key or "_to_" in key}
    else:
        assert figures[f"{counts}_per_token"]["value"] > 100_000
        assert figures[f"{counts}_to_first_token"]["value"] > figures[f"{counts}_per_token"]["value"]
        measured = {key for key in ("ttft_ms", "tpot_ms", "decode_tps", "prefill_tps") if key in figures}
        assert all(figures[key]["estimated"] for key in measured)
    if target.file.limits is not None:
        assert 0 < figures["ram_peak_bytes"]["value"] <= target.file.limits.ram_bytes
        assert 0 < figures["flash_bytes"]["value"] <= target.file.limits.flash_bytes
        assert figures["stack_peak_bytes"]["value"] > 0
    assert result.get("itl_us", []) == []


@pytest.fixture
def f405():
    target = instruction_target()
    driver = make("f405", Options(target=str(target.folder)), time.monotonic_ns)
    yield driver
    driver.close()


def test_a_paused_emulator_uses_no_processor(f405) -> None:
    f405.open()
    ticks = Path(f"/proc/{f405.emulator_pid}/stat")

    def used() -> int:
        return sum(int(field) for field in ticks.read_text().rpartition(")")[2].split()[11:13])

    before = used()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert used() - before <= 1
    assert f405.generate("One day", 4, timeout_s=60, cancelled=NEVER).tokens


def test_a_prompt_longer_than_rx_max_arrives_in_pieces(f405) -> None:
    f405.open()
    prompt = "One day a little dog went to the park and saw a big red ball. " * 7
    generation = f405.generate(prompt, 4, timeout_s=60, cancelled=NEVER)
    again = f405.generate(prompt, 4, timeout_s=60, cancelled=NEVER)
    assert generation.prompt_tokens > 100
    assert generation.tokens == again.tokens


def test_a_prompt_beyond_the_context_is_refused_and_the_board_goes_on(f405) -> None:
    f405.open()
    with pytest.raises(BoardError) as caught:
        f405.generate("dog " * 240, 4, timeout_s=60, cancelled=NEVER)
    assert caught.value.code == "refused"
    assert f405.generate("One day", 4, timeout_s=60, cancelled=NEVER).tokens


def test_a_reset_in_a_run_and_after_it_the_same_output(f405) -> None:
    f405.open()
    before = f405.generate("One day", 8, timeout_s=60, cancelled=NEVER)
    f405.reset()
    with pytest.raises(BoardError, match="is not running"):
        f405.generate("One day", 8, timeout_s=60, cancelled=NEVER)
    f405.open()
    assert f405.generate("One day", 8, timeout_s=60, cancelled=NEVER).tokens == before.tokens
