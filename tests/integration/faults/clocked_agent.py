"""The producing agent with a clock that can be set, and that can be told to produce no more.

The file that FAULTS_CLOCK names says by how many seconds the clock is set; it is read anew at each reading. Once there
is a file as FAULTS_ENOUGH names it, no more is produced and the agent goes on, so that a judge can wait for quiet.

Usage: as producing_agent.py.
"""

import functools
import os
import sys
import threading
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import producing_agent

from tinyprof_agent import clock, service
from tinyprof_agent.spool import SpoolError


class ToldOrEnough(threading.Event):
    """Set when the process is told to end, and when there is enough."""

    def __init__(self, told: threading.Event, enough: Path) -> None:
        super().__init__()
        self._told = told
        self._enough = enough

    def is_set(self) -> bool:
        return self._told.is_set() or self._enough.exists()


def read_set(file: Path) -> clock.Raw:
    """The machine's clocks, the one of the wall set by what the file says."""
    raw = clock.read_raw(check=False)
    return replace(raw, wall_ns=raw.wall_ns + int(file.read_text()) * 1_000_000_000)


def set_clock(trust: clock.Trust) -> clock.HostClock:
    """In place of the machine's own clock."""
    return clock.HostClock(trust, clock.boot_id(), functools.partial(read_set, Path(os.environ["FAULTS_CLOCK"])))


def main() -> int:
    produce = producing_agent.produce

    def until_enough(agent: service.AgentService, options: Namespace, told: threading.Event) -> None:
        produce(agent, options, ToldOrEnough(told, Path(os.environ["FAULTS_ENOUGH"])))

    service.host_clock = set_clock  # type: ignore[assignment]
    producing_agent.produce = until_enough
    try:
        return producing_agent.main()
    except SpoolError as why:  # as the agent's own command does
        print(why, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
