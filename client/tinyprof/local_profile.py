"""One run on one board of this machine, without a broker: the agent's driver and its run, directly."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tinyprof_agent.boards import BoardConfig, make_driver
from tinyprof_agent.conditions import read_host
from tinyprof_agent.drivers.driver import Cancelled
from tinyprof_agent.profiling.run import RunOutcome, RunPlan, Step, Surroundings, run
from tinyprof_agent.worker_surroundings import shipped_cases
from tinyprof_platforms.suites import Suite

log = logging.getLogger(__name__)


def host_board(model: str, activations: str) -> BoardConfig:
    """This machine with a model, a shipped one's name or a GGUF file's path."""
    return BoardConfig("host", "host", options={"model": model, "activations": activations})


def serial_board(port: str, baud: int) -> BoardConfig:
    """A board that speaks tinyprof's link on a serial port."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in Path(port).name.lower()).strip("-")
    return BoardConfig(name[:63] or "board", "probe", options={"port": port, "baud": baud})


def emulated_board(target: str) -> BoardConfig:
    """A target of the firmware in its emulator: the name of a folder of `firmware/targets`, or a path."""
    name = "".join(c if c.isascii() and c.isalnum() else "-" for c in Path(target).name.lower()).strip("-")
    return BoardConfig(name[:63] or "board", "emulated", options={"target": target})


def profile_here(
    board: BoardConfig,
    suite_name: str,
    suite: Suite,
    on_step: Callable[[Step], None],
    cancelled: threading.Event | None = None,
) -> RunOutcome:
    """Opens the board, runs the suite, lets go of it. An interrupt, or `cancelled`, stops it between tokens.

    Raises BoardError where it cannot be opened, BadBoard for options of no use, KeyboardInterrupt once it stopped.
    """
    driver = make_driver(board, time.monotonic_ns)
    try:
        on_step(Step("opening"))
        info = driver.open()
        surroundings = Surroundings(
            clock_ns=time.monotonic_ns,
            cases=shipped_cases(info.build),
            read_host=read_host if info.build.platform == "host" else None,
            on_step=on_step,
        )
        with _cancelled_by_interrupt(cancelled or threading.Event()) as cancelled:
            log.info("measuring %s: %s %s", board.name, info.build.platform, info.build.model)
            return run(driver, info, RunPlan(os.urandom(16), board.name, suite_name, suite), surroundings, cancelled)
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        driver.close()


@contextmanager
def _cancelled_by_interrupt(cancelled: threading.Event) -> Iterator[threading.Event]:
    """The first Ctrl-C asks the run to stop between tokens; a second one ends it where it stands."""
    if threading.current_thread() is not threading.main_thread():
        yield cancelled
        return
    before: Any = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> None:
        if cancelled.is_set() and callable(before):
            before(number, frame)
        cancelled.set()

    signal.signal(signal.SIGINT, stop)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, before)
