"""`tinyprof boards`, `boards list` and `boards forget`, against a collector of the test's own."""

import json

import pytest
from click.testing import CliRunner

from tinyprof.cli import tinyprof
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.requests import BoardsReply, ForgetReply, ForgetRequest

BOARDS = [BoardSummary("lab.a1", "pico-1", "healthy", [], 1), BoardSummary("lab.a2", "host", "healthy", [], 1)]


def call(*arguments, broker):
    return CliRunner().invoke(tinyprof, arguments, env={"TINYPROF_BROKER": broker, "LOG_LEVEL": None})


@pytest.fixture
def answers():
    return {
        "boards": lambda asked: [BoardsReply([one for one in BOARDS if asked.node in (None, one.node)], 2)],
        "forget": lambda _: [ForgetReply(True)],
    }


def test_without_a_command_it_lists(collector, broker, answers) -> None:
    collector(answers)
    alone, listed = call("boards", broker=broker.url), call("boards", "list", broker=broker.url)
    assert (alone.exit_code, alone.stdout) == (0, listed.stdout)
    assert "lab.a1/pico-1" in alone.stdout
    as_json = json.loads(call("boards", "--json", broker=broker.url).stdout)
    assert [one["board"] for one in as_json["boards"]] == ["pico-1", "host"]
    assert "forget" in call("boards", "--help", broker=broker.url).stdout


def test_a_board_is_forgotten_by_its_short_name(collector, broker, answers) -> None:
    asked = collector(answers)
    done = call("boards", "forget", "pico-1", broker=broker.url)
    assert (done.exit_code, done.stdout.split(";")[0]) == (0, "lab.a1/pico-1 is forgotten")
    assert asked.requests[-1] == ("forget", ForgetRequest("lab.a1", "pico-1"))
    as_json = call("boards", "forget", "pico-1", "--json", broker=broker.url)
    assert json.loads(as_json.stdout) == {"board": "lab.a1/pico-1", "forgotten": True}


def test_a_board_that_is_not_there_is_a_line_with_the_nearest(collector, broker, answers) -> None:
    asked = collector(answers)
    done = call("boards", "forget", "pico-2", broker=broker.url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nearest: lab.a1/pico-1" in done.stderr
    assert {kind for kind, _ in asked.requests} == {"boards"}


def test_a_command_that_is_none_is_wrong_use(broker) -> None:
    done = call("boards", "forgte", broker=broker.url)
    assert done.exit_code == 2
