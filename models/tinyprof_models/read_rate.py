"""How fast this machine reads: what bounds an engine that must read every weight once for each token."""

import time
from collections.abc import Callable

import numpy as np

ENOUGH_NS = 20_000_000
LEAST_ROUNDS = 5
MOST_BYTES = 256 * 1024 * 1024


def best_read_rate(count: int, clock_ns: Callable[[], int] = time.perf_counter_ns) -> float:
    """Bytes a second at which one thread reads `count` bytes over and over, at best; at most 256 MiB are tried.

    The quickest of several passes of the BLAS's dot product of a vector with itself, which reads each number once and
    does little else. From a size that a cache holds, it is the cache's rate, as it is for the weights of a small model.
    """
    numbers = np.ones(max(1, min(count, MOST_BYTES) // 4), np.float32)
    numbers.dot(numbers)
    begin_ns = clock_ns()
    best_ns, rounds, now_ns = 0, 0, begin_ns
    while rounds < LEAST_ROUNDS or now_ns - begin_ns < ENOUGH_NS:
        before_ns = clock_ns()
        numbers.dot(numbers)
        now_ns = clock_ns()
        took_ns = max(1, now_ns - before_ns)
        best_ns = took_ns if not rounds else min(best_ns, took_ns)
        rounds += 1
    return numbers.nbytes * 1e9 / best_ns
