"""The platforms that are known before anything is measured. Their figures are in `platforms.toml` beside this file."""

import functools
import os
import platform
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tinyprof_protocol.bounds import Word
from tinyprof_protocol.counts_text import some

Source = Annotated[str, Meta(min_length=8, max_length=200)]
"""A document and its section, or how a figure is derived."""
Positive = Annotated[float, Meta(gt=0)]


class CatalogueError(ValueError):
    """A catalogue that cannot be used, or a platform that is not in it; one line."""


class Figure(Struct, frozen=True, forbid_unknown_fields=True):
    """A figure and where it is from."""

    value: Annotated[float, Meta(ge=0)]
    source: Source


class Region(Struct, frozen=True, forbid_unknown_fields=True):
    """A piece of RAM. `usable`: one firmware's statics, heap and stack may have it, in one piece."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    bytes: Annotated[int, Meta(gt=0)]
    usable: bool
    source: Source


class Flash(Struct, frozen=True, forbid_unknown_fields=True):
    """Where code and model are kept; `none` where an operating system loads them into RAM."""

    bytes: Annotated[int, Meta(ge=0)]
    where: Literal["internal", "external", "none"]
    source: Source


class Platform(Struct, frozen=True, forbid_unknown_fields=True):
    """One platform. The comments in `platforms.toml` say what each key means; a rate that is None is not known."""

    title: Annotated[str, Meta(min_length=1, max_length=64)]
    cpu: Annotated[str, Meta(min_length=1, max_length=128)]
    flash: Flash
    ram: Annotated[tuple[Region, ...], Meta(min_length=1, max_length=16)]
    weights_in: Literal["flash", "ram"]
    tick_bits: Literal[32, 64]
    stack_bytes: Annotated[int, Meta(gt=0)] = 8192
    prompt_bytes: Annotated[int, Meta(gt=0)] = 1024
    aliases: tuple[Word, ...] = ()
    clock_hz: Figure | None = None
    weights_bytes_s: Figure | None = None
    cache_bytes: Figure | None = None
    ram_bytes_s: Figure | None = None
    int8_macs_per_cycle: Figure | None = None
    float_macs_per_cycle: Figure | None = None

    @property
    def ram_bytes(self) -> int:
        """The largest piece of RAM that one firmware may have."""
        return max((region.bytes for region in self.ram if region.usable), default=0)

    @property
    def has_system(self) -> bool:
        """Whether an operating system runs on it, so that nothing is placed by a linker of ours."""
        return self.flash.where == "none"


Platforms = dict[str, Platform]


def parse_platforms(data: bytes | str, source: str) -> Platforms:
    """The platforms in a TOML file's text. `source` names it in errors. Raises `CatalogueError`."""
    try:
        platforms = msgspec.toml.decode(data, type=Platforms)
    except (msgspec.MsgspecError, ValueError) as why:
        raise CatalogueError(f"{source}: {' '.join(str(why).split())}"[:300]) from None
    names = [*platforms, *(alias for one in platforms.values() for alias in one.aliases)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CatalogueError(f"{source}: two platforms are called {twice[0]!r}")
    return platforms


@functools.cache
def shipped_platforms() -> Platforms:
    """The platforms that ship with tinyprof; `host`, this machine, is not among them."""
    data = (resources.files("tinyprof_platforms") / "platforms.toml").read_bytes()
    return parse_platforms(data, "platforms.toml")


def names_a_part(platform: str) -> bool:
    """Whether the platform of a board is that of a part that is known; `host`, say, may be any machine."""
    return platform in shipped_platforms()


def find_platform(name: str) -> tuple[str, Platform]:
    """A platform with its key, by key or alias. Raises `CatalogueError` that lists the keys there are."""
    platforms = shipped_platforms()
    for key, one in platforms.items():
        if name == key or name in one.aliases:
            return key, one
    raise CatalogueError(f"no platform is called {name!r}; there are {', '.join(platforms)} and host")


def read_host(proc: Path = Path("/proc")) -> Platform:
    """This machine, as far as it says itself: its memory and its processor; what it can read a second is not known."""
    memory = re.search(r"^MemTotal:\s+(\d+) kB", _text(proc / "meminfo"), re.MULTILINE)
    named = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", _text(proc / "cpuinfo"), re.MULTILINE)
    cores = os.cpu_count() or 1
    cpu = (named[1].strip() if named else platform.machine()) or "unknown"
    ram_bytes = int(memory[1]) * 1024 if memory else 0
    source = "/proc/meminfo, MemTotal" if memory else "unknown: there is no /proc/meminfo"
    return Platform(
        title="This machine",
        cpu=f"{cpu[:100]}, {some(cores, 'core')}",
        flash=Flash(0, "none", "a disk; the model is in RAM while it is used"),
        ram=(Region("RAM", ram_bytes, True, source),),
        weights_in="ram",
        tick_bits=64,
    )


def _text(path: Path) -> str:
    try:
        with path.open(errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
