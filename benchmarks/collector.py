"""How quick the collector is on its SQLite store, beside the bare minimum of the same work in the same run.

    python benchmarks/collector.py [--records 40000] [--rounds 5] [--part pipeline|hundreds|ones|refresh] [--json]

`hundreds`: the service as a process of its own on an embedded broker, batches of 100 results of 8 agents, from the
broker to committed and acknowledged, against a bare loop that decodes the same bytes (a batch, and each of its records
to typed structs) and inserts the same rows into the same tables with `executemany`, one commit for 8 batches.

`ones`: the same service, batches of 1 of 100 agents, against a paho subscriber, also a process of its own, that only
counts and publishes one acknowledgement for every 8 messages.

`pipeline`: without a broker, from lists of messages to acknowledgements ready to send, against the same bare loop with
the same number of commits. `refresh`: what it costs to sum up the ledger of 10,000 nodes after some of them changed.

Each takes turns with what it is compared with, so that a noisy machine troubles both alike; figures are medians. Ratios
are of elapsed times; those of CPU times, which other programs disturb less, stand beside them. An agent may have only 8
batches in the collector's queue; here that bound is raised, and the output says so. Ends with 1 if a target is missed.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collector_load import LIST, bare_seconds, batch_messages, result_record
from collector_path import BATCH, RAISED, measure_hundreds, measure_ones
from figures_table import table

from tinyprof_collector.ledger import Ledger
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.quarantine import Quarantine
from tinyprof_collector.state.sqlite import SqliteState
from tinyprof_collector.stores.sqlite import SqliteStore
from tinyprof_protocol.codec import decode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import Batch, Sack

TARGET_RATIO = 0.5
NODES = 10_000
WITH_TARGET = ("hundreds", "ones")


def pipeline_seconds(folder: Path, messages: list[Message]) -> float:
    """All messages through the real pipeline, in lists of 8."""
    store = SqliteStore(folder / "store.sqlite")
    state, quarantine = SqliteState(folder / "state.sqlite"), Quarantine(folder / "quarantine.sqlite")
    pipeline = Pipeline([store], state, quarantine)
    started = time.perf_counter()
    sacks = [pipeline.process(messages[at : at + LIST]) for at in range(0, len(messages), LIST)]
    seconds = time.perf_counter() - started
    expected = sum(len(decode(message.payload, Batch).records) for message in messages)
    assert decode(sacks[-1][-1].payload, Sack).cum == expected, "not all was acknowledged"
    assert pipeline.ledger(verify=True).ok, "the ledger does not add up"
    for part in (store, state, quarantine):
        part.close()
    return seconds


def measure_pipeline(records: int, rounds: int) -> dict[str, Any]:
    """Microseconds a record of both, and their ratio."""
    messages = batch_messages("lab.bench", os.urandom(16), max(LIST, records // BATCH), BATCH)
    count = len(messages) * BATCH
    ours, bare = [], []
    for _ in range(rounds):
        for run, taken in ((bare_seconds, bare), (pipeline_seconds, ours)):
            with tempfile.TemporaryDirectory() as folder:
                taken.append(run(Path(folder), messages))
    ratios = [b / o for b, o in zip(bare, ours, strict=True)]
    return {
        "records": count,
        "record_bytes": len(result_record(1, 0)),
        "us_per_record": round(statistics.median(ours) / count * 1e6, 2),
        "bare_us_per_record": round(statistics.median(bare) / count * 1e6, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
    }


def measure_refresh(_records: int, rounds: int) -> dict[str, Any]:
    """Milliseconds for the sums of 10,000 nodes: the first time, and after 100 of them changed; and all rows anew."""
    ledger = Ledger()
    epochs = {f"lab.bench-{number}": os.urandom(16) for number in range(NODES)}
    for node, epoch in epochs.items():
        ledger.open(node, epoch).settle(1, 1000, "stored")
    ledger.kept()
    taken: dict[str, list[float]] = {"all_rows": [], "after_100_changed": []}
    started = time.perf_counter()
    ledger.sums()
    first = time.perf_counter() - started
    for number in range(rounds):
        for node in list(epochs)[:100]:
            ledger.open(node, epochs[node]).settle(1001 + number, 1001 + number, "stored")
        ledger.kept()
        for name, work in (("after_100_changed", ledger.sums), ("all_rows", ledger.rows)):
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    ms = {f"{name}_ms": round(statistics.median(times) * 1e3, 2) for name, times in taken.items()}
    return {"nodes": NODES, "first_ms": round(first * 1e3, 2), **ms}


def main() -> int:
    """Runs what was asked for and prints it; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    parts: dict[str, Callable[[int, int], dict[str, Any]]] = {
        "hundreds": measure_hundreds,
        "ones": measure_ones,
        "pipeline": measure_pipeline,
        "refresh": measure_refresh,
    }
    parser.add_argument("--part", choices=tuple(parts), help="one of them only")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured: dict[str, Any] = {"raised_bounds": " ".join(RAISED.split()), "target_ratio": TARGET_RATIO}
    for name, measure in parts.items():
        if options.part in (None, name):
            measured[name] = measure(options.records, options.rounds)
    print(json.dumps(measured) if options.json else table(measured))
    return int(any(measured[name]["ratio"] < TARGET_RATIO for name in WITH_TARGET if name in measured))


if __name__ == "__main__":
    sys.exit(main())
