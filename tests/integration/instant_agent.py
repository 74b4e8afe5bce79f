"""A real agent whose boards are the test's own: they answer at once, and say so in their data (engine `instant-test`).

Usage: instant_agent.py --config agent.toml [--hold FILE] [--platform NAME]

With --hold a board goes on generating for as long as FILE exists, so that a test can kill something meanwhile. The
agent is the real one; only the driver is the test's, and it ships with nothing.
"""

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.config import load_config
from tinyprof_agent.drivers.driver import BoardInfo, Cancelled, Driver, Generation, LinkCounters, OnText, RoundTrip
from tinyprof_agent.service import AgentService
from tinyprof_protocol.records import Build

TOKEN_NS = 10_000_000
BUILD = Build("test-board", "instant-test", "1", "no-model", "0" * 64, "Q8_0", "f32", "float32", 256, "device")
SUITE = """
prompts = ["One day"]
max_tokens = 3
min_repetitions = 6
min_timed_s = 0.0
warm_up = false
"""


class InstantBoard:
    """Makes tokens at once that took 10 ms each by its own word."""

    def __init__(self, hold: Path | None, platform: str) -> None:
        self.counters = LinkCounters()
        self._build = replace(BUILD, platform=platform)
        self._hold = hold

    def open(self) -> BoardInfo:
        return BoardInfo(self._build, "", 10**9, host_clock=True)

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        while self._hold is not None and self._hold.exists() and not cancelled.is_set():
            cancelled.wait(0.02)
        if cancelled.is_set():
            raise Cancelled
        return Generation(
            0, [TOKEN_NS * (n + 1) for n in range(max_tokens)], list(range(max_tokens)), 3, b"said", "limit"
        )

    def round_trip(self) -> RoundTrip:
        return RoundTrip(0, 1, 0)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def maker(
    hold: Path | None = None, platform: str = BUILD.platform
) -> Callable[[BoardConfig, Callable[[], int]], Driver]:
    """Makes the driver of every board, whatever kind its configuration names."""
    return lambda _board, _clock: InstantBoard(hold, platform)


def configuration(broker: str, folder: Path, boards: Sequence[str], name: str = "bench", more: str = "") -> str:
    """An agent's file: boards that run on request only and are of rack-1, with one suite more, `instant`."""
    suite = folder / "instant.toml"
    suite.write_text(SUITE)
    tables = "".join(
        f'[[boards]]\nname = "{board}"\ndriver = "probe"\nprocessor = "{board}"\nsuite = "instant"\nevery_s = 0\n'
        f'sample_every_s = 0\nlabels = ["rack-1"]\n'
        for board in boards
    )
    return (
        f'site = "lab"\nagent = "{name}"\nbroker = "{broker}"\nstate_dir = "{folder / name}"\n'
        f'host_sample_every_s = 0\nsuite_files = ["{suite}"]\n{more}\n[clock]\ntrust = "always"\n'
        f"[uplink]\nstatus_every_s = 1.0\n{tables}"
    )


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--hold", type=Path)
    parser.add_argument("--platform", default=BUILD.platform)
    options = parser.parse_args()
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    service = AgentService(load_config(options.config), maker(options.hold, options.platform))
    service.start()
    print("the agent is ready", file=sys.stderr, flush=True)
    told.wait()
    print("the agent stops", file=sys.stderr, flush=True)
    return 0 if service.stop() else 1


if __name__ == "__main__":
    sys.exit(main())
