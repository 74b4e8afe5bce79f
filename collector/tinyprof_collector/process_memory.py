"""How the process treats its memory: for lists of thousands of records that come and go in several threads."""

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8
"""glibc, malloc.h: how many heaps the threads share."""


def share_one_heap() -> None:
    """Before threads begin. What one thread has let go of serves the next one; does nothing where libc is not glibc.

    With a heap for each thread a list that is received, decoded and posted by three leaves room in three: a collector
    of 1,000 agents was 18 MB larger at its peak.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def calm_garbage_collector() -> None:
    """Looks at new objects every 50,000 instead of every 700, and never again at what the start has made.

    Records hold no cycles: in lists of thousands of them the collector finds nothing and costs a fifth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
