"""One epoch's account against a plain dictionary of seq to class, in any order and with any repetition."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_collector.accounting import MAX_RANGES, Account, runs_of, sacks_for
from tinyprof_protocol.codec import encode
from tinyprof_protocol.ranges import RangeSet

EPOCH = bytes(range(16))
SEQ = st.integers(1, 60)
RANGE = st.tuples(SEQ, st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
OPERATION = st.one_of(
    st.tuples(st.just("base"), st.tuples(SEQ, SEQ)),
    st.tuples(st.just("evict"), RANGE),
    st.tuples(st.sampled_from(["stored", "quarantined", "expired"]), RANGE),
    st.tuples(st.sampled_from(["release stored", "release expired", "release discarded"]), RANGE),
)


def new_account() -> Account:
    return Account("lab.pi", EPOCH, 1)


def apply_to_account(account: Account, name: str, first: int, last: int) -> int:
    if name == "base":
        return account.receive_base(first)
    if name == "evict":
        return account.evict(first, last, "cap")
    if name.startswith("release "):
        return account.release(first, name.split()[1])
    return account.settle(first, last, name)


def apply_to_model(model: dict[int, str], name: str, first: int, last: int) -> int:
    """The rules of the ledger, written out seq by seq. Returns how many seqs moved."""
    before = dict(model)
    if name == "base":
        for seq in range(1, first):
            model.setdefault(seq, "stored_on_word")
    elif name == "evict":
        for seq in range(first, last + 1):
            model.setdefault(seq, "evicted")
    elif name.startswith("release "):
        if model.get(first) == "quarantined":
            model[first] = name.split()[1]
    else:
        for seq in range(first, last + 1):
            if model.get(seq, "evicted") == "evicted":
                model[seq] = name
    return sum(1 for seq in model if before.get(seq) != model[seq])


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATION, max_size=40))
def test_every_seq_is_in_exactly_the_class_that_the_rules_give(operations):
    account, model = new_account(), {}
    for name, (first, last) in operations:
        acknowledged = account.accounted.copy()
        assert apply_to_account(account, name, first, last) == apply_to_model(model, name, first, last)
        classes = account.classes()
        assert {kind: sum(1 for c in model.values() if c == kind) for kind in classes} == classes
        assert account.accounted == RangeSet((seq, seq) for seq in sorted(model))
        assert account.adds_up()
        assert all(account.accounted.covers(*pair) for pair in acknowledged), "an acknowledgement was taken back"
        assert account.head >= max(model, default=0)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATION, max_size=30))
def test_repeating_every_operation_changes_nothing(operations):
    account, model = new_account(), {}
    for name, (first, last) in operations:
        apply_to_account(account, name, first, last)
        apply_to_model(model, name, first, last)
    before = account.image()
    for name, (first, last) in operations:
        if name in ("base", "evict"):
            assert apply_to_account(account, name, first, last) == 0
    assert account.image() == before


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATION, max_size=30))
def test_an_account_comes_back_from_its_image(operations):
    account = new_account()
    for name, (first, last) in operations:
        apply_to_account(account, name, first, last)
    assert Account.from_image(account.image()).image() == account.image()


@settings(max_examples=200, deadline=None)
@given(st.lists(SEQ, max_size=40, unique=True), st.lists(st.lists(SEQ, max_size=8), min_size=1, max_size=4))
def test_an_acknowledgement_says_nothing_that_is_not_accounted_and_answers_its_batches(accounted, batches):
    account = new_account()
    for seq in [*accounted, *(seq for batch in batches for seq in batch)]:
        account.settle(seq, seq, "stored")
    sacks = sacks_for(account, [run for batch in batches for run in runs_of(sorted(set(batch)))])
    told = RangeSet()
    for sack in sacks:
        encode(sack)
        assert sack.cum == account.accounted.cum
        told.update([(1, sack.cum)] if sack.cum else [])
        told.update(sack.ranges)
    assert all(account.accounted.covers(*pair) for pair in told)
    assert all(seq in told for batch in batches for seq in batch)


def test_an_acknowledgement_puts_its_own_batch_first_and_then_the_newest():
    account = new_account()
    for seq in range(3, 403, 2):
        account.settle(seq, seq, "stored")
    (sack,) = sacks_for(account, [(5, 5), (101, 101)])
    assert len(sack.ranges) == 64
    assert sack.ranges[:2] == [(5, 5), (101, 101)]
    assert sack.ranges[2:] == [(seq, seq) for seq in range(401 - 61 * 2, 402, 2)]


def test_room_for_ranges_counts_what_would_join():
    account = new_account()
    for seq in range(2, 2 * MAX_RANGES + 2, 2):
        account.settle(seq, seq, "stored")
    assert len(account.accounted) == MAX_RANGES
    assert not account.has_room_for([(5000, 5000)], 1)
    assert account.has_room_for([(3, 3)], 1)
    assert account.has_room_for([(5000, 5000)], 7), "below the base all becomes one range"


def test_evicted_ranges_beyond_the_bound_become_a_count():
    account = new_account()
    for seq in range(1, 2 * MAX_RANGES + 21, 2):
        account.evict(seq, seq, "cap")
        account.settle(seq + 1, seq + 1, "stored")
    assert len(account.evicted) == MAX_RANGES
    assert account.classes()["evicted"] == MAX_RANGES + 10
    assert account.adds_up()
    assert not account.is_due(1)
    assert account.is_due(2 * MAX_RANGES + 19)


def test_runs():
    assert runs_of([]) == []
    assert runs_of([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
    assert runs_of([4, 4, 5]) == [(4, 4), (4, 5)]
