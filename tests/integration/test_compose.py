"""docker-compose.yml: what compose says of it, and that what it gives a service is what the service takes.

There is no container engine in these tests: images are not built, and what the containers would run is started together
in test_compose_together.py.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from composed_site import compose
from redis_server import RedisServer

from tinyprof_collector.config import load_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The configuration as compose reads it, with the settings of .env.example."""
    return read_by_compose(tmp_path_factory, "docker-compose.yml")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same with what several collectors need."""
    return read_by_compose(tmp_path_factory, "docker-compose.yml", "deploy/several-collectors.yml")


def read_by_compose(tmp_path_factory: pytest.TempPathFactory, *files: str) -> dict[str, Any]:
    """What compose makes of these files."""
    return compose(tmp_path_factory.mktemp("site"), *files)


def test_every_service_is_bounded_and_comes_back(composed: dict[str, Any], several: dict[str, Any]) -> None:
    for name, service in [*composed["services"].items(), *several["services"].items()]:
        assert service["restart"] == "unless-stopped", name
        assert service["logging"]["options"]["max-size"], name


def test_secrets_are_files_that_make_secrets_makes(composed: dict[str, Any], tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "deploy" / "make_secrets.py"),
        "--folder",
        str(tmp_path),
        "--agent",
        "lab.bench-1",
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    made = {path.name for path in tmp_path.iterdir()}
    assert {Path(secret["file"]).name for secret in composed["secrets"].values()} <= made
    mounts = [str(volume).split(":")[0] for volume in composed["services"]["mosquitto"]["volumes"]]
    assert {Path(mount).name for mount in mounts if "/secrets/" in mount} <= made


def test_no_secret_stands_in_the_repository() -> None:
    text = (ROOT / "docker-compose.yml").read_text() + (ROOT / ".env.example").read_text()
    suspects = [line for line in text.splitlines() if "PASSWORD" in line or "TOKEN" in line]
    assert suspects
    assert all("/run/secrets/" in line for line in suspects)


@pytest.mark.parametrize("published", ["influxdb", "grafana"])
def test_only_the_broker_is_reached_from_outside(composed: dict[str, Any], published: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in composed["services"][published]["ports"])
    assert "ports" not in composed["services"]["collector"]


def test_the_collector_takes_its_environment(composed: dict[str, Any], tmp_path: Path) -> None:
    service = composed["services"]["collector"]
    environment = {name: str(value) for name, value in service["environment"].items()}
    for name, secret in (
        ("collector-broker", "mqtts://collector:x@mosquitto:8883"),
        ("influxdb-token", "t"),
        ("ca", ""),
    ):
        assert name in {entry["source"] for entry in service["secrets"]}
        (tmp_path / name).write_text(secret)
    inside = {name: value.replace("/run/secrets", str(tmp_path)) for name, value in environment.items()}
    config = load_config(None, inside)
    assert str(config.broker_address()) == "mqtts://mosquitto:8883"
    assert config.store.use == ["influxdb"]
    assert config.store.influxdb.url == "http://influxdb:8086"
    assert config.endpoints.address() == ("127.0.0.1", 9464)
    initial = composed["services"]["influxdb"]["environment"]
    assert config.store.influxdb.bucket == initial["DOCKER_INFLUXDB_INIT_BUCKET"]
    assert config.store.influxdb.org == initial["DOCKER_INFLUXDB_INIT_ORG"]


def test_two_collectors_split_the_fleet_and_share_a_redis(several: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "collector-broker").write_text("mqtts://collector:x@mosquitto:8883")
    configs = []
    for name in ("collector", "collector-two"):
        environment = several["services"][name]["environment"].items()
        inside = {key: str(value).replace("/run/secrets", str(tmp_path)) for key, value in environment}
        configs.append(load_config(None, inside))
    one, two = configs
    assert one.id != two.id
    assert sorted(one.partitions + two.partitions) == list(range(16))
    assert one.state == two.state
    assert one.store == two.store
    assert "state" in several["services"]["redis"]["networks"]
    assert several["networks"]["state"]["internal"] is True
    assert "ports" not in several["services"]["redis"]


def test_the_redis_of_compose_starts_so_and_has_each_write_on_disk(several: dict[str, Any], tmp_path: Path) -> None:
    program, *options = several["services"]["redis"]["command"]
    assert program == "redis-server"
    server = RedisServer(tmp_path, tuple(options)).start()
    try:
        with server.client() as client:
            assert client.config_get("appendfsync") == {"appendfsync": "always"}
            client.set("kept", "1")
        server.kill()
        server.start()
        with server.client() as client:
            assert client.get("kept") == b"1"
    finally:
        server.stop()


def test_the_health_check_asks_where_the_collector_listens() -> None:
    dockerfile = (ROOT / "deploy" / "collector.Dockerfile").read_text()
    assert "http://127.0.0.1:9464/healthz" in dockerfile
    assert "USER 10001" in dockerfile


def test_grafanas_dashboard_asks_the_provisioned_source() -> None:
    dashboards = list((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
    assert dashboards
    for path in dashboards:
        read = json.loads(path.read_text())
        for panel in read["panels"]:
            assert panel["datasource"] == {"type": "influxdb", "uid": "tinyprof"}
            assert all(target["query"] for target in panel["targets"])
