"""Runs every benchmark, one after the other, so that they do not disturb each other. `make benchmarks`.

`python -m benchmarks [NAME ...]`: all, or some of those in `NAMES`.
"""

import subprocess
import sys
from pathlib import Path

NAMES = (
    "agent", "spool", "collector", "shared_state", "cached_answers", "regressions", "jobs", "influx", "dashboard",
    "engine", "firmware", "probe_cost",
)  # fmt: skip


def main() -> int:
    """1 if any of them misses a target."""
    missed = []
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            print(f"no benchmark is called {name!r}; there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, str(Path(__file__).parent / f"{name}.py")], check=False).returncode:
            missed.append(name)
    if missed:
        print(f"\nmissed a target: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
