"""What the service manager is told, and how often."""

import socket
from pathlib import Path

import pytest

from tinyprof_protocol.broker_address import BadAddress, broker_from, read_broker_file
from tinyprof_protocol.service_notify import DEFAULT_INTERVAL_S, ServiceNotify, watchdog_interval_s


@pytest.mark.parametrize(
    ("environment", "interval_s"),
    [
        ({}, DEFAULT_INTERVAL_S),
        ({"WATCHDOG_USEC": "3000000"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 1.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, DEFAULT_INTERVAL_S),
        ({"WATCHDOG_USEC": "60000000"}, DEFAULT_INTERVAL_S),
        ({"WATCHDOG_USEC": "0"}, DEFAULT_INTERVAL_S),
        ({"WATCHDOG_USEC": "soon"}, DEFAULT_INTERVAL_S),
    ],
)
def test_the_watchdog_is_fed_three_times_in_its_time(environment: dict[str, str], interval_s: float) -> None:
    assert watchdog_interval_s(environment, pid=7) == interval_s


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    name = f"@tinyprof-test-{tmp_path.name}-{id(tmp_path)}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        manager.settimeout(5)
        notify = ServiceNotify({"NOTIFY_SOCKET": name})
        notify.ready("lab.bench-1, 2 boards")
        notify.alive()
        notify.stopping()
        said = [manager.recv(1000) for _ in range(3)]
    assert said == [b"READY=1\nSTATUS=lab.bench-1, 2 boards", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_a_service_manager_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    ServiceNotify({}).ready("here")
    ServiceNotify({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("here")


def test_a_brokers_address_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "broker"
    file.write_text("mqtts://lab.bench-1:pass%2Fword@broker.example\nthe rest is not read\n")
    environment = {"TINYPROF_BROKER": "mqtt://other", "TINYPROF_BROKER_FILE": str(file)}
    found = broker_from(None, {**environment, "TINYPROF_BROKER_CA_FILE": "/ca"})
    assert (found.host, found.port, found.username, found.password) == (
        "broker.example",
        8883,
        "lab.bench-1",
        "pass/word",
    )
    assert str(found.ca_file) == "/ca"
    assert broker_from("mqtt://asked", environment).host == "asked"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_broker_file_without_an_address_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "broker"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadAddress, match=str(file)):
        read_broker_file(file)
