"""What `tinyprof agent doctor` finds, and that it leaves a running agent alone."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest

from tinyprof.embedded_broker import EmbeddedBroker, free_port
from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.clock import host_clock
from tinyprof_agent.config import AgentConfig
from tinyprof_agent.doctor.boards import check_board, port_finding
from tinyprof_agent.doctor.examination import check_clock, check_files, examine
from tinyprof_agent.doctor.state_folder import SPOOL, check_folder, check_spool, holder_of
from tinyprof_agent.spool import Spool
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Connection, Hooks
from tinyprof_protocol.mqtt_messages import Publication
from tinyprof_protocol.presence import CollectorStatus
from tinyprof_protocol.records import Event

MIB = 1 << 20


@pytest.fixture(scope="module")
def broker():
    with EmbeddedBroker() as running:
        yield running


def by_name(config: AgentConfig, **how) -> dict[str, tuple[str, str]]:
    return {found.what: (found.state, found.line) for found in examine(config, **how)}


def spooled(folder: Path) -> Spool:
    folder.mkdir(exist_ok=True)
    spool = Spool.open(folder / SPOOL, host_clock("always"))
    spool.record([Event("note")])
    return spool


def test_all_is_well_with_a_broker_and_a_collector(broker, tmp_path) -> None:
    up = threading.Event()
    collector = Connection(parse_broker(broker.url), "main", Hooks(on_connected=up.set))
    collector.start()
    assert up.wait(20)
    status = Publication(topics.collector_status("main"), encode(CollectorStatus("main", "online")), retain=True)
    collector.publish(status)
    config = AgentConfig(site="lab", agent="a1", broker=broker.url, state_dir=str(tmp_path))
    found = by_name(config)
    collector.stop([Publication(topics.collector_status("main"), b"", retain=True)])
    assert found["broker"] == ("ok", f"{config.broker_address()} takes us as lab.a1")
    assert found["collector"] == ("ok", "live: main")
    states = {what: state for what, (state, _) in found.items() if what != "clock"}
    assert set(states.values()) == {"ok"}
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_without_a_collector_it_warns_and_without_a_broker_it_fails(broker, tmp_path) -> None:
    found = by_name(AgentConfig(site="lab", agent="a1", broker=broker.url, state_dir=str(tmp_path)))
    assert found["collector"][0] == "warning"
    found = by_name(AgentConfig(broker=f"mqtt://127.0.0.1:{free_port()}", state_dir=str(tmp_path)))
    assert found["broker"][0] == "failed"
    assert "connection refused" in found["broker"][1]
    assert "publishing" not in found


def test_a_running_agent_is_left_alone(broker, tmp_path) -> None:
    """It has the name on the broker, the spool and the boards: whoever takes one of them throws it out."""
    spool = spooled(tmp_path)
    lost: list[str] = []
    up, answered = threading.Event(), threading.Event()
    hooks = Hooks(on_connected=up.set, on_lost=lost.append, on_published=lambda _: answered.set())
    agent = Connection(parse_broker(broker.url), "lab.a1", hooks)
    agent.start()
    assert up.wait(20)
    boards = [BoardConfig("host", "host", options={"model": "stories260k-q8_0"})]
    found = by_name(AgentConfig(site="lab", agent="a1", broker=broker.url, state_dir=str(tmp_path), boards=boards))
    spool.record([Event("still mine")])
    agent.publish(Publication(topics.agent_topic("lab.a1", "progress"), b"", qos=1))
    assert answered.wait(20)
    assert lost == [], "its connection is still the first"
    agent.stop()
    spool.close()
    assert found["spool"] == ("skipped", f"process {os.getpid()} holds it: an agent runs, and is left alone")
    assert found["board host"][0] == "skipped"
    assert found["broker"][0] == "ok"
    assert holder_of(tmp_path / SPOOL) is None


def test_a_spools_figures_are_read_and_it_is_not_changed(tmp_path) -> None:
    spooled(tmp_path).close()
    before = (tmp_path / SPOOL).read_bytes()
    found = check_spool(tmp_path / SPOOL, 64 * MIB, None)
    assert (found.state, "holds 1 record, 0% of its 64 MiB" in found.line) == ("ok", True)
    assert (tmp_path / SPOOL).read_bytes() == before
    assert check_spool(tmp_path / SPOOL, 1, None).state == "warning"


def test_a_spool_that_is_broken_or_of_another_version_is_told(tmp_path) -> None:
    path = tmp_path / SPOOL
    path.write_bytes(b"no database at all" * 100)
    assert check_spool(path, MIB, None).state == "failed"
    path.unlink()
    spooled(tmp_path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    found = check_spool(path, MIB, None)
    assert (found.state, "version 99" in found.line) == ("failed", True)


def test_a_folder_that_is_not_there_yet_is_only_looked_for(tmp_path) -> None:
    assert check_folder(tmp_path / "a" / "b").state == "ok"
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("")
    assert check_folder(tmp_path / "file").state == "failed"


@pytest.mark.parametrize(
    ("trust", "synchronised", "state"),
    [("auto", True, "ok"), ("always", False, "warning"), ("auto", False, "warning")],
)
def test_the_clock(trust, synchronised, state) -> None:
    assert check_clock(trust, synchronised).state == state


def test_files_that_cannot_be_read_are_named(tmp_path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("nothing of use")
    config = AgentConfig(model_files=[str(bad)], golden_files=[str(tmp_path / "none")], suite_files=[str(bad)])
    found = {one.what: one for one in check_files(config)}
    assert {what: one.state for what, one in found.items()} == dict.fromkeys(
        ("models", "golden outputs", "suites"), "failed"
    )
    assert str(bad) in found["models"].line


def test_a_port_that_is_not_there_and_one_without_permission() -> None:
    gone = check_board(BoardConfig("b", "probe", options={"port": "/dev/ttyNOT0"}), agent_runs=False)
    assert (gone.state, "is the board plugged in?" in gone.line) == ("failed", True)
    assert port_finding("b", "socket://127.0.0.1:1") is None
    assert port_finding("b", "") is None


def test_a_port_without_permission_names_the_group(tmp_path) -> None:
    port = tmp_path / "port"
    port.touch()
    assert port_finding("b", str(port)) is None
    found = port_finding("b", str(port), may_open=lambda _: False)
    assert found is not None
    assert "usermod -aG" in found.line


def test_a_board_that_answers_nothing_fails_in_time_and_one_that_can_never_work_too() -> None:
    master, slave = os.openpty()
    silent = check_board(BoardConfig("b", "probe", options={"port": os.ttyname(slave)}), agent_runs=False)
    os.close(master)
    os.close(slave)
    assert silent.state == "failed"
    assert check_board(BoardConfig("b", "nonsense"), agent_runs=False).state == "failed"
    assert (
        check_board(
            BoardConfig("b", "host", enabled=False, options={"model": "stories260k-q8_0"}), agent_runs=False
        ).state
        == "skipped"
    )


def test_a_board_that_answers_says_who_it_is() -> None:
    found = check_board(BoardConfig("b", "host", options={"model": "stories260k-q8_0"}), agent_runs=False)
    assert (found.state, "stories260k-q8_0" in found.line) == ("ok", True)
