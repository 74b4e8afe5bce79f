"""Builds the firmware for every target whose compiler is on this machine, two at a time, and says what came of each.

    python3 tools/build_all.py [--missing] [TARGET ...]

A line a target: what it takes of flash and RAM (the stack included), or which package brings the missing compiler.
With `--missing` nothing is built: only what is missing is said. Ends with 1 if a build failed. Standard library only.
"""

import argparse
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parents[1]
AT_ONCE = 2
BUILD_LIMIT_S = 600
SHOWN_LINES = 12


@dataclass(frozen=True)
class Sizes:
    """What a firmware takes, in bytes."""

    flash: int
    ram: int


@dataclass(frozen=True)
class Outcome:
    """A target's line, and whether its build failed."""

    line: str
    failed: bool = False


def target_names() -> list[str]:
    """The folders that are targets."""
    return sorted(path.parent.name for path in (FIRMWARE / "targets").glob("*/target.toml"))


def parse_sizes(berkeley: str) -> Sizes:
    """What `size` says in its default (Berkeley) format. Raises ValueError."""
    lines = berkeley.strip().splitlines()
    if len(lines) != 2:
        raise ValueError("size said something else than two lines")
    text, data, bss = (int(word) for word in lines[1].split()[:3])
    return Sizes(flash=text + data, ram=data + bss)


def describe(name: str, sizes: Sizes, limits: dict[str, int]) -> str:
    """The line of a firmware that was built."""

    def share(used: int, key: str) -> str:
        return f"{used:>9,} of {limits[key]:>9,} bytes" if key in limits else f"{used:>9,} bytes"

    return f"{name:<12} flash {share(sizes.flash, 'flash_bytes')}, RAM {share(sizes.ram, 'ram_bytes')}"


def build(name: str, *, only_missing: bool = False) -> Outcome | None:
    """Builds one target, or says why not; with `only_missing` it never builds, and None is a compiler that is there."""
    try:
        target = tomllib.loads((FIRMWARE / "targets" / name / "target.toml").read_text())
        compiler, packages = target["toolchain"]["program"], target["toolchain"].get("packages", [])
    except (OSError, KeyError, tomllib.TOMLDecodeError) as why:
        return Outcome(f"{name:<12} FAILED: its target.toml cannot be used: {why}", failed=True)
    if shutil.which(compiler) is None:
        return Outcome(f"{name:<12} not built: {compiler} is not installed: apt install {' '.join(packages)}")
    if only_missing:
        return None
    try:
        made = subprocess.run(
            [shutil.which("make") or "make", "-C", str(FIRMWARE), f"TARGET={name}", f"PYTHON={sys.executable}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=BUILD_LIMIT_S,
            check=False,
        )
        if made.returncode != 0:
            said = "\n".join((made.stdout + made.stderr).strip().splitlines()[-SHOWN_LINES:])
            return Outcome(f"{name:<12} FAILED\n{said}", failed=True)
        image = FIRMWARE / "build" / name / "firmware.elf"
        size = subprocess.run(
            [compiler.removesuffix("gcc") + "size", str(image)], capture_output=True, text=True, timeout=60, check=True
        )
        return Outcome(describe(name, parse_sizes(size.stdout), target.get("limits", {})))
    except (OSError, ValueError, subprocess.SubprocessError) as why:
        return Outcome(f"{name:<12} FAILED: {why}", failed=True)


def main() -> int:
    """0, or 1 where a build failed."""
    parser = argparse.ArgumentParser(description="builds every target whose compiler is on this machine")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="a folder of targets/; none: all")
    parser.add_argument("--missing", action="store_true", help="build nothing: say which compilers are missing")
    asked = parser.parse_args()
    names = asked.targets or target_names()
    failed = False
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="build") as pool:
        for outcome in pool.map(lambda name: build(name, only_missing=asked.missing), names):
            if outcome is None:
                continue
            print(outcome.line, flush=True)
            failed = failed or outcome.failed
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
