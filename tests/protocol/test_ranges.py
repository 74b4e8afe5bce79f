import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_protocol.ranges import RangeSet

pairs = st.tuples(st.integers(1, 60), st.integers(0, 12)).map(lambda p: (p[0], p[0] + p[1]))
steps = st.lists(st.tuples(st.sampled_from(["add", "discard"]), pairs), max_size=30)


def numbers(ranges):
    return {n for first, last in ranges for n in range(first, last + 1)}


@given(steps)
def test_it_is_a_set_of_integers(steps):
    ours, model = RangeSet(), set()
    for what, (first, last) in steps:
        span = set(range(first, last + 1))
        if what == "add":
            assert ours.add(first, last) == len(span - model)
            model |= span
        else:
            assert ours.discard(first, last) == len(span & model)
            model -= span
        assert numbers(ours) == model
        assert ours.count() == len(model)
        assert all(b[0] > a[1] + 1 for a, b in zip(ours.pairs(), ours.pairs()[1:], strict=False))


@given(st.lists(pairs), pairs)
def test_questions_agree_with_a_set(adds, span):
    ours = RangeSet(adds)
    model = numbers(adds)
    first, last = span
    wanted = set(range(first, last + 1))
    assert numbers(ours.absent(first, last)) == wanted - model
    assert numbers(ours.within(first, last)) == wanted & model
    assert ours.covers(first, last) == (wanted <= model)
    assert all((n in ours) == (n in model) for n in range(80))
    assert ours.highest == max(model, default=0)
    assert ours.cum == next(n for n in range(100) if n + 1 not in model)
    assert ours == RangeSet(reversed(adds))
    assert ours.copy() == ours


def test_a_copy_is_a_set_of_its_own():
    ours = RangeSet([(1, 3)])
    twin = ours.copy()
    twin.add(9)
    assert ours.pairs() == [(1, 3)]
    assert bool(RangeSet()) is False
    assert len(twin) == 2


def test_a_range_that_is_turned_round_is_refused():
    with pytest.raises(ValueError, match="turned round"):
        RangeSet().add(5, 4)
