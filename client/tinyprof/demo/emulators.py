"""Which emulated boards the demo has: those whose emulator is here and whose firmware is built or can be."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Final

from tinyprof_agent.drivers.emulated.installed import emulator_missing, image_missing, image_of, toolchain_missing
from tinyprof_platforms.targets import Target, TargetError, firmware_folder, read_targets

BUILD_LIMIT_S: Final = 600.0
NO_FIRMWARE: Final = "no emulated boards: they need a checkout, with its firmware folder"


@dataclass(slots=True)
class Survey:
    """Targets that are ready, and of the others why not, a line for each."""

    ready: list[Target] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What is missing: one line for all targets that lack the same."""
        names: dict[str, list[str]] = {}
        for name, why in self.missing.items():
            names.setdefault(why, []).append(name)
        return [f"not emulated: {', '.join(each)}: {why}" for why, each in names.items()]


def emulated_targets(firmware: Path | None = None) -> dict[str, Target]:
    """The targets that have an emulator, by name; none without a checkout. Raises TargetError."""
    folder = firmware or firmware_folder()
    targets = {} if folder is None else read_targets(folder)
    return {name: target for name, target in targets.items() if target.file.emulator is not None}


def survey(
    targets: Sequence[Target], on_build: Callable[[str], None], find: Callable[[str], str | None] = which
) -> Survey:
    """Looks for each target's emulator and builds its firmware where its compiler is here. `find` finds programs."""
    found = Survey()
    for target in targets:
        why = emulator_missing(target, find) or _built(target, on_build, find)
        if why is None:
            found.ready.append(target)
        else:
            found.missing[target.name] = why
    return found


def _built(target: Target, on_build: Callable[[str], None], find: Callable[[str], str | None]) -> str | None:
    """Builds a target, or leaves it as it is where it cannot be built here; why there is no image, or None."""
    firmware = target.folder.parents[1]
    image = image_of(target, firmware)
    cannot = toolchain_missing(target, find) or (None if find("make") else "make is not installed: apt install make")
    if cannot is not None:
        return None if image.is_file() else cannot
    on_build(target.name)
    try:
        made = subprocess.run(
            ["make", "-C", str(firmware), f"TARGET={target.name}"],  # noqa: S607 - the user's own make
            capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"make -C {firmware} TARGET={target.name} did not end within {BUILD_LIMIT_S:g} s"
    if made.returncode == 0:
        return image_missing(target, image)
    said = [line.strip() for line in (made.stdout + made.stderr).splitlines() if line.strip()]
    telling = [line for line in said if "rror" in line and not line.startswith("make")] or said or ["no word why"]
    return f"make -C {firmware} TARGET={target.name} failed: {telling[0][:160]}"


__all__ = ["NO_FIRMWARE", "Survey", "TargetError", "emulated_targets", "survey"]
