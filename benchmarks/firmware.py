"""The firmware of every target in its emulator: what a token takes, what it needs, how big it is.

`python benchmarks/firmware.py [--target NAME]... [--json]`. Each target whose compiler and emulator are here is built
with its defaults and run by the agent's own driver, suite `emulated` ("One day", 16 tokens, two repetitions that must
agree). What an emulator counts is instructions, or the model's cycles (rp2040js); none of it is a time.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tinyprof_agent.drivers.emulated.installed import emulator_missing, toolchain_missing
from tinyprof_platforms.targets import Target, read_targets

FIRMWARE = Path(__file__).resolve().parents[1] / "firmware"
COLUMNS = (
    ("to the first", ("instructions_to_first_token", "model_cycles_to_first_token")),
    ("a token", ("instructions_per_token", "model_cycles_per_token")),
    ("RAM peak", ("ram_peak_bytes",)),
    ("stack peak", ("stack_peak_bytes",)),
    ("flash", ("flash_bytes",)),
)


def measure(name: str) -> dict[str, Any]:
    """The result of one run of a target's newest build. Raises RuntimeError with the line that says why not."""
    built = subprocess.run(
        ["make", "-s", "-C", str(FIRMWARE), f"TARGET={name}"], capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise RuntimeError((built.stderr.strip() or "it does not build").splitlines()[-1])
    command = [sys.executable, "-m", "tinyprof", "profile", "--target", name, "--json"]
    begin_s = time.monotonic()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        result: dict[str, Any] = json.loads(ran.stdout)["result"]
    except (ValueError, KeyError, TypeError):
        raise RuntimeError((ran.stderr.strip() or "no result").splitlines()[-1]) from None
    return {**result, "wall_s": time.monotonic() - begin_s}


def row(name: str, result: dict[str, Any]) -> str:
    """A target's line of the table."""
    figures, build = result["figures"], result["build"]
    values = [next((figures[key]["value"] for key in keys if key in figures), None) for _, keys in COLUMNS]
    cells = [f"{value:>12,.0f}" if value is not None else f"{'-':>12}" for value in values]
    cache = f"{build['kv_cache']} {build['ctx']}"
    told = f"{result['verdict']}, {result['golden']}"
    return f"{name:<11}{cache:<10}{''.join(cells)}  {told:<15}{result['wall_s']:5.1f}"


def runnable(target: Target) -> str | None:
    """Why a target cannot be run here, or None."""
    return emulator_missing(target) or toolchain_missing(target)


def main() -> int:
    """1 if a target failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", action="append", help="only these  [default: all that have an emulator]")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    results, failed = {}, False
    if not asked.json:
        print(f"{'target':<11}{'cache':<10}{''.join(f'{title:>12}' for title, _ in COLUMNS)}  verdict, golden  wall s")
    for name, target in sorted(read_targets(FIRMWARE).items()):
        if target.file.emulator is None or (asked.target and name not in asked.target):
            continue
        try:
            missing = runnable(target)
            if missing is not None:
                raise RuntimeError(missing)
            results[name] = measure(name)
            failed = failed or results[name]["verdict"] != "valid"
            if not asked.json:
                print(row(name, results[name]), flush=True)
        except RuntimeError as why:
            failed = True
            print(f"{name}: {why}", file=sys.stderr)
    if asked.json:
        print(json.dumps(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
