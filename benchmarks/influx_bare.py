"""The two programs that the collector is compared with on InfluxDB, each a process of its own.

    python benchmarks/influx_bare.py loop PORT MESSAGES URL BUCKET LINES    a subscriber that posts, without accounting
    python benchmarks/influx_bare.py limit FILE POSTS_AT_ONCE URL BUCKET    posts ready-made lines

The loop: paho, msgspec, line protocol, posts of 5,000 lines, and one acknowledgement for every 8 messages. Its lines
are `plain` (14 fields) or `whole` (those of the collector's store). It says `ready` when
it is subscribed and `done` when all is posted; the limit begins at a line on its standard input.
"""

import http.client
import queue
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from influx_load import LINES_A_POST, plain_line, records_of, whole_line

from tinyprof_protocol.codec import encode
from tinyprof_protocol.delivery import Sack
from tinyprof_protocol.topics import agent_topics_of

MESSAGES_PER_SACK = 8
TOKEN = "not-a-secret-of-anyone-0123456789"


class Database:
    """One kept connection to the database's write endpoint."""

    def __init__(self, url: str, bucket: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(str(address.hostname), int(address.port or 80), timeout=60)
        self._path = "/api/v2/write?" + urlencode({"org": "lab", "bucket": bucket, "precision": "ns"})
        self._headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "text/plain; charset=utf-8"}

    def post(self, body: bytes) -> None:
        """Posts lines. Raises RuntimeError unless all were taken."""
        self._connection.request("POST", self._path, body, self._headers)
        reply = self._connection.getresponse()
        said = reply.read()
        if reply.status != 204:
            raise RuntimeError(f"HTTP {reply.status}: {said[:300]!r}")


def loop(port: int, count: int, url: str, bucket: str, lines: str) -> None:
    """Subscribes, posts what comes, and says when `count` messages are posted."""
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    payload = encode(Sack("lab.bench-0", bytes(16), MESSAGES_PER_SACK, []))
    lists: queue.Queue[list[bytes]] = queue.Queue()
    waiting: list[bytes] = []
    state = {"seen": 0, "weight": 0}

    def on_message(client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
        nonlocal waiting
        state["seen"] += 1
        waiting.append(message.payload)
        # A batch of 100 is told from a batch of 1 by its size, so that about 5,000 records are handed over at a time.
        state["weight"] += 100 if len(message.payload) > 2000 else 1
        if state["seen"] % MESSAGES_PER_SACK == 0:
            client.publish(message.topic.replace("records", "sack"), payload, 1)
        if state["weight"] >= LINES_A_POST or state["seen"] == count:
            lists.put(waiting)
            waiting, state["weight"] = [], 0

    def write() -> None:
        database = Database(url, bucket)
        line = whole_line if lines == "whole" else plain_line
        posted = 0
        while posted < count:
            messages = lists.get()
            made = (line(arrival) for payload in messages for arrival in records_of(payload))
            while body := "\n".join(islice(made, LINES_A_POST)):
                database.post(body.encode())
            posted += len(messages)
        print("done", flush=True)

    threading.Thread(target=write, name="writer", daemon=True).start()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="bare", protocol=paho.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe(agent_topics_of(None, "records"), 1)
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("ready", flush=True)
    client.on_socket_open = lambda _c, _d, opened: opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_forever()


def limit(path: Path, at_once: int, url: str, bucket: str) -> None:
    """Posts all bodies of a file, so many at once, from when it is told to."""
    bodies = iter(list(read_bodies(path)))
    lock = threading.Lock()
    failed: list[BaseException] = []

    def work() -> None:
        database = Database(url, bucket)
        try:
            while True:
                with lock:
                    body = next(bodies, None)
                if body is None:
                    return
                database.post(body)
        except (OSError, RuntimeError) as why:
            failed.append(why)

    print("ready", flush=True)
    sys.stdin.readline()
    threads = [threading.Thread(target=work, name=f"post-{n}") for n in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"failed: {failed[0]}" if failed else "done", flush=True)
    sys.stdin.readline()


def write_bodies(path: Path, bodies: list[bytes]) -> None:
    """Keeps ready-made bodies in a file."""
    with path.open("wb") as file:
        for body in bodies:
            file.write(struct.pack("<I", len(body)) + body)


def read_bodies(path: Path) -> Iterator[bytes]:
    """The bodies in a file."""
    with path.open("rb") as file:
        while head := file.read(4):
            yield file.read(struct.unpack("<I", head)[0])


if __name__ == "__main__":
    if sys.argv[1] == "loop":
        loop(int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:7])
    else:
        limit(Path(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:6])
