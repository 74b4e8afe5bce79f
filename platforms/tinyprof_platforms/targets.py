"""The firmware's targets: what each folder of `firmware/targets` says in its `target.toml`."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tinyprof_protocol.bounds import Word

MAX_TOML_BYTES = 64 * 1024

Text = Annotated[str, Meta(min_length=1, max_length=256)]
Texts = Annotated[tuple[Text, ...], Meta(max_length=64)]
Bytes = Annotated[int, Meta(gt=0, le=1 << 40)]


class TargetError(ValueError):
    """A target that cannot be used; the message names its file and the key, in one line."""


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What the real part has, held by the linker."""

    ram_bytes: Bytes
    flash_bytes: Bytes


class Toolchain(Struct, frozen=True, forbid_unknown_fields=True):
    """What compiles it, and the system's packages that bring that."""

    program: Text
    packages: Texts = ()


class Emulator(Struct, frozen=True, forbid_unknown_fields=True):
    """What runs it on this machine. `counts` is what its clock counts: nothing, where it has none of its own.

    In `command` `{port}`, `{image}`, `{shift}` and `{target}` (the target's folder) are to be replaced.
    """

    program: Text
    command: Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(min_length=1, max_length=64)]
    counts: Literal["instructions", "model_cycles", "nothing"]
    packages: Texts = ()
    npm: Texts = ()
    shift: Annotated[int, Meta(ge=0, le=10)] | None = None
    image: Text = "firmware.elf"


class TargetFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. `part` is the key of the platform catalogue; `stands_for` the part an emulated machine plays."""

    platform: Word
    title: Text
    toolchain: Toolchain
    stands_for: Word | None = None
    part: Word | None = None
    limits: Limits | None = None
    emulator: Emulator | None = None


class Target(Struct, frozen=True):
    """A target by its folder's name."""

    name: str
    folder: Path
    file: TargetFile


def firmware_folder(start: Path = Path(__file__)) -> Path | None:
    """The firmware of the checkout that `start` lies in; None in an installation without one."""
    for folder in start.resolve().parents:
        if (folder / "firmware" / "targets").is_dir():
            return folder / "firmware"
    return None


def read_target(folder: Path) -> Target:
    """The target in a folder of `firmware/targets`. Raises `TargetError`."""
    path = folder / "target.toml"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TOML_BYTES + 1)
        if len(data) > MAX_TOML_BYTES:
            raise TargetError(f"{path}: has over {MAX_TOML_BYTES} bytes")
        return Target(folder.name, folder, msgspec.toml.decode(data, type=TargetFile))
    except OSError as why:
        raise TargetError(f"{path}: cannot be read: {why.strerror or why}") from why
    except TargetError:
        raise
    except (msgspec.MsgspecError, ValueError) as why:
        raise TargetError(f"{path}: {' '.join(str(why).split())}"[:300]) from None


def read_targets(firmware: Path) -> dict[str, Target]:
    """All targets of a firmware folder by name; folders without a `target.toml` hold what several share.

    Raises `TargetError` for the first that cannot be used.
    """
    files = sorted((firmware / "targets").glob("*/target.toml"))
    return {file.parent.name: read_target(file.parent) for file in files}
