import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.profiling.statistics import coverage, median, median_ranks, p99, percentile, summarise


def test_median_of_odd_and_even_counts() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 3, 2]) == 2.5
    with pytest.raises(ValueError, match="no values"):
        median([])


def test_six_values_are_bounded_by_their_extremes_with_96_9_percent() -> None:
    summary = summarise([10, 14, 11, 13, 12, 15])
    assert summary.median == 12.5
    assert summary.interval is not None
    assert (summary.interval.low, summary.interval.high) == (10, 15)
    assert summary.interval.coverage == 1 - 2 / 64  # 96.875 %
    assert summary.half_width_ratio == pytest.approx(2.5 / 12.5)


def test_five_values_cannot_give_95_percent() -> None:
    assert median_ranks(5) is None
    assert summarise([1, 2, 3, 4, 5]).interval is None
    assert summarise([1, 2, 3, 4, 5]).half_width_ratio is None


@pytest.mark.parametrize(
    ("n", "k", "covered"),
    [
        (8, 1, 1 - 2 / 256),
        (9, 2, 1 - 2 * (1 + 9) / 512),
        (10, 2, 1 - 2 * (1 + 10) / 1024),
        (20, 6, 1 - 2 * (1 + 20 + 190 + 1140 + 4845 + 15504) / 2**20),
    ],
)
def test_ranks_that_tables_of_the_sign_test_give(n: int, k: int, covered: float) -> None:
    assert median_ranks(n) == (k, pytest.approx(covered))


@given(n=st.integers(1, 60), data=st.data())
def test_coverage_is_the_binomials(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, max(1, n // 2)))
    # How many of n values lie below the median is binomial (n, 1/2); the interval holds it for k to n - k of them.
    inside = sum(math.comb(n, below) for below in range(k, n - k + 1)) / 2**n
    assert coverage(n, k) == pytest.approx(inside, abs=1e-12)


@given(st.integers(1, 500))
def test_ranks_are_the_narrowest_that_cover_95_percent(n: int) -> None:
    ranks = median_ranks(n)
    if ranks is None:
        assert n < 6
        return
    k, covered = ranks
    assert covered >= 0.95
    assert 2 * k <= n
    assert 2 * (k + 1) > n or coverage(n, k + 1) < 0.95


@given(st.lists(st.floats(0.001, 1e9), min_size=6, max_size=80))
def test_the_median_lies_in_its_interval(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.interval is not None
    assert summary.interval.low <= summary.median <= summary.interval.high
    assert summary.half_width_ratio is not None
    assert summary.half_width_ratio >= 0


def test_a_median_of_zero_has_no_relative_width() -> None:
    assert summarise([0] * 6).half_width_ratio is None


def test_percentiles_are_values_that_were_observed() -> None:
    hundred = list(range(1, 101))
    assert percentile(hundred, 99) == 99
    assert percentile(hundred, 50) == 50
    assert percentile(hundred, 0) == 1
    assert percentile(hundred, 100) == 100
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="percentage"):
        percentile([], 50)


def test_p99_takes_100_values() -> None:
    assert p99(list(range(99))) is None
    assert p99(list(range(100, 0, -1))) == 99


def test_thousands_of_values_are_no_trouble() -> None:
    ranks = median_ranks(20_000)
    assert ranks is not None
    # Normal approximation: k = n/2 - 0.98 * sqrt(n).
    assert ranks[0] == pytest.approx(10_000 - 0.98 * math.sqrt(20_000), abs=2)
