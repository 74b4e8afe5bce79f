"""The watch for regressions: what it costs a result, how soon it sees a step, and how often it is wrong.

python benchmarks/regressions.py [--lines N]
"""

import argparse
import random
import statistics
import time

from msgspec import structs

from tinyprof_collector.config import RegressionsConfig
from tinyprof_collector.regressions.level import Level
from tinyprof_collector.regressions.watch import Watch
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Result

BUILD = Build("host", "reference", "1", "tiny", "0" * 64, "Q4_0", "f32", "float32", 256, "device")
RESULT = Result(
    bytes(16), "b", BUILD, "quick", ["One day"], 16, "valid", [], "match", ClockReport("checked"), {}, [],
    Conditions(), 1.0,
)  # fmt: skip


def found(values: list[float]) -> list[int]:
    """After how many values each change was seen."""
    level = Level()
    return [seen for seen, value in enumerate(values, 1) if level.take(seen, value, 0.05) is not None]


def noisy(n: int, level: float, noise: float, rng: random.Random) -> list[float]:
    """Values around a level."""
    return [level * (1 + rng.gauss(0, noise)) for _ in range(n)]


def detection(rng: random.Random) -> list[tuple[str, ...]]:
    """False alarms over 20,000 runs, and how soon a step of 10% and of 20% is seen, by the noise of a run."""
    rows = []
    for noise in (0.01, 0.02, 0.05, 0.1):
        false = sum(len(found(noisy(1000, 100, noise, rng))) for _ in range(20))
        row = [f"{noise:.0%}", f"{false / 2:g}"]
        for step in (0.1, 0.2):
            runs = []
            for _ in range(200):
                after = [n - 100 for n in found(noisy(100, 100, noise, rng) + noisy(40, 100 * (1 - step), noise, rng))]
                runs.append(next((n for n in after if n > 0), None))
            seen = [n for n in runs if n is not None]
            row.append(f"{statistics.median(seen):g} ({len(seen) / len(runs):.0%})" if seen else "never")
        rows.append(tuple(row))
    return rows


def cost(lines: int, rng: random.Random) -> float:
    """Microseconds of CPU a result, three metrics each, over many boards with 1% of noise."""
    watch = Watch(RegressionsConfig())
    results = [
        Record(
            seq, "clock", bytes(16), seq,
            structs.replace(
                RESULT,
                board=f"b{seq % lines}",
                figures={name: Figure(100 * (1 + rng.gauss(0, 0.01))) for name in ("ttft_ms", "decode_tps")}
                | {"ram_peak_bytes": Figure(65536.0)},
            ),
        )
        for seq in range(lines * 60)
    ]  # fmt: skip
    for record in results[: lines * 30]:
        watch.take("lab.pi", record, record.time_ns)
    began = time.process_time()
    for record in results[lines * 30 :]:
        watch.take("lab.pi", record, record.time_ns)
    return (time.process_time() - began) / (lines * 30) * 1e6


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500, help="boards whose runs are watched")
    asked = parser.parse_args()
    rng = random.Random(1)
    rows = [("noise", "false alarms in 10,000 runs", "runs until -10% is seen", "until -20%"), *detection(rng)]
    for row in rows:
        print(f"{row[0]:6} {row[1]:>28} {row[2]:>24} {row[3]:>16}")
    print(f"\ncost: {cost(asked.lines, rng):.1f} us of CPU a result with three metrics, {asked.lines} boards")


if __name__ == "__main__":
    main()
