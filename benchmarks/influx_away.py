"""Latency, memory, and the database away for a while: the real collector, a real InfluxDB, and a fleet at full load."""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from collector_path import child
from influx_path import Bench

from tinyprof.embedded_broker import EmbeddedBroker

FLEET = str(Path(__file__).parent / "influx_fleet.py")
FULL_RATE = 1000
"""Records/s: a result every 10 s from each of 10,000 boards."""
AGENTS = 1000
MAX_BACKLOG = 120_000
"""Of the drain before, which is only there to compare with."""
SETTLE_TIMEOUT_S = 1200.0
POLL_S = 0.2


class Fleet:
    """The fleet's process."""

    def __init__(self, url: str, agents: int, rate: float) -> None:
        command = [sys.executable, FLEET, url, str(agents), str(rate)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._line()

    def ask(self, command: str) -> dict[str, Any]:
        """Gives a command; its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def close(self) -> None:
        """Ends it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def until(self, acknowledged: int) -> float:
        """Waits until so many records are acknowledged; the time of the monotonic clock at which they were."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while self._told(acknowledged) < acknowledged:
            if time.monotonic() > deadline:
                raise RuntimeError(f"not all was acknowledged within {SETTLE_TIMEOUT_S:.0f} s: {self.ask('told')}")
            time.sleep(POLL_S)
        return time.monotonic()

    def _told(self, _wanted: int) -> int:
        return int(self.ask("count")["acknowledged"])

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextlib.contextmanager
def site(bench: Bench, agents: int, rate: float, store: str = "") -> Iterator[tuple[Fleet, int, str]]:
    """A broker, a collector with its bounds as they are by default, and a fleet; gives fleet, collector and bucket."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker, bench.bucket() as bucket:
        config = bench.collector_config(folder, broker.url, bucket, store=store)
        with child([sys.executable, "-m", "tinyprof_collector", "--config", str(config)], "is ready") as (pid, _):
            fleet = Fleet(broker.url, agents, rate)
            try:
                yield fleet, pid, bucket
            finally:
                fleet.close()


def measure_latency(bench: Bench, seconds: float) -> dict[str, Any]:
    """From committed at the agent to its acknowledgement, which comes after the database has it: 100 results/s."""
    figures = {}
    for name, store in (("default", ""), ("max_wait_100_ms", "max_wait_s = 0.1\n")):
        with site(bench, 100, 100, store) as (fleet, _, _bucket):
            time.sleep(5)
            fleet.ask("told")
            time.sleep(seconds)
            told = fleet.ask("told")
            figures[name] = {"results": told["settled"], **{f"{q}_s": v for q, v in told["kept_s"].items()}}
    return figures


def measure_away(bench: Bench, away_s: float) -> dict[str, Any]:
    """Memory at full load, a backlog drained normally, and the same after the database was killed and away."""
    with site(bench, AGENTS, FULL_RATE) as (fleet, pid, bucket):
        time.sleep(30)
        steady_mb = peak_mb(pid)
        backlog = min(MAX_BACKLOG, int(away_s * FULL_RATE))
        before, began_s = fleet.ask("told")["acknowledged"], time.monotonic()
        owed = fleet.ask("backlog " + str(backlog)) or fleet.ask("count")["committed"]
        normal_rate = (owed - before) / (fleet.until(owed) - began_s)
        backlog_mb = peak_mb(pid)
        bench.server.kill()
        gone = fleet.ask("told")
        time.sleep(away_s)
        away_mb = peak_mb(pid)
        away = fleet.ask("told")
        bench.server.start()
        back_s = time.monotonic()
        fleet.ask("live")
        first_s = fleet.until(away["acknowledged"] + 1)
        done_s = fleet.until(away["committed"])
        after = fleet.ask("told")
        fleet.ask("rate 0")
        total = fleet.ask("count")["committed"]
        fleet.until(total)
        kept = fleet.ask("told")["kept"]
        drain_rate = (after["acknowledged"] - away["acknowledged"]) / (done_s - first_s + POLL_S)
        return {
            "agents": AGENTS, "results_per_s": FULL_RATE, "away_s": away_s,
            "collector_peak_mb_steady": steady_mb, "collector_peak_mb_backlog": backlog_mb,
            "collector_peak_mb_away": away_mb, "collector_peak_mb_end": peak_mb(pid),
            "committed_while_away": away["committed"] - gone["committed"],
            "acknowledged_while_away": away["acknowledged"] - gone["acknowledged"],
            "kept_by_agents": away["kept"],
            "batches_resent_while_away": away["batches_resent"] - gone["batches_resent"],
            "first_acknowledged_after_s": round(first_s - back_s, 1), "drained_after_s": round(done_s - back_s, 1),
            "normal_drain_per_s": round(normal_rate),
            "drain_per_s": round(drain_rate), "drain_ratio": round(drain_rate / normal_rate, 3),
            "live_while_draining": after["settled_newest"], "live_kept_s": after["newest_s"],
            "committed": total, "kept_at_end": kept, "in_database": bench.count(bucket),
        }  # fmt: skip


def peak_mb(pid: int) -> float:
    """The largest resident set of a process so far, in MB of 10^6 bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise RuntimeError("no VmHWM")
