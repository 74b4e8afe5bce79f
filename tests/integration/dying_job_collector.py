"""A real collector that kills itself with SIGKILL as soon as a job is kept, before anything is said or sent of it.

Usage: dying_job_collector.py --config collector.toml
"""

import argparse
import os
import signal
import sys
from pathlib import Path

from tinyprof_collector import config, service
from tinyprof_collector.jobs import opening
from tinyprof_collector.jobs.sqlite_store import SqliteJobStore
from tinyprof_collector.jobs.store import JobChanges


class DyingStore(SqliteJobStore):
    """Keeps once and dies."""

    def keep(self, changes: JobChanges) -> None:
        super().keep(changes)
        if changes.jobs:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    options = parser.parse_args()
    opening.SqliteJobStore = DyingStore
    return service.run(config.load_config(options.config))


if __name__ == "__main__":
    sys.exit(main())
