"""Telegraf from MQTT to InfluxDB, over the same results as the other ways.

It reads plain MessagePack (its XPath parser), so that the messages hold the same results in maps instead of in encoded
records, and are not deflated. They wait in a mosquitto: Telegraf speaks MQTT 3.1.1, the embedded broker 5 alone. Its
lines are those of the bare loop's plain ones: tags, 14 fields, a time.
"""

import os
import queue
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from brokers import Mosquitto
from collector_path import TIMEOUT_S, child, drained
from influx_bare import TOKEN
from influx_load import records_of
from influx_path import Bench, OtherWay, Written, written_of

from tinyprof_protocol.codec import pack
from tinyprof_protocol.connection import Message
from tinyprof_protocol.records import Result

BUILT = Path(__file__).parent / "telegraf" / "build" / "telegraf"
LEFT_OUT = "Telegraf is left out: none on the PATH or in TINYPROF_TELEGRAF (benchmarks/telegraf/build.sh builds one)"
SETTLE_S = 1.0
_WROTE = re.compile(r"Wrote batch of (\d+) metrics")
_FLOATS = (
    "ttft_ms", "ttft_ms_low", "ttft_ms_high", "decode_tps", "decode_tps_low", "decode_tps_high", "tpot_ms",
    "prefill_tps",
)  # fmt: skip
_TEXTS = ("verdict", "golden", "run_id", "suite", "model_sha256")
_TAGS = ("board", "engine", "model", "platform", "quantisation")


def program() -> str | None:
    """The Telegraf that TINYPROF_TELEGRAF names, that was built here, or on the PATH; None without one."""
    named = os.environ.get("TINYPROF_TELEGRAF")
    return named or (str(BUILT) if BUILT.exists() else shutil.which("telegraf"))


def messages_for(messages: list[Message]) -> list[Message]:
    """The same results in the form that Telegraf reads. A time is text: it takes numbers as floats."""
    made = []
    for message in messages:
        arrivals = list(records_of(message.payload))
        site, _, agent = arrivals[0].node.partition(".")
        results = [_result(one.record.time_ns, one.record.body) for one in arrivals]
        payload = pack({"site": site, "agent": agent, "results": results})
        made.append(Message(message.topic, payload, False, None, None))
    return made


def _result(time_ns: int, body: object) -> dict[str, object]:
    assert isinstance(body, Result)
    build = body.build
    flat: dict[str, object] = {
        "time_ns": str(time_ns), "board": body.board, "engine": build.engine, "model": build.model,
        "platform": build.platform, "quantisation": build.quantisation, "verdict": body.verdict, "golden": body.golden,
        "run_id": body.run_id.hex(), "suite": body.suite, "ctx": build.ctx, "model_sha256": build.model_sha256,
    }  # fmt: skip
    for name, figure in body.figures.items():
        flat[name] = figure.value
        if figure.low is not None:
            flat |= {f"{name}_low": figure.low, f"{name}_high": figure.high}
    return flat


def configuration(broker_port: int, url: str, bucket: str) -> str:
    """A configuration that gives it the same sizes of posts as the others, and room for what waits."""
    fields = "".join(f'{name} = "number({name})"\n' for name in _FLOATS)
    fields += "".join(f'{name} = "string({name})"\n' for name in _TEXTS)
    tags = "".join(f'{name} = "string({name})"\n' for name in _TAGS)
    return f"""
[agent]
interval = "1s"
precision = "1ns"
flush_interval = "1s"
flush_jitter = "0s"
metric_batch_size = 5000
metric_buffer_limit = 1000000
omit_hostname = true
debug = true
[[outputs.influxdb_v2]]
urls = ["{url}"]
token = "{TOKEN}"
organization = "lab"
bucket = "{bucket}"
content_encoding = "identity"
[[inputs.mqtt_consumer]]
servers = ["tcp://127.0.0.1:{broker_port}"]
topics = ["tinyprof/1/+/+/records"]
topic_tag = ""
qos = 1
client_id = "telegraf"
max_undelivered_messages = 10000
data_format = "xpath_msgpack"
[[inputs.mqtt_consumer.xpath]]
metric_name = "'bench_result'"
metric_selection = "/results/*"
timestamp = "string(time_ns)"
timestamp_format = "unix_ns"
[inputs.mqtt_consumer.xpath.tags]
site = "/site"
agent = "/agent"
{tags}[inputs.mqtt_consumer.xpath.fields_int]
ctx = "number(ctx)"
[inputs.mqtt_consumer.xpath.fields]
{fields}"""


@contextmanager
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    """A broker that lets any number wait: Telegraf acknowledges a message when it is written, and speaks MQTT 3.1.1."""
    broker = Mosquitto(folder, "max_queued_messages 0\nmax_inflight_messages 0\n").start()
    try:
        yield broker
    finally:
        broker.stop()


def telegraf_way() -> OtherWay | None:
    """Telegraf as another way of the benchmark; None where there is none."""
    telegraf = program()
    return None if telegraf is None else partial(_run, telegraf)


def _run(telegraf: str, bench: Bench, messages: list[Message], records: int) -> Written:
    """Telegraf until it has said that it wrote all; the database is counted afterwards, as for the others."""
    readable = messages_for(messages)
    with tempfile.TemporaryDirectory() as folder, mosquitto(Path(folder)) as broker, bench.bucket() as bucket:
        config = Path(folder) / "telegraf.conf"
        config.write_text(configuration(broker.port, bench.server.url, bucket))
        with child([telegraf, "--config", str(config)], "Connected") as (pid, said):
            time.sleep(SETTLE_S)  # it does not say when its subscription stands
            base = bench.cpu_s()
            taken = drained(broker, pid, readable, lambda: sum(_written(said, records)) >= records)
            written = written_of(taken, bench, base)
        held = bench.count(bucket)
        if held != records:
            raise RuntimeError(f"Telegraf left {held} of {records} records in the database")
    return written


def _written(said: "queue.Queue[str]", records: int) -> Iterator[int]:
    """What it says of each batch that it wrote, until all are."""
    left = records
    while left > 0:
        found = _WROTE.search(said.get(timeout=TIMEOUT_S))
        if found is not None:
            left -= int(found[1])
            yield int(found[1])
