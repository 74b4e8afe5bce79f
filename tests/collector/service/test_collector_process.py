"""The collector as a process: what it says, and how it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

WAIT_S = 30.0


def start(tmp_path: Path, config: str) -> subprocess.Popen[str]:
    path = tmp_path / "collector.toml"
    path.write_text(config)
    return subprocess.Popen(
        [sys.executable, "-m", "tinyprof_collector", "--config", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("TINYPROF_")},
    )


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """Lines of its log up to the one with `text`; the suite's own time limit bounds the wait."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError("".join(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(broker, tmp_path, number):
    process = start(tmp_path, f'broker = "{broker.url}"\nstate_dir = "{tmp_path}/state"\npartitions = [3, 4, 9]\n')
    lines = read_until(process, "is ready")
    assert [line for line in lines if "is ready" in line] == lines[-1:]
    assert f"collector main is ready: broker {broker.url}, partitions 3,4,9, store sqlite, endpoints http" in lines[-1]
    process.send_signal(number)
    _, rest = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, rest
    assert "collector main has stopped" in rest
    assert "Traceback" not in rest
    assert not (tmp_path / "state" / "endpoints.json").exists()


def test_it_waits_for_a_broker_and_says_so(tmp_path):
    process = start(tmp_path, f'broker = "mqtt://127.0.0.1:1"\nstate_dir = "{tmp_path}/state"\n')
    read_until(process, "no broker at mqtt://127.0.0.1:1")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_S)
    assert process.returncode == 0


def test_without_its_redis_it_ends_at_once_with_one_line_to_be_started_anew(broker, tmp_path):
    stores = '[store]\nuse = ["influxdb"]\n[store.influxdb]\nurl = "http://127.0.0.1:1"\ntoken = "t"\n'
    state = '[state]\nuse = "redis"\nurl = "redis://127.0.0.1:1/0"\n'
    process = start(tmp_path, f'broker = "{broker.url}"\nstate_dir = "{tmp_path}/state"\n{state}{stores}')
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    (line,) = said.splitlines()
    assert "collector main cannot start: redis redis://127.0.0.1:1/0: no answer (" in line
    assert line.endswith("is it running, and is state.url right?")


@pytest.mark.parametrize(
    ("config", "code", "says"),
    [
        ("nonsense = 1\n", 2, "collector.toml: nonsense: unknown key"),
        ('state_dir = "/proc/nowhere"\n', 1, "/proc/nowhere"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, config, code, says):
    process = start(tmp_path, config)
    _, said = process.communicate(timeout=WAIT_S)
    assert process.returncode == code
    assert says in said
    assert len(said.splitlines()) == 1
