"""A processor that boards share: one of them measures at a time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tinyprof_agent.drivers.driver import Cancelled

LOCK_WAIT_S: Final = 0.2
"""How often a board that waits for the shared processor looks whether it should stop."""


LET_OTHERS_S: Final = 0.02
"""How long a processor is left free for whoever waits for it."""


def let_others(lock: threading.Lock) -> None:
    """Gives the processor, which is held, to whoever waits for it, and takes it back after that."""
    lock.release()
    try:
        time.sleep(LET_OTHERS_S)
    finally:
        lock.acquire()


@contextmanager
def turn(lock: threading.Lock, cancelled: threading.Event) -> Iterator[None]:
    """Holds the processor. Raises Cancelled where that is asked for before it is free."""
    while not lock.acquire(timeout=LOCK_WAIT_S):
        if cancelled.is_set():
            raise Cancelled
    try:
        yield
    finally:
        lock.release()
