"""The way from the broker into a real InfluxDB: the limit, a bare loop, the collector.

Every message waits in the broker before the clock starts, as in `collector_path`. Each drain has a bucket of its own,
which is counted afterwards and deleted.
"""

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from collector_path import RAISED, TIMEOUT_S, Drained, SackListener, child, cpu_s, drained
from influx_load import bodies, fleet_load

from tinyprof.embedded_broker import EmbeddedBroker
from tinyprof_protocol.connection import Message

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))
from influxd import ORG, TOKEN, Influxd

AT_ONCE = "max_wait_s = 0.1\n"
"""The last list, which is short, is not held back for the usual second; all others are full at once."""
UNWATCHED = "[regressions]\nenabled = false\n"
"""The watch for regressions is no part of storing, has a rate of its own, and must rank nearly every made-up run."""
BARE = str(Path(__file__).parent / "influx_bare.py")


@dataclass(frozen=True, slots=True)
class Written:
    """What one way took, and what the database took for it."""

    seconds: float
    cpu_s: float
    database_cpu_s: float
    broker_cpu_s: float = 0.0
    messages_per_sack: float = 0.0


OtherWay = Callable[["Bench", list[Message], int], Written]
"""A program that writes all records of the messages, so many, and what it took."""


class Bench:
    """A database for a whole run of benchmarks."""

    def __init__(self, server: Influxd) -> None:
        self.server = server
        self._made = 0

    @contextlib.contextmanager
    def bucket(self) -> Iterator[str]:
        """A bucket that is empty, and deleted at the end."""
        self._made += 1
        name = f"bench-{self._made}"
        org = self.server.bucket()["orgID"]
        made = self.server.request("POST", "/api/v2/buckets", {"orgID": org, "name": name, "retentionRules": []})
        try:
            yield name
        finally:
            self.server.request("DELETE", f"/api/v2/buckets/{made['id']}")

    def cpu_s(self) -> float:
        """CPU time of the database so far."""
        assert self.server.process is not None
        return cpu_s(self.server.process.pid)

    def count(self, bucket: str) -> int:
        """Records in a bucket, by a field that each has."""
        answer = self.server.flux(
            f'from(bucket: "{bucket}") |> range(start: 0, stop: 2100-01-01T00:00:00Z) '
            '|> filter(fn: (r) => r._field == "verdict") |> group() |> count()'
        )
        rows = [line.split(",") for line in answer.splitlines() if line.strip(", ")]
        return int(rows[-1][rows[0].index("_value")]) if len(rows) > 1 else 0

    def collector_config(self, folder: str, broker: str, bucket: str, more: str = "", store: str = "") -> Path:
        """A collector's configuration on this database."""
        path = Path(folder) / "collector.toml"
        path.write_text(
            f'broker = "{broker}"\nstate_dir = "{folder}/state"\n[endpoints]\nlisten = ""\n{more}'
            f'[store]\nuse = ["influxdb"]\n[store.influxdb]\nurl = "{self.server.url}"\norg = "{ORG}"\n'
            f'bucket = "{bucket}"\ntoken = "{TOKEN}"\n{store}'
        )
        return path


@contextlib.contextmanager
def database() -> Iterator[Bench]:
    """A real InfluxDB 2.7 on loopback, on its own folder."""
    with tempfile.TemporaryDirectory(prefix="tinyprof-influxd-") as folder:
        server = Influxd(Path(folder))
        try:
            yield Bench(server.start())
        finally:
            server.stop()


def run_limit(bench: Bench, ready_made: list[bytes], records: int, at_once: int) -> Written:
    """Posts of ready-made lines."""
    from influx_bare import write_bodies

    with tempfile.TemporaryDirectory() as folder, bench.bucket() as bucket:
        path = Path(folder) / "bodies"
        write_bodies(path, ready_made)
        command = [sys.executable, BARE, "limit", str(path), str(at_once), bench.server.url, bucket]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        cpu, base, started = cpu_s(process.pid), bench.cpu_s(), time.perf_counter()
        process.stdin.write("go\n")
        process.stdin.flush()
        said = process.stdout.readline()
        seconds = time.perf_counter() - started
        taken = Written(seconds, cpu_s(process.pid) - cpu, bench.cpu_s() - base)
        process.communicate("end\n", timeout=30)
        if said.strip() != "done":
            raise RuntimeError(f"the limit {said.strip()}")
        _check(bench.count(bucket), records, "the limit")
    return taken


