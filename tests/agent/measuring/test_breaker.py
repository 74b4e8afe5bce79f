from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.breaker import BreakerPolicy, Circuit, after_failure, after_success

EVEN = BreakerPolicy(opens_after=3, retry_s=1, first_delay_s=5, factor=2, max_delay_s=30, jitter=0)


def test_it_opens_after_three_failures_and_waits_ever_longer_up_to_the_cap() -> None:
    circuit, now_s, seen = Circuit(), 100.0, []
    assert circuit.may_try(now_s)
    for _ in range(7):
        circuit = after_failure(circuit, now_s, EVEN, Random(1))
        assert not circuit.may_try(now_s)
        seen.append((circuit.open, circuit.next_try_s - now_s))
        now_s = circuit.next_try_s
        assert circuit.may_try(now_s)
    assert seen == [(False, 1), (False, 1), (True, 5), (True, 10), (True, 20), (True, 30), (True, 30)]
    assert circuit.failures == 7


def test_a_success_closes_it_and_forgets() -> None:
    circuit = Circuit()
    for _ in range(5):
        circuit = after_failure(circuit, 0.0, EVEN, Random(1))
    circuit = after_success()
    assert (circuit.open, circuit.failures, circuit.may_try(-1e9)) == (False, 0, True)
    assert not after_failure(circuit, 0.0, EVEN, Random(1)).open


@given(seed=st.integers(), failures=st.integers(1, 40), jitter=st.floats(0, 0.9))
def test_jitter_stays_within_its_share(seed: int, failures: int, jitter: float) -> None:
    policy = BreakerPolicy(jitter=jitter)
    circuit = Circuit()
    for _ in range(failures):
        circuit = after_failure(circuit, 0.0, policy, Random(seed))
    assert circuit.delay_s <= policy.max_delay_s
    assert circuit.delay_s * (1 - jitter) <= circuit.next_try_s <= circuit.delay_s * (1 + jitter)


def test_two_boards_that_fail_together_do_not_come_back_together() -> None:
    rng = Random(7)
    first, second = (after_failure(Circuit(), 0.0, BreakerPolicy(), rng) for _ in range(2))
    assert first.next_try_s != second.next_try_s
