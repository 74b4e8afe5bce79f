"""The systemd units: what systemd itself says of them, and a service that tells it how it is."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from roles import Role

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def systemd_analyze() -> str:
    """Where it is; without it the test is left out, or fails if TINYPROF_TEST_EVERYTHING is set."""
    found = shutil.which("systemd-analyze")
    if found is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("systemd-analyze is not installed: apt install systemd")
        pytest.skip("systemd-analyze is not installed: 'apt install systemd' adds the tests of the units")
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    # The one thing that cannot be here is the installed program.
    (tmp_path / unit.name).write_text(text.replace("/opt/tinyprof/bin/tinyprof", shutil.which("true") or "/bin/true"))
    command = [systemd_analyze(), "verify", "--man=no", str(tmp_path / unit.name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_what_a_unit_starts_is_a_command_of_ours(unit: Path) -> None:
    started = re.search(r"^ExecStart=\S+ (\w+) (\w+) --config", unit.read_text(), re.MULTILINE)
    assert started is not None
    done = subprocess.run(
        [sys.executable, "-m", "tinyprof", *started.groups(), "--help"], capture_output=True, check=False
    )
    assert done.returncode == 0


@pytest.mark.parametrize("role", ["agent", "collector"])
def test_a_service_tells_that_it_is_ready_alive_and_stopping(role: str, tmp_path: Path) -> None:
    (tmp_path / "configuration.toml").write_text("")
    arguments = ["-m", "tinyprof", role, "run", "--config", str(tmp_path / "configuration.toml")]
    service = Role(
        role, tmp_path, [*arguments, "--broker", "mqtt://127.0.0.1:1", "--state-dir", str(tmp_path / "state")]
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        service.start(environment={"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"})
        try:
            assert manager.recv(1000).startswith(b"READY=1\n")
            assert [manager.recv(1000) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            assert service.stop() == 0
            said = []
            while not said or said[-1] != b"STOPPING=1":
                said.append(manager.recv(1000))
            assert set(said[:-1]) <= {b"WATCHDOG=1"}
        finally:
            service.kill()
