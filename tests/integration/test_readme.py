"""The README's commands: each is one that there is, and the two that do all the set-up work from a fresh checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tinyprof_agent.config import load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
TINYPROF = [line for line in COMMANDS if re.match(r"\S*tinyprof ", line)]


def test_the_readme_begins_with_the_two_commands():
    assert COMMANDS[:2] == ["make demo", "make test"]
    assert len(TINYPROF) >= 8


@pytest.mark.parametrize("line", TINYPROF)
def test_every_tinyprof_command_and_option_exists(line):
    words = line.split()[1:]
    command = [words[0], words[1]] if words[0] in ("agent", "collector", "quarantine") else [words[0]]
    done = subprocess.run([sys.executable, "-m", "tinyprof", *command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for option in re.findall(r"--[a-z-]+", line):
        assert option in done.stdout, f"{option} is not an option of {' '.join(command)}"


def test_the_agents_configuration_is_one(tmp_path):
    (text,) = blocks("toml")
    (tmp_path / "agent.toml").write_text(text)
    config = load_config(tmp_path / "agent.toml", {})
    assert config.node == "lab.bench-1"
    assert [board.driver for board in config.boards] == ["probe", "host"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def checkout(folder: Path) -> Path:
    """What git tracks, as it is here, without anything that was built or installed."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        if name and (ROOT / name).exists():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return folder


def of_a_user() -> dict[str, str]:
    """The environment without what a `make test` around this test put into it."""
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}


def last_object(text: str) -> dict[str, object]:
    found = json.loads(text.strip().splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.timeout(900)
def test_make_demo_works_from_a_fresh_checkout(tmp_path):
    fresh = checkout(tmp_path / "fresh")
    made = ["make", "demo", f"PYTHON={sys.base_prefix}/bin/python3", "ARGS=--for 12s --json"]
    done = subprocess.run(made, cwd=fresh, capture_output=True, text=True, env=of_a_user())
    assert done.returncode == 0, done.stderr[-3000:]
    found = last_object(done.stdout)
    assert found["ledger_ok"] is True
    # This machine, two soft boards, and an emulated one for each emulator and compiler that is here.
    assert found["boards"] >= 3
    assert found["produced"] == found["stored"] != 0
    assert found["missing"] == found["in_spool"] == found["quarantined"] == 0
    assert found["results"] == sum(int(str(found[verdict])) for verdict in ("valid", "unstable", "invalid")) != 0
    listed = subprocess.run(
        ["make", "--dry-run", "test", "check"], cwd=fresh, capture_output=True, text=True, check=True
    )
    assert "pytest" in listed.stdout
    assert "lint-imports" in listed.stdout


def test_make_says_what_is_missing(tmp_path):
    fresh = checkout(tmp_path / "fresh")
    (tmp_path / "old").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old").chmod(0o755)
    done = subprocess.run(["make", "demo", f"PYTHON={tmp_path}/old"], cwd=fresh, capture_output=True, text=True)
    assert done.returncode != 0
    assert "tinyprof needs Python 3.11 or later" in done.stderr
    (tmp_path / "bare").write_text(f'#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n')
    (tmp_path / "bare").chmod(0o755)
    done = subprocess.run(["make", "demo", f"PYTHON={tmp_path}/bare"], cwd=fresh, capture_output=True, text=True)
    assert done.returncode != 0
    assert "sudo apt install python3-venv" in done.stderr


@pytest.mark.timeout(900)
def test_the_wheel_works_in_an_empty_environment(tmp_path):
    source = checkout(tmp_path / "source")
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    for command in (
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(source)],
        [sys.executable, "-m", "venv", str(environment)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("tinyprof-*.whl")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{wheel}[all]"]
    subprocess.run(install, check=True, capture_output=True)
    shutil.rmtree(source)
    outside = tmp_path / "outside"
    outside.mkdir()
    tinyprof = str(environment / "bin" / "tinyprof")
    done = subprocess.run([tinyprof, "demo", "--for", "12s", "--json"], cwd=outside, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert last_object(done.stdout)["ledger_ok"] is True
    assert last_object(done.stdout)["results"]
    profiled = subprocess.run(
        [tinyprof, "profile", "--model", "stories260k-q4_0", "--json"], cwd=outside, capture_output=True, text=True
    )
    assert profiled.returncode == 0, profiled.stderr
    assert not list(outside.iterdir())


def test_every_file_that_the_architecture_names_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = page[page.index("## 11. The rooms") : page.index("### The way of a result")]
    for line in re.split(r"^- ", rooms, flags=re.MULTILINE)[1:]:
        folder = re.match(r"\*\*([\w/]+?)/?\*\*", line)
        assert folder is not None, line
        for name in re.findall(r"`(\w+)[/`]", line):
            found = [path for path in (ROOT / folder[1]).rglob(f"{name}*") if path.stem.startswith(name)]
            assert found or name in ("Result", "Sample", "Event"), f"{folder[1]} has no {name}"
