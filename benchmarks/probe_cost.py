"""What the probe costs a firmware: counts a token with the probe's calls between tokens, and without them.

`python benchmarks/probe_cost.py [--tokens N] [--json] [TARGET ...]`. Each target's firmware is built twice and run in
its emulator: as it is, and so that tokens are only noted while they are made and handed to the probe behind the last
one (-DPROBE_APART). The emulator's counts from the whole prompt to the last token differ by the probe's work. It must
be under 1%. What cannot be built or run here is named and left out.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tinyprof_agent.drivers.driver import BoardError, Generation
from tinyprof_agent.drivers.emulated import EmulatedDriver, Options
from tinyprof_agent.drivers.emulated.installed import emulator_missing, find_target, toolchain_missing
from tinyprof_platforms.targets import Target

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
TARGETS = ("stm32f405", "rv32imc", "rp2040")
PROMPT, TOKENS, CONTEXT = "One day", 32, 128
MOST_PERCENT = 1.0
BUILDS = {"with": "", "without": "-DPROBE_APART"}


class BenchmarkError(Exception):
    """What keeps the benchmark from running, in one line."""


@dataclass(frozen=True)
class Cost:
    """Counts for each token, and the probe's share of them."""

    target: str
    counts: str
    with_probe: float
    without: float

    @property
    def percent(self) -> float:
        """What the probe adds."""
        return (self.with_probe / self.without - 1) * 100


def built(target: Target, name: str, defines: str) -> Path:
    """The image of a target with or without the probe's calls. Raises `BenchmarkError`."""
    out = f"build/{target.name}-{name}-probe"
    words = [f"TARGET={target.name}", f"OUT={out}", f"DEFINES={defines}", f"CTX={CONTEXT}", f"PYTHON={sys.executable}"]
    done = subprocess.run(["make", "-C", str(FIRMWARE), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{target.name} did not build: {(done.stderr or done.stdout).strip()[-300:]}")
    return FIRMWARE / out / "firmware.elf"


def generated(target: Target, image: Path, tokens: int) -> tuple[Generation, float]:
    """A generation on a fresh board, and how many counts a nanosecond of its clock stands for."""
    driver = EmulatedDriver(
        target.name, Options(target=str(target.folder), image=str(image)), target, time.monotonic_ns
    )
    try:
        info = driver.open()
        assert info.emulation is not None
        made = driver.generate(PROMPT, tokens, timeout_s=240, cancelled=threading.Event())
    finally:
        driver.close()
    if len(made.tokens) != tokens:
        raise BenchmarkError(f"{target.name} made {len(made.tokens)} tokens instead of {tokens}")
    return made, info.emulation.counts_hz / 1e9


def cost_of(target: Target, tokens: int) -> Cost:
    """Builds and runs both. Raises `BenchmarkError`, `BoardError`."""
    plan = target.file.emulator
    assert plan is not None
    whole, scale = generated(target, built(target, "with", BUILDS["with"]), tokens)
    apart, _ = generated(target, built(target, "without", BUILDS["without"]), tokens)
    if whole.tokens != apart.tokens:
        raise BenchmarkError(f"{target.name}: the two builds made different tokens")
    # With the probe's calls, a token's stamp comes before the probe's work for it: the last one's is left out.
    calls = tokens - 1
    passed = (whole.token_ns[-1] - whole.t0_ns) * scale
    # Behind the last token all of them are stamped; the first of these stamps is when the engine was done.
    bare = (apart.token_ns[0] - apart.t0_ns) * scale
    return Cost(target.name, plan.counts, passed / calls, bare / calls)


def main() -> int:
    """1 if a target is missed, or nothing could be measured."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET")
    options.add_argument("--tokens", type=int, default=TOKENS)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    costs: list[Cost] = []
    for name in given.targets:
        target = find_target(name, FIRMWARE)
        missing = emulator_missing(target) or toolchain_missing(target)
        if missing is not None:
            print(f"{name}: left out: {missing}", file=sys.stderr)
            continue
        try:
            costs.append(cost_of(target, given.tokens))
        except (BenchmarkError, BoardError) as why:
            print(f"probe_cost: {why}", file=sys.stderr)
            return 1
    if given.json:
        print(json.dumps([asdict(one) | {"percent": one.percent} for one in costs]))
    else:
        for one in costs:
            each = f"{one.with_probe:,.0f} {one.counts.replace('_', ' ')} a token with the probe"
            print(f"{one.target}: {each}, {one.without:,.0f} without: {one.percent:.3f}% (under {MOST_PERCENT:g}%)")
    return 0 if costs and all(one.percent < MOST_PERCENT for one in costs) else 1


if __name__ == "__main__":
    sys.exit(main())
