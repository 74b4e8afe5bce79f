"""`tinyprof profile --port`: a board behind a (pseudo-)terminal of this machine, without a broker."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from tinyprof.cli import tinyprof


@pytest.fixture
def port() -> Iterator[str]:
    """Where a soft board listens."""
    with subprocess.Popen(
        [sys.executable, "-m", "tinyprof_agent.soft_board", "--model", "stories260k-q8_0", "--activations", "int8"],
        stdout=subprocess.PIPE,
        text=True,
    ) as board:
        yield board.stdout.readline().strip()
        board.terminate()


def test_a_board_on_a_port_gives_a_result_with_its_clock_checked_or_says_why(port) -> None:
    done = CliRunner().invoke(tinyprof, ["profile", "--port", port, "--tokens", "8", "--repeat", "2", "--json"])
    result = json.loads(done.stdout)["result"]
    assert result["build"]["activations"] == "int8"
    assert result["golden"] == "match"
    assert result["clock"]["check"] in ("checked", "unchecked", "failed")
    assert result["clock"]["check"] == "checked" or result["reasons"]
    assert done.exit_code == (1 if result["verdict"] == "invalid" else 0)


def test_the_same_for_a_person(port) -> None:
    done = CliRunner().invoke(tinyprof, ["profile", "--port", port, "--tokens", "8", "--repeat", "2"])
    first, *rest = done.stdout.splitlines()
    assert first.split()[0] in ("VALID", "UNSTABLE", "INVALID")
    assert any(line.startswith("TTFT") for line in rest)
    assert any(line.startswith("golden   match") for line in rest)


@pytest.mark.timeout(60)
def test_ctrl_c_stops_a_run_between_tokens_with_exit_130() -> None:
    command = [sys.executable, "-m", "tinyprof", "-v", "profile", "--model", "stories260k-q4_0", "--repeat", "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stderr:
            if "measuring" in line:
                break
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=30)
    assert run.returncode == 130
    assert stdout == ""
    assert "Traceback" not in stderr
