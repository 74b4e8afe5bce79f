"""A board's circuit: after repeated failures it opens, and the board is tried again with rising delays. Pure.

Closed: the board is used; after a failure it is tried again shortly. Open: it is left alone until the next trial is
due. A trial that succeeds closes the circuit; one that fails makes the delay longer, up to a cap.
"""

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """`opens_after` failures in a row open the circuit. Delays in seconds; `jitter` is a share of the delay."""

    opens_after: int = 3
    retry_s: float = 1.0
    first_delay_s: float = 5.0
    factor: float = 2.0
    max_delay_s: float = 300.0
    jitter: float = 0.2


@dataclass(frozen=True, slots=True)
class Circuit:
    """A board's circuit; a new one is closed. `next_try_s` is on the clock that the failures were told on."""

    failures: int = 0
    open: bool = False
    delay_s: float = 0.0
    next_try_s: float = float("-inf")

    def may_try(self, now_s: float) -> bool:
        """Whether the board may be used now: always before the first failure, else once the delay is over."""
        return now_s >= self.next_try_s


def after_success() -> Circuit:
    """The circuit once the board has done what it was asked: closed, with nothing against it."""
    return Circuit()


def after_failure(circuit: Circuit, now_s: float, policy: BreakerPolicy, rng: Random) -> Circuit:
    """The circuit after one more failure. The jitter keeps boards that failed together from coming back together."""
    failures = circuit.failures + 1
    if failures < policy.opens_after:
        return Circuit(failures, False, policy.retry_s, now_s + _jittered(policy.retry_s, policy, rng))
    grown_s = circuit.delay_s * policy.factor if circuit.open else policy.first_delay_s
    delay_s = min(grown_s, policy.max_delay_s)
    return Circuit(failures, True, delay_s, now_s + _jittered(delay_s, policy, rng))


def _jittered(delay_s: float, policy: BreakerPolicy, rng: Random) -> float:
    return delay_s * (1 + policy.jitter * rng.uniform(-1, 1))
