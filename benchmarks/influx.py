"""How quick the collector is on InfluxDB, beside the limit and a bare loop, in one run over a real server.

    python benchmarks/influx.py [--results 200000] [--rounds 3] [--away 120] [--part hundreds|ones|…] [--json]

`hundreds`, `ones`: results of 1,000 boards next to 100 agents, 14 fields each, wait in the broker in batches of 100 or
of 1 (a fifth as many); the subscriber is connected but stopped until then. In turns: posts of the ready-made lines that
our store writes (the limit, with one post at a time and with two), a bare loop that makes and posts the same lines, the
collector; the limit and the loop with plain lines, which hold the 14 fields alone; and Telegraf with such lines, if
there is one (TINYPROF_TELEGRAF, benchmarks/telegraf/build.sh, the PATH). Rates are of elapsed time; CPU
times, which other programs disturb less, are of the process alone.

`latency`: 100 results/s, from committed at the agent to acknowledged, which comes after the database has it.

`away`: 1,000 agents with 10 boards each at 1,000 results/s: memory; a backlog drained; then the database is killed, is
away for `--away` seconds, comes back, and what the agents kept meanwhile is drained while live results go on.

Needs influxd (`make influxd`). Ends with 1 if a target is missed, and says which.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from figures_table import table
from influx_away import measure_away, measure_latency
from influx_path import Bench, database, measure_path
from influx_telegraf import LEFT_OUT, telegraf_way

ONES_SHARE = 5
LATENCY_S = 30.0


def missed(measured: dict[str, Any]) -> list[str]:
    """The targets that were not reached, each in a line."""
    wanted: list[tuple[str, Any, str, float]] = []
    for part, most_cpu in (("hundreds", 1.4), ("ones", 1.3)):
        found = measured.get(part, {})
        if part == "hundreds":
            wanted.append(("hundreds: rate / limit", found.get("rate_to_limit_two_posts"), ">=", 0.7))
        wanted.append((f"{part}: CPU / bare loop", found.get("cpu_to_bare_loop"), "<=", most_cpu))
        wanted.append((f"{part}: CPU / Telegraf", found.get("cpu_to_telegraf"), "<=", 1.0))
    latency = measured.get("latency", {})
    wanted.append(("p99, default batching, s", latency.get("default", {}).get("p99_s"), "<=", 1.5))
    wanted.append(("p99, max_wait 100 ms, s", latency.get("max_wait_100_ms", {}).get("p99_s"), "<=", 0.25))
    away = measured.get("away", {})
    wanted.append(("memory at full load, MB", away.get("collector_peak_mb_steady"), "<=", 200))
    wanted.append(("memory with the database away, MB", away.get("collector_peak_mb_end"), "<=", 250))
    wanted.append(("drain / normal drain", away.get("drain_ratio"), ">=", 0.5))
    if away:
        lost = away["committed"] - away["in_database"]
        wanted.append(("committed and not in the database", lost, "<=", 0))
    return [
        f"{what}: {value}, wanted {sign} {bound}"
        for what, value, sign, bound in wanted
        if value is not None and (value < bound if sign == ">=" else value > bound)
    ]


def main() -> int:
    """Runs what was asked for and prints it; 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--results", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    telegraf = telegraf_way()
    more = {} if telegraf is None else {"telegraf": telegraf}
    parser.add_argument("--away", type=float, default=120.0, help="seconds that the database is away")
    parts: dict[str, Callable[[Bench, argparse.Namespace], dict[str, Any]]] = {
        "hundreds": lambda bench, given: measure_path(bench, 100, given.results, given.rounds, more),
        "ones": lambda bench, given: measure_path(bench, 1, given.results // ONES_SHARE, given.rounds, more),
        "latency": lambda bench, _: measure_latency(bench, LATENCY_S),
        "away": lambda bench, given: measure_away(bench, given.away),
    }
    parser.add_argument("--part", choices=tuple(parts), action="append", help="one of them only; may be repeated")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured: dict[str, Any] = {}
    if telegraf is None:
        print(LEFT_OUT, file=sys.stderr)
    with database() as bench:
        for name, measure in parts.items():
            if options.part is None or name in options.part:
                measured[name] = measure(bench, options)
                if not options.json:
                    print(f"{name}:\n{table(measured[name], '  ')}", flush=True)
    measured["missed"] = missed(measured)
    print(json.dumps(measured) if options.json else "\n".join(f"missed: {line}" for line in measured["missed"]))
    return int(bool(measured["missed"]))


if __name__ == "__main__":
    sys.exit(main())
