"""Which targets can be emulated on this machine, and what is missing for those that cannot."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from tinyprof_platforms.targets import Target, TargetError, firmware_folder, read_target, read_targets

Find = Callable[[str], str | None]
"""Finds a program by its name."""


def find_target(name: str, firmware: Path | None) -> Target:
    """The target of that name, or in the folder at that path; `firmware` None: the checkout's. Raises TargetError."""
    if "/" in name:
        return read_target(Path(name).resolve())
    folder = firmware or firmware_folder()
    if folder is None:
        raise TargetError(f"target {name!r}: there is no firmware here; set firmware_dir to that of a checkout")
    targets = read_targets(folder)
    if name not in targets:
        raise TargetError(f"no target is called {name!r}; there are {', '.join(targets) or 'none'} in {folder}/targets")
    return targets[name]


def image_of(target: Target, firmware: Path | None) -> Path:
    """Where `make TARGET=...` puts what the target's emulator takes."""
    folder = firmware or firmware_folder() or target.folder.parents[1]
    image = target.file.emulator.image if target.file.emulator is not None else "firmware.elf"
    return folder.resolve() / "build" / target.name / image


def emulator_missing(target: Target, find: Find = shutil.which) -> str | None:
    """What to install for a target's emulator, in one line; None if it is there. One without an emulator says so."""
    emulator = target.file.emulator
    if emulator is None:
        return f"{target.name} is built and not run: it has no emulator"
    if "{" not in emulator.program and find(emulator.program) is None:
        return _install(emulator.program, emulator.packages)
    for package in emulator.npm:
        name = package[0] + package[1:].partition("@")[0]
        if not any((folder / "node_modules" / name / "package.json").is_file() for folder in _folders(target)):
            return f"{name} is not installed: npm install --prefix {_folders(target)[0]} {package}"
    return None


def image_missing(target: Target, image: Path) -> str | None:
    """How to build a target's image, in one line; None if it is there."""
    return None if image.is_file() else f"{image} is not there: make -C firmware TARGET={target.name}"


def toolchain_missing(target: Target, find: Find = shutil.which) -> str | None:
    """What to install for building a target, in one line; None if its compiler is there."""
    toolchain = target.file.toolchain
    return None if find(toolchain.program) is not None else _install(toolchain.program, toolchain.packages)


def _folders(target: Target) -> list[Path]:
    """Where a target's own npm packages may lie."""
    return [folder.parent for folder in sorted(target.folder.glob("*/package.json"))] + [target.folder]


def _install(program: str, packages: Sequence[str]) -> str:
    return f"{program} is not installed: apt install {' '.join(packages) or program}"
