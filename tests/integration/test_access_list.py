"""mosquitto exactly as deploy/ configures it: TLS, passwords, and an access list that binds everyone to their names."""

import contextlib
import importlib.util
import json
import os
import queue
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import paho.mqtt.client as paho
import pytest
from brokers import READY_TIMEOUT_S, mosquitto_program
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from roles import Role, until

from tinyprof.embedded_broker import free_port
from tinyprof_protocol.broker_address import parse_broker, read_broker_file
from tinyprof_protocol.connection import Connection, Hooks
from tinyprof_protocol.mqtt_messages import Publication, Published
from tinyprof_protocol.topics import agent_topic

DEPLOY = Path(__file__).parents[2] / "deploy"
MINE, OTHER = "lab.bench-1", "lab.bench-2"
NOT_AUTHORISED = 0x87


def load_secrets() -> ModuleType:
    """deploy/ is no package: its script is loaded by its path."""
    spec = importlib.util.spec_from_file_location("make_secrets", DEPLOY / "make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class DeployedBroker:
    """mosquitto with deploy's own files; only the paths of the container and the port are the test's."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.secrets = folder / "secrets"
        arguments = ["--folder", str(self.secrets), "--host", "127.0.0.1", "--port", str(self.port)]
        arguments += ["--inside", "localhost", "--agent", MINE, "--agent", OTHER]
        assert load_secrets().main(arguments) == 0
        (folder / "data").mkdir()
        text = (DEPLOY / "mosquitto" / "mosquitto.conf").read_text()
        (folder / "config").symlink_to(DEPLOY / "mosquitto")
        text = text.replace("/mosquitto/", f"{folder}/")
        self._file = folder / "mosquitto.conf"
        self._file.write_text(text.replace("listener 8883", f"listener {self.port} 127.0.0.1") + "user root\n")
        self._log = folder / "mosquitto.log"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([mosquitto_program(), "-c", str(self._file)], stdout=log, stderr=log)
        until(f"mosquitto listens on {self.port}", self._listens, READY_TIMEOUT_S)

    def _listens(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
            return True
        return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)

    def url(self, user: str) -> str:
        text = read_broker_file(self.secrets / f"{user}.broker")
        return text.replace("localhost:8883", f"localhost:{self.port}")


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[DeployedBroker]:
    broker = DeployedBroker(tmp_path)
    broker.start()
    yield broker
    broker.stop()


class Peer:
    """A bare client that does what it likes, to see what the broker lets it."""

    def __init__(self, broker: DeployedBroker, user: str, client_id: str = "", will: str | None = None) -> None:
        address = parse_broker(broker.url(user))
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self.client.username_pw_set(address.username, address.password)
        self.client.tls_set(str(broker.secrets / "ca.crt"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        if will is not None:
            self.client.will_set(will, b"forged", qos=1, retain=True)
        self.codes: queue.Queue[int] = queue.Queue()
        self.heard: queue.Queue[str] = queue.Queue()
        self._ready = threading.Event()
        self.client.on_connect = lambda *_: self._ready.set()
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_publish = lambda _c, _u, _m, code, _p: self.codes.put(code.value)
        self.client.on_message = lambda _c, _u, message: self.heard.put(message.topic)
        self.client.connect("127.0.0.1", address.port)
        self.client.loop_start()
        assert self._ready.wait(10)

    def publish(self, topic: str) -> int:
        """The broker's reason code."""
        self.client.publish(topic, b"x", qos=1)
        return self.codes.get(timeout=10)

    def listen(self, *topics: str) -> None:
        self._ready.clear()
        self.client.subscribe([(topic, 1) for topic in topics])
        assert self._ready.wait(10)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def vanish(self) -> None:
        """Goes without a word, so that its will is published."""
        properties = Properties(PacketTypes.DISCONNECT)
        self.client.disconnect(paho.ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"), properties)
        self.client.loop_stop()


def test_everyone_does_their_own_work(deployed: DeployedBroker, tmp_path: Path) -> None:
    """Agent, collector and a client through TLS, each with a login of its own: a result reaches the store."""
    environment = {"TINYPROF_BROKER_CA_FILE": str(deployed.secrets / "ca.crt")}
    collector_file = tmp_path / "collector.broker"
    collector_file.write_text(deployed.url("collector"))
    (tmp_path / "agent.toml").write_text(
        f'site = "lab"\nagent = "bench-1"\nbroker_file = "{deployed.secrets}/{MINE}.broker"\n'
        f'broker_ca_file = "{deployed.secrets}/ca.crt"\nhost_sample_every_s = 0.2\nclock.trust = "always"\n'
    )
    collector = Role("collector", tmp_path, ["-m", "tinyprof", "collector", "run"])
    agent = Role("agent", tmp_path, ["-m", "tinyprof", "agent", "run", "--config", str(tmp_path / "agent.toml")])
    try:
        collector.start(
            "--state-dir",
            str(tmp_path / "collector"),
            environment={**environment, "TINYPROF_BROKER_FILE": str(collector_file)},
        )
        collector.wait_for("is ready")
        agent.start("--state-dir", str(tmp_path / "agent"))
        client = {**os.environ, **environment, "TINYPROF_BROKER_FILE": str(deployed.secrets / "client.broker")}
        client.pop("TINYPROF_BROKER", None)

        def stored() -> bool:
            command = [sys.executable, "-m", "tinyprof", "status", "--json"]
            done = subprocess.run(command, env=client, capture_output=True, text=True, check=False)
            return '"stored": 0' not in done.stdout and '"stored":' in done.stdout

        until("a record is stored, seen by a client", stored, every_s=0.3)
    finally:
        agent.kill()
        collector.kill()


@pytest.mark.parametrize("kind", ["records", "status", "progress"])
def test_an_agent_writes_under_its_own_name_only(deployed: DeployedBroker, kind: str) -> None:
    peer = Peer(deployed, MINE, MINE)
    assert peer.publish(agent_topic(MINE, kind)) in (0, 0x10)
    assert peer.publish(agent_topic(OTHER, kind)) == NOT_AUTHORISED
    peer.stop()


def test_an_agent_forges_neither_acknowledgements_nor_jobs_nor_a_collector(deployed: DeployedBroker) -> None:
    peer = Peer(deployed, MINE, MINE)
    topics = [agent_topic(MINE, "sack"), agent_topic(OTHER, "sack"), agent_topic(OTHER, "jobs")]
    topics += ["tinyprof/1/collector/main/status", f"tinyprof/1/fleet/{OTHER}/board", f"tinyprof/1/replies/{'0' * 32}"]
    topics += ["tinyprof/1/collector/main/requests/profile"]
    assert [peer.publish(topic) for topic in topics] == [NOT_AUTHORISED] * len(topics)
    peer.stop()


def test_an_agent_hears_its_own_jobs_and_sacks_only(deployed: DeployedBroker) -> None:
    peer, collector = Peer(deployed, MINE, MINE), Peer(deployed, "collector", "main")
    peer.listen("tinyprof/1/+/+/jobs", "tinyprof/1/+/+/sack", "tinyprof/1/+/+/records")
    for topic in (agent_topic(OTHER, "jobs"), agent_topic(OTHER, "sack"), agent_topic(MINE, "jobs")):
        assert collector.publish(topic) in (0, 0x10)
    # The broker keeps the order: had the others' been let through they would have come first.
    assert peer.heard.get(timeout=10) == agent_topic(MINE, "jobs")
    peer.stop()
    collector.stop()


def test_a_will_in_anothers_name_is_not_published(deployed: DeployedBroker) -> None:
    watcher = Peer(deployed, "collector", "main")
    watcher.listen("tinyprof/1/+/+/status")
    forger = Peer(deployed, MINE, "forger", will=agent_topic(OTHER, "status"))
    forger.vanish()
    honest = Peer(deployed, MINE, MINE, will=agent_topic(MINE, "status"))
    honest.vanish()
    assert watcher.heard.get(timeout=10) == agent_topic(MINE, "status")
    watcher.stop()


def test_a_client_reads_only_its_own_replies_and_writes_only_requests(deployed: DeployedBroker) -> None:
    mine, others = "a" * 32, "b" * 32
    peer, collector = Peer(deployed, "client", mine), Peer(deployed, "collector", "main")
    peer.listen("tinyprof/1/replies/+")
    collector.publish(f"tinyprof/1/replies/{others}")
    collector.publish(f"tinyprof/1/replies/{mine}")
    assert peer.heard.get(timeout=10) == f"tinyprof/1/replies/{mine}"
    assert peer.publish(agent_topic(MINE, "jobs")) == NOT_AUTHORISED
    assert peer.publish(agent_topic(MINE, "records")) == NOT_AUTHORISED
    peer.stop()
    collector.stop()


def test_a_refused_publication_is_noticed_and_not_counted_as_sent(deployed: DeployedBroker) -> None:
    outcomes: queue.Queue[Published] = queue.Queue()
    connected = threading.Event()
    hooks = Hooks(on_connected=connected.set, on_published=outcomes.put)
    address = parse_broker(deployed.url(MINE), ca_file=deployed.secrets / "ca.crt")
    connection = Connection(address, MINE, hooks)
    connection.start()
    assert connected.wait(20)
    token = connection.publish(Publication(agent_topic(OTHER, "records"), b"x"))
    outcome = outcomes.get(timeout=10)
    assert (outcome.token, outcome.outcome) == (token, "refused")
    assert "authori" in outcome.reason.lower()
    assert connection.state.counts["refused"] == 1
    connection.stop()


@pytest.mark.parametrize("what", ["password", "no-tls", "stranger"])
def test_who_has_no_login_is_turned_away(deployed: DeployedBroker, what: str) -> None:
    url = deployed.url(MINE)
    password = parse_broker(url).password or ""
    changed = {
        "password": url.replace(password, "wrong"),
        "no-tls": url.replace("mqtts", "mqtt"),
        "stranger": url.replace(MINE, "lab.bench-3"),
    }
    connection = Connection(parse_broker(changed[what], ca_file=deployed.secrets / "ca.crt"), MINE, Hooks())
    connection.start()
    until("the connection has failed", lambda: connection.state.attempts >= 1 and connection.state.next_attempt_s > 0)
    assert not connection.state.connected
    connection.stop(timeout_s=1)


def test_secrets_are_made_once_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make = load_secrets().main
    assert make(["--folder", str(tmp_path / "s"), "--agent", MINE]) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    said = capsys.readouterr().out
    assert all(f" {name}" in said for name in before if not name.endswith(".srl")), said
    assert make(["--folder", str(tmp_path / "s"), "--agent", MINE, "--agent", OTHER]) == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "s").iterdir()}
    assert set(after) - set(before) == {f"{OTHER}.broker"}
    assert all(after[name] == content for name, content in before.items() if name != "passwords")
    assert after["passwords"].startswith(before["passwords"])
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
    assert make(["--folder", str(tmp_path / "s"), "--agent", "no-dot"]) == 1
    assert "no-dot" in capsys.readouterr().err


def test_the_doctor_sees_what_the_access_list_lets_an_agent_do(deployed: DeployedBroker, tmp_path: Path) -> None:
    def examined(agent: str) -> dict[str, str]:
        (tmp_path / "doctor.toml").write_text(
            f'site = "lab"\nagent = "{agent}"\nbroker_file = "{deployed.secrets}/{MINE}.broker"\n'
            f'broker_ca_file = "{deployed.secrets}/ca.crt"\nstate_dir = "{tmp_path / "state"}"\n'
        )
        program = [
            sys.executable,
            "-m",
            "tinyprof",
            "agent",
            "doctor",
            "--config",
            str(tmp_path / "doctor.toml"),
            "--json",
        ]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120)
        return {one["what"]: one["state"] for one in json.loads(done.stdout)["findings"]}

    (deployed.secrets / f"{MINE}.broker").write_text(deployed.url(MINE))
    mine, other = examined("bench-1"), examined("bench-2")
    assert (mine["broker"], mine["subscriptions"], mine["publishing"]) == ("ok", "ok", "ok")
    assert "failed" in (other["broker"], other.get("subscriptions"), other.get("publishing")), other
