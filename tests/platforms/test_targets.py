from pathlib import Path

import pytest

from tinyprof_platforms.targets import TargetError, firmware_folder, read_target, read_targets

WHOLE = """
platform = "p"
title = "T"
[limits]
ram_bytes = 1
flash_bytes = 2
[toolchain]
program = "gcc"
[emulator]
program = "qemu"
command = ["qemu", "{port}", "{image}"]
counts = "instructions"
shift = 3
"""


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "target.toml").write_text(text)
    return folder


def test_every_target_of_this_checkout_can_be_read() -> None:
    firmware = firmware_folder()
    assert firmware is not None
    targets = read_targets(firmware)
    assert {"native", "stm32f405", "rp2040"} <= set(targets)
    for name, target in targets.items():
        assert (target.name, target.folder.name) == (name, name)
        assert target.file.limits is not None or target.file.platform.startswith("linux-")


def test_what_a_file_says(tmp_path: Path) -> None:
    target = read_target(written(tmp_path / "mine", WHOLE))
    assert target.name == "mine"
    assert target.file.limits is not None
    assert target.file.emulator is not None
    assert (target.file.limits.ram_bytes, target.file.emulator.shift, target.file.part) == (1, 3, None)
    assert target.file.emulator.image == "firmware.elf"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('title = "T"', 'title = "T"\ntitel = 1', "titel"),
        ("shift = 3", "shift = 3\nports = 1", "ports"),
        ("ram_bytes = 1", "ram_bytes = 0", "ram_bytes"),
        ('counts = "instructions"', 'counts = "seconds"', "seconds"),
        ('program = "gcc"', "", "program"),
        ('platform = "p"', "platform =", "target.toml"),
    ],
)
def test_a_wrong_file_names_itself_and_the_key(tmp_path: Path, old: str, new: str, says: str) -> None:
    folder = written(tmp_path / "mine", WHOLE.replace(old, new))
    with pytest.raises(TargetError, match=says) as raised:
        read_target(folder)
    assert str(folder / "target.toml") in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_or_far_too_long(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="No such file"):
        read_target(tmp_path)
    with pytest.raises(TargetError, match="over 65536 bytes"):
        read_target(written(tmp_path, "#" * 70_000))


def test_folders_that_hold_what_targets_share_are_no_targets(tmp_path: Path) -> None:
    written(tmp_path / "targets" / "a", WHOLE)
    (tmp_path / "targets" / "shared").mkdir()
    assert list(read_targets(tmp_path)) == ["a"]


def test_an_installation_has_no_firmware(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "tinyprof_platforms"
    package.mkdir(parents=True)
    assert firmware_folder(package / "targets.py") is None
    (tmp_path / "firmware" / "targets").mkdir(parents=True)
    assert firmware_folder(package / "targets.py") == tmp_path / "firmware"
