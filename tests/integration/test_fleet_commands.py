"""The commands about a fleet, as processes, against a real broker, collector and agent whose board is this machine."""

import csv
import io
import json
import subprocess
import sys

import pytest
from conservation import NODE
from roles import Role, until

BOARD = f"{NODE}/this-machine"
HOST = """
[[boards]]
name = "this-machine"
driver = "host"
every_s = 1.0
[boards.options]
model = "stories260k-q8_0"
"""


def tinyprof(url: str, *arguments: str, code: int = 0) -> str:
    """What a command prints; its exit code is checked."""
    program = [sys.executable, "-m", "tinyprof", *arguments]
    environment = {"TINYPROF_BROKER": url, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


@pytest.fixture
def site(make_site, broker):
    """A site whose agent measures this machine; two of its runs are stored."""
    site = make_site(broker)
    config = site.folder / "measuring.toml"
    config.write_text(
        f'site = "lab"\nagent = "bench"\nbroker = "{broker.url}"\nstate_dir = "{site.folder / "measuring"}"\n'
        f'[clock]\ntrust = "always"\n[uplink]\nstatus_every_s = 1.0\n{HOST}'
    )
    site.agent = Role("measuring", site.folder, ["-m", "tinyprof_agent", "--config", str(config)])
    site.roles.append(site.agent)
    site.start_collector()
    site.agent.start()
    site.agent.wait_for("is ready")
    until("two runs are stored", lambda: len(runs(broker.url)) >= 2, every_s=0.5)
    return site


def runs(url: str) -> list[dict[str, str]]:
    program = [sys.executable, "-m", "tinyprof", "export", BOARD, "decode_tps"]
    done = subprocess.run(
        program, capture_output=True, text=True, timeout=120, env={"TINYPROF_BROKER": url, "PATH": "/"}
    )
    return list(csv.DictReader(io.StringIO(done.stdout)))


def test_export_report_doctor_and_forget(site, broker, tmp_path):
    rows = runs(broker.url)
    assert all(float(row["decode_tps"]) > 0 and row["board"] == "this-machine" for row in rows)
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)

    page = tmp_path / "report.html"
    made = json.loads(tinyprof(broker.url, "report", "--output", str(page), "--json"))
    assert (made["boards"], made["runs"] >= 2) == ([BOARD], True)
    assert "<h2" in page.read_text()

    doctor = ("agent", "doctor", "--config", str(site.folder / "measuring.toml"), "--json")
    found = {one["what"]: one["state"] for one in json.loads(tinyprof(broker.url, *doctor))["findings"]}
    assert (found["spool"], found["board this-machine"], found["broker"]) == ("skipped", "skipped", "ok")
    assert site.agent.running()
    assert site.agent.stop() == 0
    found = {one["what"]: one["state"] for one in json.loads(tinyprof(broker.url, *doctor))["findings"]}
    assert "failed" not in found.values()
    assert (found["spool"], found["board this-machine"], found["collector"]) == ("ok", "ok", "ok")

    assert tinyprof(broker.url, "boards", "forget", "this-machine").startswith(f"{BOARD} is forgotten")
    assert json.loads(tinyprof(broker.url, "boards", "--json"))["boards"] == []
    assert site.collector.stop() == 0
    site.start_collector()
    assert json.loads(tinyprof(broker.url, "boards", "--json"))["boards"] == []
    assert len(runs(broker.url)) >= len(rows), "what was measured stays"
    assert "no board is called 'this-machine'" in tinyprof(broker.url, "export", "this-machine", code=1)

    site.agent.start()
    until("it is heard again", lambda: json.loads(tinyprof(broker.url, "boards", "--json"))["boards"], every_s=0.5)


def test_a_broker_without_a_collector_is_a_line_and_no_file(broker, tmp_path):
    for command in (
        ("export", "pico-1"),
        ("report", "--output", str(tmp_path / "r.html")),
        ("boards", "forget", "pico-1"),
    ):
        said = tinyprof(broker.url, *command, code=1)
        assert said.count("\n") == 1
        assert "no collector is behind it" in said
    assert not (tmp_path / "r.html").exists()
