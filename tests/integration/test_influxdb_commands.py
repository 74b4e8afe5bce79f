"""`tinyprof collector check` and `setup` against a real InfluxDB."""

import json

import pytest
from click.testing import CliRunner
from influxd import TOKEN, Influxd

from tinyprof.cli import tinyprof


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Influxd(tmp_path_factory.mktemp("influxd")).start()
    yield running
    running.stop()


def ask(tmp_path, server, *arguments: str, bucket: str = "tinyprof", token: str = TOKEN):
    path = tmp_path / "collector.toml"
    path.write_text(
        f'[store]\nuse = ["influxdb"]\n[store.influxdb]\nurl = "{server.url}"\norg = "lab"\nbucket = "{bucket}"\n'
        f'token = "{token}"\n'
    )
    return CliRunner().invoke(tinyprof, ["collector", *arguments, "--config", str(path)])


def test_what_is_right_and_what_is_wrong_is_a_line(tmp_path, server):
    right = ask(tmp_path, server, "check")
    assert (right.exit_code, right.output) == (0, "store influxdb: all is right\n")
    wrong = ask(tmp_path, server, "check", token="wrong")
    assert wrong.exit_code == 1
    assert "is not accepted" in wrong.output
    assert wrong.output.count("\n") == 1
    missing = ask(tmp_path, server, "check", "--json", bucket="later")
    assert missing.exit_code == 1
    assert "`tinyprof collector setup` makes the bucket" in json.loads(missing.output)["stores"]["influxdb"]


def test_setup_makes_what_check_then_finds(tmp_path, server):
    made = ask(tmp_path, server, "setup", bucket="fresh")
    assert made.exit_code == 0, made.output
    assert "bucket fresh: made, keeps 30 days" in made.output
    assert ask(tmp_path, server, "check", bucket="fresh").exit_code == 0
    again = ask(tmp_path, server, "setup", "--json", bucket="fresh")
    assert json.loads(again.output)["done"][1] == "bucket fresh: there, keeps 30 days"
    refused = ask(tmp_path, server, "setup", token="wrong")
    assert refused.exit_code == 1
