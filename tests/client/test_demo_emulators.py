"""Which emulated boards the demo takes, and what it says of the others."""

from pathlib import Path

from tinyprof.demo.emulators import emulated_targets, survey

TOML = """
platform = "{name}"
title = "{name}"
[toolchain]
program = "some-cc"
packages = ["some-compiler"]
"""
EMULATOR = """
[emulator]
program = "some-emulator"
packages = ["emulator-package"]
command = ["some-emulator", "{port}"]
counts = "nothing"
"""


def write_firmware(folder: Path, *, image: bool) -> Path:
    for name in ("one", "two", "chip"):
        (folder / "targets" / name).mkdir(parents=True)
        text = TOML.format(name=name) + ("" if name == "chip" else EMULATOR)
        (folder / "targets" / name / "target.toml").write_text(text)
        if image:
            (folder / "build" / name).mkdir(parents=True)
            (folder / "build" / name / "firmware.elf").touch()
    return folder


def nothing_built(name: str) -> None:
    raise AssertionError(f"{name} was built")


def test_a_target_without_an_emulator_is_none_of_them(tmp_path: Path) -> None:
    assert list(emulated_targets(write_firmware(tmp_path, image=True))) == ["one", "two"]


def test_targets_that_lack_the_same_share_a_line(tmp_path: Path) -> None:
    targets = emulated_targets(write_firmware(tmp_path, image=True))
    found = survey(list(targets.values()), nothing_built, find=lambda _: None)
    assert found.ready == []
    assert found.lines() == ["not emulated: one, two: some-emulator is not installed: apt install emulator-package"]


def test_an_image_that_is_there_does_without_its_compiler(tmp_path: Path) -> None:
    targets = emulated_targets(write_firmware(tmp_path, image=True))
    found = survey(list(targets.values()), nothing_built, find=lambda name: "/x" if name == "some-emulator" else None)
    assert [target.name for target in found.ready] == ["one", "two"]


def test_without_image_and_compiler_the_compiler_is_named(tmp_path: Path) -> None:
    targets = emulated_targets(write_firmware(tmp_path, image=False))
    found = survey(list(targets.values()), nothing_built, find=lambda name: "/x" if name == "some-emulator" else None)
    assert found.lines() == ["not emulated: one, two: some-cc is not installed: apt install some-compiler"]


def test_a_build_that_fails_is_told_in_a_line(tmp_path: Path) -> None:
    firmware = write_firmware(tmp_path, image=False)
    (firmware / "Makefile").write_text("all:\n\t@echo 'x.c:1: error: no such thing' >&2; exit 1\n")
    built: list[str] = []
    found = survey(list(emulated_targets(firmware).values()), built.append, find=lambda name: f"/bin/{name}")
    assert built == ["one", "two"]
    assert all(why.endswith("failed: x.c:1: error: no such thing") for why in found.missing.values())
