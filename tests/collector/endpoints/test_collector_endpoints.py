import json
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tinyprof_collector.endpoints import CannotListen, Endpoints, Gauge, Probes


def get(endpoints: Endpoints, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(endpoints.url + path, timeout=10) as answered:
            return answered.status, answered.headers["Content-Type"], answered.read().decode()
    except urllib.error.HTTPError as why:
        with why:
            return why.code, why.headers["Content-Type"], why.read().decode()


class World:
    """What the endpoints are told, to be changed by a test."""

    def __init__(self) -> None:
        self.alive = {"pipeline": ""}
        self.ready = {"store sqlite": "", "broker": ""}
        self.counters = {"records": 7, "mqtt_callback-errors": 2}
        self.gauges = [Gauge("boards", "Boards.", {"healthy": 3.0}, "health"), Gauge("connected", "Up.", {"": 1.0})]

    def probes(self) -> Probes:
        return Probes(lambda: self.alive, lambda: self.ready, lambda: self.counters, lambda: self.gauges)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def endpoints(world, tmp_path):
    running = Endpoints(("127.0.0.1", 0), world.probes(), tmp_path)
    running.start()
    yield running
    running.stop()


def test_a_free_port_is_taken_and_written_down(endpoints, tmp_path):
    written = json.loads((tmp_path / "endpoints.json").read_text())
    assert written["host"] == "127.0.0.1"
    assert f"http://127.0.0.1:{written['port']}" == endpoints.url
    assert written["port"] > 0


def test_the_file_goes_with_the_server(endpoints, tmp_path):
    endpoints.stop()
    endpoints.stop()
    assert not (tmp_path / "endpoints.json").exists()
    with pytest.raises(urllib.error.URLError):
        get(endpoints, "/healthz")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_check_that_fails_is_503_and_named(endpoints, world, path):
    code, kind, body = get(endpoints, path)
    assert (code, kind, json.loads(body)["ok"]) == (200, "application/json", True)
    world.alive["pipeline"] = world.ready["broker"] = "gone"
    code, _, body = get(endpoints, path)
    assert code == 503
    assert "gone" in json.loads(body)["checks"].values()


def test_metrics_are_prometheus_text(endpoints, world):
    code, _, body = get(endpoints, "/metrics?name=x")
    assert code == 200
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }
    assert found == {
        ("tinyprof_collector_records_total",): 7.0,
        ("tinyprof_collector_mqtt_callback_errors_total",): 2.0,
        ("tinyprof_collector_boards", "healthy"): 3.0,
        ("tinyprof_collector_connected",): 1.0,
    }
    world.counters["records"] = 8
    assert "tinyprof_collector_records_total 8.0" in get(endpoints, "/metrics")[2]


def test_other_paths_name_those_that_exist(endpoints):
    code, _, body = get(endpoints, "/")
    assert code == 404
    assert "/readyz" in body


def test_a_defect_is_a_500(endpoints, world):
    del world.ready
    assert get(endpoints, "/readyz")[0] == 500
    assert get(endpoints, "/healthz")[0] == 200


def test_silent_clients_do_not_keep_others_out(endpoints):
    silent = [socket.create_connection(endpoints.address, 10) for _ in range(4)]
    try:
        assert get(endpoints, "/healthz")[0] == 200
    finally:
        for each in silent:
            each.close()


def test_an_address_that_is_taken_is_named(endpoints, world, tmp_path):
    with pytest.raises(
        CannotListen, match=r"endpoints.listen: cannot listen on 127\.0\.0\.1:\d+: Address already in use"
    ):
        Endpoints(endpoints.address, world.probes(), tmp_path / "other").start()
