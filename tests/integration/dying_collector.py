"""A real collector that kills itself with SIGKILL after the store has a list of records and before its own state does.

Usage: dying_collector.py --config collector.toml --die-at N: at the N-th time that state is to be kept.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from tinyprof_collector import config, opened, service
from tinyprof_collector.ledger_image import Changes, Told
from tinyprof_collector.state.opening import open_state
from tinyprof_collector.state.state import State


def dying(state: State, die_at: int) -> State:
    """The state, whose `keep` dies instead at the `die_at`-th time that it should keep what the store has committed."""
    keep, left = state.keep, [die_at]

    def keep_or_die(changes: Changes) -> Told | None:
        if changes.accounts:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return keep(changes)

    state.keep = keep_or_die  # type: ignore[method-assign]
    return state


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--die-at", type=int, required=True)
    options = parser.parse_args()
    opened.open_state = lambda config, folder: dying(open_state(config, folder), options.die_at)
    return service.run(config.load_config(options.config))


if __name__ == "__main__":
    sys.exit(main())
