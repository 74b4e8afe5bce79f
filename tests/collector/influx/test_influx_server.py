"""What is sent to a server, without one."""

import zlib

import pytest

from tinyprof_collector.config import InfluxConfig
from tinyprof_collector.stores.influx.answers import HttpAnswer
from tinyprof_collector.stores.influx.queries import batched
from tinyprof_collector.stores.influx.server import InfluxServer, is_local


class Recording(InfluxServer):
    """Keeps what it is to send."""

    def request(self, method, path, query=None, headers=None, body=None, *, keep_body=False):
        self.sent = (headers or {}).get("Content-Encoding"), body
        return HttpAnswer(204)


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:8086", True), ("http://localhost:8086/", True), ("http://[::1]:8086", True),
        ("https://influx.lab:8086", False), ("http://10.0.0.7:8086", False),
    ],
)  # fmt: skip
def test_an_address_of_this_machine_is_told_from_others(url, local):
    assert is_local(url) is local


@pytest.mark.parametrize(
    ("url", "gzip", "packed"),
    [
        ("http://10.0.0.7:8086", "auto", True), ("http://127.0.0.1:8086", "auto", False),
        ("http://127.0.0.1:8086", "on", True), ("http://10.0.0.7:8086", "off", False),
    ],
)  # fmt: skip
def test_posts_are_compressed_where_they_travel(url, gzip, packed):
    lines = [f"m,a=b value={n}i {n}".encode() for n in range(100)]
    server = Recording(InfluxConfig(url=url, gzip=gzip))
    server.write(lines)
    encoding, body = server.sent
    assert encoding == ("gzip" if packed else None)
    assert (zlib.decompress(body, 31) if packed else body) == b"\n".join(lines)


def test_questions_go_together_in_lists_of_a_size():
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batched([], 3)) == []
