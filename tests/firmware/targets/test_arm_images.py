"""The images for real chips: where they lie, the RP2040's UF2, and the tool that builds every target."""

import importlib.util
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

FIRMWARE = Path(__file__).resolve().parents[3] / "firmware"
FLASH_AND_RAM = {
    "stm32f405": (0x08000000, 1024, 0x20000000, 128),
    "stm32f746": (0x08000000, 1024, 0x20000000, 320),
    "stm32f767": (0x08000000, 2048, 0x20000000, 512),
    "rp2040": (0x10000000, 2048, 0x20000000, 264),
    "cortex-m7": (0x00000000, 1024, 0x20000000, 320),
}
Build = Callable[..., Path]


def tool(name: str) -> ModuleType:
    """A tool of the firmware as a module."""
    spec = importlib.util.spec_from_file_location(name, FIRMWARE / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def loaded(image: Path) -> list[tuple[int, bytes]]:
    """What an image loads, by physical address."""
    segments: list[tuple[int, bytes]] = tool("elf_to_uf2").loaded_segments(image.read_bytes())
    return segments


@pytest.mark.parametrize("target", FLASH_AND_RAM)
def test_an_image_lies_in_its_parts_flash_and_starts_in_its_ram(target: str, build_firmware: Build) -> None:
    """The first two words of the vector table: the stack's top, at the bottom of RAM, and a Thumb address in flash."""
    flash, flash_kb, ram, ram_kb = FLASH_AND_RAM[target]
    segments = loaded(build_firmware(target) / "firmware.elf")
    for address, data in segments:
        assert flash <= address
        assert address + len(data) <= flash + flash_kb * 1024
    code = dict(segments)[flash]
    stack, entry = struct.unpack_from("<2I", code, 256 if target == "rp2040" else 0)
    assert stack == ram + 8192
    assert stack < ram + ram_kb * 1024
    assert entry & 1
    assert flash < entry < flash + len(code)


def test_the_boot_stages_check_value_is_the_one_that_the_boot_rom_reckons() -> None:
    """CRC-32/MPEG-2 of the nine digits is 0x0376E6E7."""
    assert tool("elf_to_uf2").boot_crc(b"123456789") == 0x0376E6E7


def test_a_uf2_file_holds_the_whole_flash_and_a_boot_stage_that_checks(build_firmware: Build) -> None:
    """Every block as the UF2 specification has it; joined they are the flash, with the check value in its place."""
    folder = build_firmware("rp2040")
    blocks = (folder / "firmware.uf2").read_bytes()
    assert len(blocks) % 512 == 0
    count = len(blocks) // 512
    flash = b""
    for number in range(count):
        block = blocks[number * 512 : (number + 1) * 512]
        head = struct.unpack_from("<8I", block)
        address = 0x10000000 + 256 * number
        assert head == (0x0A324655, 0x9E5D5157, 0x2000, address, 256, number, count, 0xE48BFF56)
        assert block[508:] == struct.pack("<I", 0x0AB16F30)
        flash += block[32 : 32 + 256]
    crc = tool("elf_to_uf2").boot_crc
    assert struct.unpack_from("<I", flash, 252)[0] == crc(flash[:252])
    assert any(flash[:252])
    for address, data in loaded(folder / "firmware.elf"):
        at = address - 0x10000000
        kept = flash[at : at + len(data)]
        assert kept[256 if at == 0 else 0 :] == data[256 if at == 0 else 0 :]


def test_another_parts_image_makes_no_uf2(build_firmware: Build, tmp_path: Path) -> None:
    """One line, and no file."""
    image = build_firmware("stm32f405") / "firmware.elf"
    for source in (image, Path(__file__)):
        said = subprocess.run(
            [sys.executable, str(FIRMWARE / "tools" / "elf_to_uf2.py"), str(source), str(tmp_path / "out.uf2")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 1
        assert said.stderr.startswith(str(source))
        assert said.stderr.count("\n") == 1
    assert not (tmp_path / "out.uf2").exists()


def test_every_target_is_built_or_says_what_is_missing(build_firmware: Build, tmp_path: Path) -> None:
    """A line for a target that is built, and one for one whose compiler is not there."""
    build_firmware("stm32f405")
    build_all = [sys.executable, str(FIRMWARE / "tools" / "build_all.py")]
    here = subprocess.run([*build_all, "stm32f405"], capture_output=True, text=True, check=False)
    assert here.returncode == 0, here.stdout
    assert here.stdout.startswith("stm32f405    flash ")
    assert "of 1,048,576 bytes, RAM" in here.stdout
    (tmp_path / "make").symlink_to(shutil.which("make") or "make")
    bare = {**os.environ, "PATH": str(tmp_path)}
    without = subprocess.run([*build_all, "stm32f405"], capture_output=True, text=True, check=False, env=bare)
    assert without.returncode == 0
    assert without.stdout.strip() == (
        "stm32f405    not built: arm-none-eabi-gcc is not installed: "
        "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi"
    )


def test_make_says_what_is_missing_and_which_targets_there_are(tmp_path: Path) -> None:
    """Before anything is compiled, and in one line each."""
    for program in ("make", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    make = ["make", "-C", str(FIRMWARE), f"PYTHON={sys.executable}", f"OUT={tmp_path / 'out'}"]
    bare = {**os.environ, "PATH": str(tmp_path)}
    missing = subprocess.run([*make, "TARGET=stm32f405"], capture_output=True, text=True, check=False, env=bare)
    assert missing.returncode != 0
    assert "arm-none-eabi-gcc is not installed: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi" in missing.stderr
    assert not (tmp_path / "out").exists()
    unknown = subprocess.run([*make, "TARGET=stm32f40"], capture_output=True, text=True, check=False)
    assert unknown.returncode != 0
    assert "no target is called 'stm32f40'; there are aarch64" in unknown.stderr


def test_sizes_are_those_of_binutils() -> None:
    """Flash is text and data, RAM data and what starts empty."""
    said = "   text\t   data\t    bss\t    dec\t    hex\tfilename\n 228825\t    172\t 104080\t 333077\t  51515\tx.elf\n"
    sizes = tool("build_all").parse_sizes(said)
    assert (sizes.flash, sizes.ram) == (228825 + 172, 172 + 104080)
    with pytest.raises(ValueError, match="two lines"):
        tool("build_all").parse_sizes("nothing")
