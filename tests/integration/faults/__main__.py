"""The fault harness on the command line: `make faults SEED=… MINUTES=…`; docs/reliability.md says what it does.

Progress is a line a round; the end is the figures, and the command that repeats a round that failed. Returns 1 then.
"""

import argparse
import logging
import os
import secrets
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from faults import harness, report


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--seed", default="", help="what the faults are drawn from (default: a random one, printed)")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--round", type=int, help="only this round, once")
    parser.add_argument("--side-by-side", type=int, default=1, help="sites at once")
    parser.add_argument("--several", action="store_true", help="only sites of two collectors")
    parser.add_argument("--folder", type=Path, help="where failed rounds are left (default: a new one in /tmp)")
    options = parser.parse_args()
    seed = options.seed or secrets.token_hex(4)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tinyprof-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=folder / "harness.log", format="%(asctime)s %(levelname)s %(message)s")
    means = harness.find_means(folder, dict(os.environ))
    if options.several:
        means = replace(means, several="all")
    for line in means.left_out():
        print(f"left out: {line}")
    if options.round is None:
        print(f"seed {seed}, {options.minutes:g} minutes, {options.side_by_side} at once, in {folder}", flush=True)
        reports = harness.run(seed, options.minutes, options.side_by_side, means, say, folder)
    else:
        done, left = harness.in_own_folder(seed, options.round, means, folder)
        say(f"{done.line()}\n{left}")
        reports = [done]
    for line in report.sum_up(reports):
        print(line)
    return 1 if any(one.why for one in reports) else 0


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
