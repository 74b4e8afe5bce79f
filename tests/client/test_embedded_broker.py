"""The embedded broker as a program of its own, as a service or a shell starts it."""

import socket
import subprocess
import sys
import time

from tinyprof.embedded_broker import EmbeddedBroker, free_port


def start(port: int, *options: str, stdin: int = subprocess.DEVNULL) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tinyprof.embedded_broker", "--port", str(port), *options]
    return subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def comes_up(broker: "subprocess.Popen[str]", port: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and broker.poll() is None:
        if accepts(port):
            return True
        time.sleep(0.02)
    return False


def test_a_broker_without_an_input_goes_on_until_it_is_told_to_end() -> None:
    port = free_port()
    broker = start(port)
    try:
        assert comes_up(broker, port)
    finally:
        broker.terminate()
        broker.communicate(timeout=10)


def test_a_broker_that_is_to_end_with_its_input_does() -> None:
    port = free_port()
    broker = start(port, "--end-with-stdin", stdin=subprocess.PIPE)
    try:
        assert comes_up(broker, port)
        broker.communicate(timeout=10)
        assert broker.returncode == 0
    finally:
        broker.kill()


def test_a_port_that_is_taken_is_one_line_and_exit_1() -> None:
    with EmbeddedBroker() as first:
        second = start(first.port, "--end-with-stdin", stdin=subprocess.PIPE)
        with second:
            assert second.stderr is not None
            said = second.stderr.read()
    assert second.returncode == 1
    assert said.count("\n") == 1
    assert f"could not start on port {first.port}" in said
