"""The tests' results do not hang on what a developer's shell has set for `tinyprof`."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__)
VARIABLES = {
    "TINYPROF_BROKER": "mqtt://127.0.0.1:9",
    "TINYPROF_BROKER_FILE": "/no/such/file",
    "TINYPROF_STATE_DIR": "/no/such/folder",
    "TINYPROF_SITE": "elsewhere",
    "LOG_LEVEL": "debug",
    "CACHE_SIZE": "none",
}


def test_nothing_is_said_to_tinyprof() -> None:
    assert not VARIABLES.keys() & os.environ.keys()


def test_what_is_set_in_the_shell_does_not_reach_a_test() -> None:
    inner = f"{HERE}::{test_nothing_is_said_to_tinyprof.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", inner],
        cwd=HERE.parent.parent, env=os.environ | VARIABLES, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
