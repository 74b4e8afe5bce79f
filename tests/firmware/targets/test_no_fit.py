"""What is said of a firmware that does not fit, and that it is true."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FIRMWARE = Path(__file__).resolve().parents[3] / "firmware"
DATA = FIRMWARE.parent / "models" / "tinyprof_models" / "data"
MakeFirmware = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def why_no_fit() -> ModuleType:
    """The tool as a module."""
    spec = importlib.util.spec_from_file_location("why_no_fit", FIRMWARE / "tools" / "why_no_fit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["why_no_fit"] = module
    spec.loader.exec_module(module)
    return module


def test_the_linkers_words_are_read(why_no_fit: ModuleType) -> None:
    """Both regions, whatever else is said; nothing where it is about something else."""
    log = "ld: region `RAM' overflowed by 213848 bytes\nld: region 'FLASH' overflowed by 7 bytes\ncollect2: error"
    assert why_no_fit.overflows(log) == {"RAM": 213848, "FLASH": 7}
    assert why_no_fit.overflows("undefined reference to `main'") == {}


@pytest.mark.parametrize("kv", ["q8_0", "f16", "f32"])
@pytest.mark.parametrize("short", [1, 1000, 100_000, 250_000])
def test_a_context_that_is_offered_fits_and_a_longer_one_would_not(why_no_fit: ModuleType, kv: str, short: int) -> None:
    """By the same reckoning of what a position takes."""
    build = why_no_fit.Build(ctx=256, kv="f32", layers=5, kv_width=32, model_bytes=1)
    room = why_no_fit.position_bytes(build, "f32") * 256 - short - why_no_fit.ALIGNMENT_BYTES
    ctx = why_no_fit.largest_ctx(build, kv, short)
    each = why_no_fit.position_bytes(build, kv)
    assert ctx * each <= room
    assert ctx == 256 or ctx % 8 == 0
    assert ctx == 256 or (ctx + 8) * each > room


def test_no_context_of_use_and_rows_without_blocks(why_no_fit: ModuleType) -> None:
    """Nothing is offered that the build would refuse."""
    build = why_no_fit.Build(ctx=64, kv="f16", layers=5, kv_width=24, model_bytes=1)
    assert why_no_fit.largest_ctx(build, "q8_0", 10) == 0
    assert "no cache" in why_no_fit.what_fits_ram(build, 1 << 20)


def test_another_failure_of_the_link_is_shown_as_it_is(tmp_path: Path) -> None:
    """The linker's own words, and a failure."""
    log = tmp_path / "link.log"
    log.write_text("ld: undefined reference to `board_write'\n")
    words = [str(log), "--target", "stm32f405", "--model", "m.gguf", "--ctx", "256", "--kv", "f16"]
    tool = [sys.executable, str(FIRMWARE / "tools" / "why_no_fit.py")]
    said = subprocess.run([*tool, *words], capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert said.stderr == "ld: undefined reference to `board_write'\n"


def test_a_cache_that_does_not_fit_is_refused_with_what_would(make_firmware: MakeFirmware) -> None:
    """Each offer is taken up, and links."""
    made = make_firmware("stm32f405", OUT="build/stm32f405-f32", KV="f32")
    assert made.returncode != 0
    assert not (FIRMWARE / "build" / "stm32f405-f32" / "firmware.elf").exists()
    (line,) = [line for line in made.stderr.splitlines() if "does not fit" in line]
    assert line.startswith("stm32f405 with stories260k-q4_0.gguf, KV=f32, CTX=256 does not fit: RAM (131,072 bytes) is")
    offers = re.findall(r"KV=(\w+) CTX=(\d+)(?! does)", line.partition(": ")[2])
    assert [kv for kv, _ in offers] == ["q8_0", "f16", "f32"]
    for kv, ctx in offers:
        taken = make_firmware("stm32f405", OUT=f"build/stm32f405-offer-{kv}", KV=kv, CTX=ctx)
        assert taken.returncode == 0, taken.stderr


def test_f32_weights_fit_only_where_flash_has_2_mb(make_firmware: MakeFirmware) -> None:
    """An F746 is offered smaller weights; an F767 takes these."""
    model = str(DATA / "stories260k-f32.gguf")
    made = make_firmware("stm32f746", OUT="build/stm32f746-weights", MODEL=model)
    assert made.returncode != 0
    (line,) = [line for line in made.stderr.splitlines() if "does not fit" in line]
    assert "flash (1,048,576 bytes) is short by" in line
    assert "stories260k-q8_0.gguf (313,312 bytes)" in line
    assert make_firmware("stm32f767", OUT="build/stm32f767-weights", MODEL=model).returncode == 0
