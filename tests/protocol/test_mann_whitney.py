"""The test against values worked out elsewhere, and what must hold for any samples."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_protocol.mann_whitney import least_p, mann_whitney

# scipy.stats.mannwhitneyu of SciPy 1.17.1, two-sided, method "exact" without ties and "asymptotic" with them (its
# continuity correction on). The first is the example of its manual, the second that of R's wilcox.test (Hollander and
# Wolfe, 1973, 69 f.).
KNOWN = [
    ([19, 22, 16, 29, 24], [20, 11, 17, 12], 17.0, 0.1111111111111111, True),
    (
        [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46],
        [1.15, 0.88, 0.90, 0.74, 1.21],
        35.0,
        0.2544122544122544,
        True,
    ),
    ([1.1, 2.2, 3.3, 4.4, 5.5, 6.6], [7.7, 8.8, 9.9, 10.1, 11.2, 12.3], 0.0, 0.0021645021645021645, True),
    ([1, 2, 3], [4, 5, 6], 0.0, 0.1, True),
    ([1, 2, 2, 3, 5, 5, 5, 8], [2, 3, 5, 6, 7, 7, 9, 9, 10], 16.0, 0.057927669883889955, False),
    ([10, 10, 10, 11], [10, 11, 11, 12, 12], 3.5, 0.11614344287756083, False),
    ([5.0] * 6, [5.0] * 6, 18.0, 1.0, False),
    ([i * 37 % 101 for i in range(30)], [i * 53 % 97 + 10 for i in range(40)], 534.0, 0.4369088917418135, False),
]  # fmt: skip

# The greatest U that is significant at 5 %, two-sided: the table in Siegel, Nonparametric Statistics for the Behavioral
# Sciences (1956), table K, after Auble (1953).
CRITICAL = {
    (4, 4): 0, (5, 5): 2, (6, 6): 5, (7, 7): 8, (8, 8): 13, (9, 9): 17, (10, 10): 23, (11, 11): 30, (12, 12): 37,
    (13, 13): 45, (14, 14): 55, (15, 15): 64, (16, 16): 75, (17, 17): 87, (18, 18): 99, (19, 19): 113, (20, 20): 127,
    (4, 9): 4, (5, 10): 8, (10, 20): 55,
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "u", "p", "exact"), KNOWN)
def test_values_that_others_have_worked_out(first, second, u, p, exact) -> None:
    found = mann_whitney(first, second)
    assert (found.u, found.exact) == (u, exact)
    assert found.p == pytest.approx(p, rel=1e-12)


def samples_with(u: int, n: int, m: int) -> tuple[list[float], list[float]]:
    """Samples without ties whose first has this U: its values stand above as many of the second's as that takes."""
    above = [min(m, max(0, u - i * m)) for i in range(n)]
    return [above[i] + (n - i) / (2 * n) for i in range(n)], [j + 0.75 for j in range(m)]


@pytest.mark.parametrize(("sizes", "critical"), CRITICAL.items())
def test_the_published_table_of_critical_values(sizes, critical) -> None:
    n, m = sizes
    for u, significant in ((critical, True), (critical + 1, False)):
        first, second = samples_with(u, n, m)
        found = mann_whitney(first, second)
        assert (found.u, found.exact) == (u, True)
        assert (found.p <= 0.05) == significant


def test_exact_is_the_share_of_all_orders() -> None:
    n, m = 4, 3
    counts = [sum(a > b for a in chosen for b in set(range(n + m)) - set(chosen)) for chosen in
              combinations(range(n + m), n)]  # fmt: skip
    for u in range(n * m + 1):
        first, second = samples_with(u, n, m)
        low = sum(count <= min(u, n * m - u) for count in counts) / len(counts)
        assert mann_whitney(first, second).p == pytest.approx(min(1, 2 * low))


@pytest.mark.parametrize(("n", "m", "p"), [(3, 3, 0.1), (4, 4, 2 / 70), (1, 30, 2 / 31), (0, 5, 1.0)])
def test_the_least_p_that_so_many_values_can_give(n, m, p) -> None:
    assert least_p(n, m) == pytest.approx(p)
    if n and m:
        assert mann_whitney(range(n), [v + 100 for v in range(m)]).p == pytest.approx(p)


def test_a_sample_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="without values"):
        mann_whitney([], [1.0])


def test_where_exact_ends_the_approximation_goes_on() -> None:
    first, second = [float(i) for i in range(51)], [i + 7.5 for i in range(51)]
    assert not mann_whitney(first, second).exact
    # The exact one of scipy.stats.mannwhitneyu (SciPy 1.17.1); the approximation is good to a few per cent there.
    assert mann_whitney(first, second).p == pytest.approx(0.017375848745245753, rel=0.03)


values = st.lists(st.integers(0, 40), min_size=1, max_size=60)


@given(values, values)
def test_it_is_symmetric_and_a_probability(first, second) -> None:
    one, other = mann_whitney(first, second), mann_whitney(second, first)
    assert one.u + other.u == len(first) * len(second)
    assert one.p == pytest.approx(other.p)
    assert 0 <= one.p <= 1
    assert one.exact == other.exact


@given(values, values, st.integers(-1000, 1000), st.sampled_from([1, 3, 1000]))
def test_a_shift_or_another_unit_of_both_changes_nothing(first, second, shift, unit) -> None:
    moved = mann_whitney([v * unit + shift for v in first], [v * unit + shift for v in second])
    assert moved == mann_whitney(first, second)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30, unique=True))
def test_a_sample_does_not_differ_from_itself(sample) -> None:
    found = mann_whitney(sample, sample)
    assert found.u == len(sample) ** 2 / 2
    assert found.p == 1.0


@given(st.lists(st.integers(0, 10**6), min_size=4, max_size=40, unique=True), st.integers(1, 100))
def test_values_all_above_give_the_least_p(sample, gap) -> None:
    higher = [value + max(sample) - min(sample) + gap for value in sample]
    found = mann_whitney(sample, higher)
    assert found.u == 0
    assert math.isclose(found.p, least_p(len(sample), len(sample)))
