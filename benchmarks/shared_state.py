"""What it costs to keep the accounts of one round of records: in a file of one collector, and in a Redis of several.

    python benchmarks/shared_state.py [--rounds 12] [--json]

So many accounts (epochs of as many agents) take in 100 records each, and are kept, again and again; the figures are
medians of a round's elapsed and CPU time. The Redis is a process of its own on this machine, with its append-only file
and `appendfsync always`, as the SQLite file has `synchronous=FULL`. Needs redis-server.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figures_table import table

from tinyprof.embedded_broker import free_port
from tinyprof_collector.config import StateConfig
from tinyprof_collector.ledger import Ledger
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.state.redis import RedisState
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.state.state import State, StateFailed

ACCOUNTS = (10, 100, 1000)
RECORDS = 100
EPOCH = bytes(16)
PATIENCE_S = 10.0


@contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """The address of a Redis that is there for as long."""
    port = free_port()
    durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), *durable], stdout=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{port}"
    state = RedisState(RedisLink(StateConfig("redis", url)), "bench", range(16))
    try:
        deadline_s = time.monotonic() + PATIENCE_S
        while not answers(state):
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"redis-server did not answer on {port}")
            time.sleep(0.05)
        yield url
    finally:
        state.close()
        process.kill()
        process.wait()


def answers(state: RedisState) -> bool:
    """Whether the server is there yet."""
    try:
        state.check_server()
    except StateFailed:
        return False
    return True


def round_ms(state: State, *, shared: bool, accounts: int, rounds: int) -> tuple[float, float]:
    """Elapsed and CPU time of keeping one round, in milliseconds."""
    ledger = Ledger(state.load(), shared=shared)
    elapsed, cpu = [], []
    for number in range(rounds):
        for agent in range(accounts):
            first = number * RECORDS + 1
            ledger.open(f"lab.agent-{agent}", EPOCH).settle(first, first + RECORDS - 1, "stored")
        began = time.perf_counter(), time.process_time()
        told = state.keep(ledger.changes())
        ledger.kept()
        if told is not None:
            ledger.adopt(told)
        elapsed.append((time.perf_counter() - began[0]) * 1e3)
        cpu.append((time.process_time() - began[1]) * 1e3)
    assert ledger.totals()["stored"] == accounts * rounds * RECORDS
    return statistics.median(elapsed), statistics.median(cpu)


def measure(rounds: int) -> dict[str, Any]:
    """The figures of each state by the number of accounts."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, running_redis(Path(name)) as url:
        for accounts in ACCOUNTS:
            states: dict[str, State] = {
                "sqlite": SqliteState(Path(name) / f"{accounts}.sqlite"),
                "redis": RedisState(RedisLink(StateConfig("redis", url, prefix=f"of-{accounts}")), "bench", range(16)),
            }
            for kind, state in states.items():
                elapsed_ms, cpu_ms = round_ms(state, shared=kind == "redis", accounts=accounts, rounds=rounds)
                state.close()
                found[f"{accounts} accounts, {kind}"] = {
                    "elapsed_ms": round(elapsed_ms, 1),
                    "cpu_ms": round(cpu_ms, 1),
                    "cpu_us_an_account": round(cpu_ms / accounts * 1e3, 1),
                }
    return found


def main() -> int:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: apt install redis-server")
        return 0
    found = measure(options.rounds)
    print(json.dumps(found) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
