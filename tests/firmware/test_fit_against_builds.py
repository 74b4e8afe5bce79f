"""What `fit` says that the firmware takes of RAM and flash, against what the linker placed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tinyprof_models.catalogue import shipped_model
from tinyprof_platforms.catalogue import find_platform
from tinyprof_platforms.engine_memory import Arithmetic, Room, flash_need, ram_need
from tinyprof_platforms.gguf_header import read_header
from tinyprof_platforms.llama_shape import llama_shape
from tinyprof_platforms.targets import Target, firmware_folder, read_targets

FIRMWARE = firmware_folder()
assert FIRMWARE is not None
TARGETS = read_targets(FIRMWARE)
BUILDS = [
    ("stm32f405", "stories260k-q4_0", Arithmetic(256, "q8_0", "int8")),
    ("stm32f405", "stories260k-q8_0", Arithmetic(64, "f32", "float32")),
    ("stm32f746", "stories260k-q4_0", Arithmetic(192, "f16", "int8")),
    ("rp2040", "stories260k-q4_0", Arithmetic(256, "f16", "int8")),
    ("rv32imc", "stories260k-q8_0", Arithmetic(128, "f16", "int8")),
    ("lx106", "stories260k-q4_0", Arithmetic(192, "q8_0", "int8")),
]


def built(target: Target, model: Path, how: Arithmetic, out: Path) -> Path:
    compiler = target.file.toolchain
    for program, packages in ((compiler.program, compiler.packages), ("make", ("make",))):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt install {' '.join(packages)}")
    options = [f"CTX={how.ctx}", f"KV={how.kv_cache}", f"ACTIVATIONS={how.activations}", f"MODEL={model}"]
    command = ["make", "-C", str(FIRMWARE), f"TARGET={target.name}", f"OUT={out}", *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    return out / "firmware.elf"


def sections(target: Target, image: Path) -> dict[str, int]:
    size = target.file.toolchain.program.removesuffix("gcc") + "size"
    text = subprocess.run([size, "-A", str(image)], capture_output=True, text=True, timeout=60, check=True).stdout
    return {name: int(count) for name, count in re.findall(r"^(\.[\w.]+)\s+(\d+)", text, re.MULTILINE)}


def room_of(target: Target) -> Room:
    _, platform = find_platform(target.file.part or target.file.stands_for or target.file.platform)
    return Room(platform.tick_bits, platform.stack_bytes, platform.prompt_bytes)


@pytest.mark.parametrize(("name", "model", "how"), BUILDS, ids=lambda value: value if isinstance(value, str) else "")
def test_ram_is_within_5_percent_of_the_build_and_flash_within_its_allowance(
    tmp_path: Path, name: str, model: str, how: Arithmetic
) -> None:
    target, path = TARGETS[name], shipped_model(model).path
    placed = sections(target, built(target, path, how, tmp_path))
    in_ram = sum(placed.get(section, 0) for section in (".stack", ".noinit", ".data", ".bss"))
    in_flash = sum(placed.get(section, 0) for section in (".boot2", ".vectors", ".text", ".rodata", ".data"))
    shape = llama_shape(read_header(path))
    assert ram_need(shape, how, room_of(target)).total == pytest.approx(in_ram, rel=0.05)
    flash = flash_need(shape, how)
    assert flash.total - flash.code < in_flash <= flash.total


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.file.limits is not None])
def test_the_catalogue_has_the_ram_that_the_linker_holds_a_target_to(name: str) -> None:
    file = TARGETS[name].file
    key, platform = find_platform(file.part or file.stands_for or file.platform)
    assert file.limits is not None
    assert (key, platform.ram_bytes) == (key, file.limits.ram_bytes)
    assert file.limits.flash_bytes <= platform.flash.bytes
