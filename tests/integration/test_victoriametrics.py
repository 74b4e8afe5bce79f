"""VictoriaMetrics speaks the same write API: for the format of our lines only, not for the promise."""

import json
import os
import shutil
import subprocess
import time
import urllib.request

import pytest
from producing import arrivals

from tinyprof.embedded_broker import free_port
from tinyprof_collector.config import InfluxConfig
from tinyprof_collector.stores.influx.line_protocol import FixedParts
from tinyprof_collector.stores.influx.lines import lines_of
from tinyprof_collector.stores.influx.server import InfluxServer


def program() -> str:
    found = shutil.which("victoria-metrics")
    if found is None:
        if os.environ.get("TINYPROF_TEST_EVERYTHING"):
            pytest.fail("victoria-metrics is not installed: apt install victoria-metrics")
        pytest.skip("victoria-metrics is not installed: 'apt install victoria-metrics' adds the test against it")
    return found


@pytest.fixture
def url(tmp_path):
    port = free_port()
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program(), f"-storageDataPath={tmp_path / 'data'}", f"-httpListenAddr=127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


def test_our_lines_are_taken_and_their_numbers_read_back(url):
    sent = arrivals([1, 3, 4])
    server = InfluxServer(InfluxConfig(url=url))
    assert server.write([line.text for line in lines_of(sent, FixedParts())]).status == 204
    with urllib.request.urlopen(f"{url}/internal/force_flush", timeout=10):
        pass
    with urllib.request.urlopen(f"{url}/api/v1/export?match[]=%7Bboard=%22alpha%22%7D", timeout=10) as reply:
        found = [json.loads(line) for line in reply.read().splitlines()]
    by_name = {one["metric"]["__name__"]: one for one in found}
    assert by_name["tinyprof_result_decode_tps"]["values"] == [51, 53]
    assert by_name["tinyprof_result_ram_peak_bytes"]["values"] == [65537, 65539]
    assert by_name["tinyprof_sample_temperature_c"]["values"] == [44]
    tags = by_name["tinyprof_result_decode_tps"]["metric"]
    assert (tags["site"], tags["agent"], tags["quantisation"]) == ("lab", "pi", "q8_0")
    server.close()
