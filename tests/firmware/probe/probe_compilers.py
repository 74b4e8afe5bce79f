"""Compilers for the probe's tests, and what the probe consists of."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROBE = ROOT / "firmware" / "probe"
SOURCES = sorted(PROBE.glob("*.c"))
HERE = Path(__file__).parent
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


def found(program: str, package: str) -> str:
    """Where a program is; without it the test is left out, or fails if TINYPROF_TEST_EVERYTHING is set."""
    path = shutil.which(program)
    if path is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail(f"{program} is not installed: apt install {package}")
        pytest.skip(f"{program} is not installed: 'apt install {package}' adds this test")
    return path


def run(command: Sequence[str | Path], timeout_s: float = 120.0) -> str:
    """Runs a program and returns what it wrote; its failure is the test's."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=timeout_s)
    if done.returncode:
        pytest.fail(
            f"{' '.join(map(str, command))} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}"
        )
    return done.stdout