def run_bare(bench: Bench, messages: list[Message], records: int, lines: str) -> Written:
    """The bare loop."""
    with EmbeddedBroker() as broker, bench.bucket() as bucket:
        command = [sys.executable, BARE, "loop", str(broker.port), str(len(messages)), bench.server.url, bucket, lines]
        with child(command, "ready") as (pid, said):
            base = bench.cpu_s()
            taken = drained(broker, pid, messages, lambda: "done" in said.get(timeout=TIMEOUT_S))
            written = written_of(taken, bench, base)
        _check(bench.count(bucket), records, "the bare loop")
    return written


def run_collector(bench: Bench, messages: list[Message], owed: dict[str, int], more: str = UNWATCHED) -> Written:
    """The real service until it has acknowledged all."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker, bench.bucket() as bucket:
        config = bench.collector_config(folder, broker.url, bucket, RAISED + more, AT_ONCE)
        with child([sys.executable, "-m", "tinyprof_collector", "--config", str(config)], "is ready") as (pid, _):
            listener = SackListener(broker.url, owed)
            base = bench.cpu_s()
            taken = drained(broker, pid, messages, lambda: listener.done.wait(TIMEOUT_S))
            written = written_of(taken, bench, base, len(messages) / listener.sacks)
            listener.connection.stop()
        _check(bench.count(bucket), sum(owed.values()), "the collector")
    return written


def written_of(taken: Drained, bench: Bench, base_cpu_s: float, messages_per_sack: float = 0.0) -> Written:
    """What a subscriber took, with what the database took since its CPU time was `base_cpu_s`."""
    return Written(taken.seconds, taken.cpu_s, bench.cpu_s() - base_cpu_s, taken.broker_cpu_s, messages_per_sack)


def _check(held: int, owed: int, who: str) -> None:
    if held != owed:
        raise RuntimeError(f"{who} left {held} of {owed} records in the database")


def measure_path(
    bench: Bench, size: int, records: int, rounds: int, more: Mapping[str, OtherWay] | None = None
) -> dict[str, Any]:
    """All ways in turns, in batches of `size`; `more` are other programs, by name, given the same messages."""
    messages, owed = fleet_load(max(1, records // 100 // size), size)
    count = sum(owed.values())
    whole, plain = bodies(messages, whole=True), bodies(messages, whole=False)
    taken: dict[str, list[Written]] = {}
    for _ in range(rounds):
        for name, run in {
            "limit_two_posts": lambda: run_limit(bench, whole, count, 2),
            "collector": lambda: run_collector(bench, messages, owed),
            "collector_and_watch": lambda: run_collector(bench, messages, owed, ""),
            "bare_loop": lambda: run_bare(bench, messages, count, "whole"),
            "limit_one_post": lambda: run_limit(bench, whole, count, 1),
            "bare_loop_plain_lines": lambda: run_bare(bench, messages, count, "plain"),
            "limit_plain_lines": lambda: run_limit(bench, plain, count, 2),
            **{name: partial(way, bench, messages, count) for name, way in (more or {}).items()},
        }.items():
            taken.setdefault(name, []).append(run())
    ours = taken["collector"]
    return {
        "results": count,
        "line_bytes": round(sum(map(len, whole)) / count),
        "plain_line_bytes": round(sum(map(len, plain)) / count),
        **{name: _figures(runs, count) for name, runs in taken.items()},
        "messages_per_sack": round(ours[-1].messages_per_sack, 1),
        "rate_to_limit_two_posts": _ratio(taken["limit_two_posts"], ours, "seconds"),
        "rate_to_limit_one_post": _ratio(taken["limit_one_post"], ours, "seconds"),
        "rate_to_limit_plain_lines": _ratio(taken["limit_plain_lines"], ours, "seconds"),
        "rate_to_bare_loop": _ratio(taken["bare_loop"], ours, "seconds"),
        "cpu_to_bare_loop": _ratio(ours, taken["bare_loop"], "cpu_s"),
        "cpu_to_bare_loop_plain_lines": _ratio(ours, taken["bare_loop_plain_lines"], "cpu_s"),
        **{f"cpu_to_{name}": _ratio(ours, taken[name], "cpu_s") for name in more or ()},
    }


def _figures(runs: list[Written], count: int) -> dict[str, Any]:
    figures = {
        "results_per_s": round(count / statistics.median(one.seconds for one in runs)),
        "cpu_us": round(statistics.median(one.cpu_s for one in runs) / count * 1e6, 1),
        "database_cpu_us": round(statistics.median(one.database_cpu_s for one in runs) / count * 1e6, 1),
    }
    broker = statistics.median(one.broker_cpu_s for one in runs) / count * 1e6
    return figures | ({"broker_cpu_us": round(broker, 1)} if broker else {})


def _ratio(over: list[Written], under: list[Written], what: str) -> float:
    """The median of the rounds' own ratios."""
    return round(statistics.median(getattr(a, what) / getattr(b, what) for a, b in zip(over, under, strict=True)), 3)
