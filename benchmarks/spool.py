"""Group-committed appends against a bare executemany with the same number of commits, in one run.

`python benchmarks/spool.py [--json]` prints both rates and their ratio; the target is at least 0.5.
"""

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from tinyprof_agent.clock import host_clock
from tinyprof_agent.spool import Spool, schema
from tinyprof_agent.spool.writing import INSERT, ROW
from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Body, Sample

TARGET = 0.5


def body(number: int) -> Body:
    """A sample as a board gives it."""
    return Sample({"temperature_c": 48.5, "cpu_clock_hz": 1.5e9, "load_1m": number / 7}, board="bench-board")


def spooled(folder: Path, threads: int, calls: int, per_call: int) -> tuple[float, int]:
    """Seconds for `threads` threads that each record `calls` times, and how many commits that took."""
    bodies = [body(number) for number in range(per_call)]
    with_spool = Spool.open(folder / "spool.db", host_clock("always"), cap_bytes=1 << 40)

    def work() -> None:
        for _ in range(calls):
            with_spool.record(bodies)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - started
    commits = with_spool.stats().counters["commits"]
    with_spool.close()
    return seconds, commits


def bare(folder: Path, rows: int, commits: int) -> float:
    """Seconds for the same rows into the same tables by executemany, in as many commits."""
    connection = schema.connect(folder / "bare.db")
    data = pack(body(1))
    made = [(number, 0, b"e" * 16, b"b" * 16, number, number, 0, number, data) for number in range(1, rows + 1)]
    size = -(-rows // commits)
    started = time.perf_counter()
    for first in range(0, rows, size):
        with schema.transaction(connection):
            connection.executemany(INSERT + ROW, made[first : first + size])
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def measure(threads: int, calls: int, per_call: int, rounds: int) -> dict[str, float]:
    """Medians over `rounds` of both, each pair on a fresh file in the same minute."""
    spool_rates, bare_rates, ratios, groups = [], [], [], []
    rows = threads * calls * per_call
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="tinyprof-spool-") as folder:
            seconds, commits = spooled(Path(folder), threads, calls, per_call)
            bare_seconds = bare(Path(folder), rows, commits)
        spool_rates.append(rows / seconds)
        bare_rates.append(rows / bare_seconds)
        ratios.append(bare_seconds / seconds)
        groups.append(rows / commits)
    return {
        "threads": threads,
        "records_per_call": per_call,
        "records": rows,
        "records_per_commit": round(statistics.median(groups), 1),
        "spool_records_per_s": round(statistics.median(spool_rates)),
        "bare_records_per_s": round(statistics.median(bare_rates)),
        "ratio": round(statistics.median(ratios), 3),
    }


def main() -> int:
    """Prints the figures; 1 where the ratio of the main case is under the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    cases = [measure(8, 250, 1, given.rounds), measure(8, 250, 4, given.rounds), measure(1, 500, 1, given.rounds)]
    if given.json:
        print(json.dumps({"benchmark": "spool", "sqlite": sqlite3.sqlite_version, "target": TARGET, "cases": cases}))
    else:
        for case in cases:
            print(
                f"{case['threads']:.0f} threads, {case['records_per_call']:.0f} a call: spool "
                f"{case['spool_records_per_s']:,.0f}/s, bare executemany {case['bare_records_per_s']:,.0f}/s with the "
                f"same {case['records_per_commit']} records a commit, ratio {case['ratio']:.2f} (target {TARGET})"
            )
    return 0 if cases[0]["ratio"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
