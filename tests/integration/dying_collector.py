"""A real collector that kills itself with SIGKILL after the store has a list of records and before its own state does.

Usage: dying_collector.py --config collector.toml --die-at N: at the N-th time that state is to be kept.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from tinyprof_collector import config, service
from tinyprof_collector.ledger import Changes
from tinyprof_collector.state.sqlite import SqliteState


class DyingState(SqliteState):
    """Dies when it should keep what the store has just committed."""

    die_at = 0

    def keep(self, changes: Changes) -> None:
        """Keeps, or dies before it has."""
        if changes.accounts:
            DyingState.die_at -= 1
            if DyingState.die_at == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        super().keep(changes)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--die-at", type=int, required=True)
    options = parser.parse_args()
    DyingState.die_at = options.die_at
    service.SqliteState = DyingState  # type: ignore[misc]
    return service.run(config.load_config(options.config))


if __name__ == "__main__":
    sys.exit(main())
