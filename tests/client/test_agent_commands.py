"""`tinyprof agent init` and `agent doctor` as commands."""

import json
import stat

import pytest
from click.testing import CliRunner

from tinyprof.cli import tinyprof
from tinyprof.embedded_broker import free_port


def call(*arguments, env=None):
    return CliRunner().invoke(tinyprof, arguments, env={"TINYPROF_BROKER": None, "LOG_LEVEL": None} | (env or {}))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "agent.toml"


def test_what_init_writes_the_doctor_takes(path, tmp_path) -> None:
    made = call("agent", "init", "--output", str(path), "--site", "lab", "--agent", "bench", "--json")
    assert made.exit_code == 0
    assert json.loads(made.stdout)["node"] == "lab.bench"
    broker = f"mqtt://127.0.0.1:{free_port()}"
    done = call(
        "agent",
        "doctor",
        "--config",
        str(path),
        "--state-dir",
        str(tmp_path),
        "--no-boards",
        "--json",
        "--broker",
        broker,
    )
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], found["node"]) == (1, False, "lab.bench")
    states = {one["what"]: one["state"] for one in found["findings"]}
    assert states["broker"] == "failed"
    assert {states[what] for what in ("configuration", "state directory", "spool", "models")} == {"ok"}


def test_a_file_that_is_there_stays(path) -> None:
    path.write_text("mine")
    done = call("agent", "init", "--output", str(path))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "stays as it is" in done.stderr
    assert path.read_text() == "mine"


def test_a_password_in_the_brokers_address_is_for_its_owner_alone(path) -> None:
    assert call("agent", "init", "--output", str(path), env={"TINYPROF_BROKER": "mqtt://a:secret@b"}).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "secret" in path.read_text()


def test_a_name_that_is_none_is_wrong_use(path) -> None:
    done = call("agent", "init", "--output", str(path), "--site", "My Lab")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert not path.exists()


def test_the_doctor_says_a_line_each(path, tmp_path) -> None:
    call("agent", "init", "--output", str(path))
    broker = f"mqtt://127.0.0.1:{free_port()}"
    done = call(
        "agent", "doctor", "--config", str(path), "--state-dir", str(tmp_path), "--no-boards", "--broker", broker
    )
    assert done.exit_code == 1
    assert all(line.split()[0] in ("ok", "warning", "failed", "skipped") for line in done.stdout.splitlines())


@pytest.mark.parametrize(("text", "says"), [("sitte = 'x'", "sitte"), ("site = 3", "site"), ("[", "agent.toml")])
def test_a_configuration_that_cannot_be_used_is_a_line(path, text, says) -> None:
    path.write_text(text)
    done = call("agent", "doctor", "--config", str(path))
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr


def test_the_doctor_without_a_configuration_says_how_to_have_one(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("agent", "doctor")
    assert done.exit_code == 2
    assert "'tinyprof agent init' writes one" in done.stderr
    assert done.stderr.count("\n") == 1
