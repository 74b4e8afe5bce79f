"""What a shell is offered, and that it never waits for long."""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tinyprof.cli import tinyprof
from tinyprof.completion import boards_like, names_for
from tinyprof.embedded_broker import EmbeddedBroker, free_port
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Connection, Hooks, Publication
from tinyprof_protocol.presence import BoardSummary

BOARDS = [("lab.a1", "pico-1"), ("lab.a1", "host"), ("yard.b", "host"), ("yard.b", "esp")]
LONG_S = 20.0


@pytest.mark.parametrize(
    ("incomplete", "offered"),
    [
        ("", ["lab.a1/host", "pico-1", "esp", "yard.b/host"]),
        ("pi", ["pico-1"]),
        ("ho", ["lab.a1/host", "yard.b/host"]),
        ("lab.", ["lab.a1/host", "lab.a1/pico-1"]),
        ("yard.b/e", ["yard.b/esp"]),
        ("zz", []),
    ],
)
def test_names_are_short_where_that_is_enough(incomplete, offered) -> None:
    assert names_for(BOARDS, incomplete) == offered


@pytest.fixture
def fleet():
    """A broker that keeps summaries of boards."""
    with EmbeddedBroker() as broker:
        up = threading.Event()
        connection = Connection(parse_broker(broker.url), "main", Hooks(on_connected=up.set))
        connection.start()
        assert up.wait(LONG_S)
        for node, board in BOARDS:
            summary = encode(BoardSummary(node, board, "healthy", [], 1))
            connection.publish(Publication(topics.fleet(node, board), summary, retain=True))
        connection.stop()
        yield broker


def test_boards_come_from_what_the_broker_keeps(fleet) -> None:
    assert boards_like("pi", fleet.url, within_s=LONG_S) == ["pico-1"]


def test_without_a_broker_nothing_is_offered_and_nothing_said(capfd) -> None:
    assert boards_like("", f"mqtt://127.0.0.1:{free_port()}") == []
    assert boards_like("", "nonsense://") == []
    assert capfd.readouterr() == ("", "")


def test_a_broker_that_says_nothing_is_waited_for_no_longer_than_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started_s = time.monotonic()
        assert boards_like("", f"mqtt://127.0.0.1:{silent.getsockname()[1]}", within_s=0.05) == []
        assert time.monotonic() - started_s < LONG_S, "it is a limit, and not the connection's own of many seconds"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell) -> None:
    shown = CliRunner().invoke(tinyprof, ["completion", shell])
    assert shown.exit_code == 0
    assert f"_TINYPROF_COMPLETE={shell}_complete" in shown.stdout


def completed(words: list[str], broker: str) -> list[str]:
    """What bash offers for the last of some words, by the script that the command prints."""
    bash = shutil.which("bash")
    assert bash is not None, "these tests need bash"
    line = f"""
        eval "$(tinyprof completion bash)"
        COMP_WORDS=({" ".join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}
        _tinyprof_completion tinyprof; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "TINYPROF_BROKER": broker, "PATH": path}
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True, env=environment, timeout=120, check=True)
    return done.stdout.split()


def test_bash_completes_commands_metrics_and_boards(fleet) -> None:
    assert "completion" in completed(["tinyprof", "com"], fleet.url)
    assert completed(["tinyprof", "boards", ""], fleet.url) == ["forget", "list"]
    assert completed(["tinyprof", "history", "host", "ttft"], fleet.url) == ["ttft_ms"]
