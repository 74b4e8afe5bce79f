"""Two collectors that account the same epochs, in any order and as late as they like: one account comes of it."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_collector.accounting import MAX_RANGES, AccountImage
from tinyprof_collector.noted_account import Moves, NotedAccount
from tinyprof_collector.state.merging import SharedAccount, merged, seen_by
from tinyprof_protocol.ranges import RangeSet

NODE, EPOCH = "lab.pi", bytes(16)
NAMES = ("a", "b")
CLASSES = ("stored", "quarantined", "expired", "discarded", "evicted", "stored_on_word")
ENDS = ("stored", "expired", "discarded")


class Collector:
    """One of several: takes things in by its own account, and writes what it has seen, sooner or later."""

    def __init__(self, name: str, shared: "Shared") -> None:
        self.name, self.shared = name, shared
        self.load()

    def load(self) -> None:
        image = AccountImage(NODE, EPOCH, 1)
        self.account = NotedAccount.from_image(seen_by(self.shared.now, self.name) if self.shared.now else image)

    def keep(self, times: int = 1) -> None:
        """`times`: written again, because nobody knows whether it had gone through."""
        for _ in range(times):
            self.shared.take(merged(self.shared.now, self.account.image(), self.account.moves, self.name))
        self.load()


class Shared:
    """What is shared, and that it only grows."""

    def __init__(self) -> None:
        self.now: SharedAccount | None = None

    def take(self, new: SharedAccount) -> None:
        before = NotedAccount.from_image(self.now.image) if self.now else NotedAccount(NODE, EPOCH, 1)
        account = NotedAccount.from_image(new.image)
        assert account.adds_up(), account.classes()
        assert all(account.accounted.covers(first, last) for first, last in before.accounted)
        assert account.head >= before.head
        for end in (*ENDS, "on_word"):
            assert getattr(account, end) >= getattr(before, end)
        held = RangeSet(pair for pairs in new.holders.values() for pair in pairs)
        assert held == account.quarantined
        self.now = new


seqs = st.integers(1, 40)
runs = st.tuples(seqs, st.integers(0, 6)).map(lambda run: (run[0], run[0] + run[1]))
steps = st.tuples(
    st.sampled_from(NAMES),
    st.one_of(
        st.tuples(st.just("settle"), runs, st.sampled_from(("stored", "expired", "quarantined"))),
        st.tuples(st.just("evict"), runs),
        st.tuples(st.just("base"), seqs),
        st.tuples(st.just("release"), seqs, st.sampled_from(ENDS)),
        st.tuples(st.just("keep"), st.integers(1, 3)),
        st.just(("restart",)),
    ),
)


def do(collector: Collector, step: tuple) -> None:  # type: ignore[type-arg]
    account = collector.account
    match step:
        case ("settle", (first, last), outcome):
            account.settle(first, last, outcome)
        case ("evict", (first, last)):
            account.evict(first, last, "cap")
        case ("base", base):
            account.receive_base(base)
        case ("release", seq, outcome):
            if seq in account.quarantined_here():
                account.release(seq, outcome)
        case ("keep", times):
            collector.keep(times)
        case ("restart",):
            collector.load()  # what was not written is forgotten; nothing of it was acknowledged


@settings(max_examples=400, deadline=None)
@given(st.lists(steps, max_size=40))
def test_ranges_only_grow_and_each_seq_is_in_one_class_whoever_writes_when(script):
    shared = Shared()
    collectors = {name: Collector(name, shared) for name in NAMES}
    written = RangeSet()
    for name, step in script:
        collector = collectors[name]
        if step[0] == "keep":
            written.update(collector.account.accounted.pairs())
        do(collector, step)
    for name in (*NAMES, *NAMES):
        written.update(collectors[name].account.accounted.pairs())
        collectors[name].keep()
    assert shared.now is not None
    assert RangeSet(shared.now.image.accounted) == written
    views = [collector.account.classes() for collector in collectors.values()]
    collectors["a"].load()
    assert collectors["a"].account.classes() == views[1]


@settings(max_examples=300, deadline=None)
@given(st.lists(steps.filter(lambda step: step[1][0] not in ("keep", "restart")), max_size=20), st.booleans())
def test_one_collector_shares_exactly_what_its_own_account_says(script, again):
    """The account of a collector that is alone is the oracle: written after each step or at the end, it is the same."""
    shared = Shared()
    alone = NotedAccount(NODE, EPOCH, 1)
    collector = Collector("a", shared)
    for _, step in script:
        stand_in = Collector("a", Shared())
        stand_in.account = alone
        do(stand_in, step)
        do(collector, step)
        if again:
            collector.keep(2)
    collector.keep()
    assert collector.account.classes() == alone.classes()
    assert collector.account.accounted == alone.accounted
    assert collector.account.quarantined == alone.quarantined


def test_the_order_of_two_writers_changes_no_range_and_no_sum():
    for first, second in itertools.permutations(NAMES):
        shared = Shared()
        collectors = {name: Collector(name, shared) for name in NAMES}
        collectors["a"].account.settle(1, 50, "stored")
        collectors["b"].account.settle(40, 90, "stored")
        collectors[first].keep()
        collectors[second].keep()
        assert shared.now is not None
        assert (shared.now.image.accounted, shared.now.image.stored) == ([(1, 90)], 90)


def test_a_late_owner_takes_nothing_from_a_newer_one():
    shared = Shared()
    late, newer = Collector("a", shared), Collector("b", shared)
    late.account.settle(1, 10, "stored")
    late.keep()
    late.account.settle(11, 20, "stored")  # and here it is frozen
    newer.load()
    newer.account.settle(11, 15, "stored")
    newer.account.settle(16, 16, "quarantined")
    newer.account.settle(17, 100, "stored")
    newer.keep()
    late.account.hear_of(20)
    late.keep()
    assert late.account.classes() == dict.fromkeys(CLASSES, 0) | {"stored": 100}
    assert late.account.head == 100


def test_what_is_in_two_quarantines_is_quarantined_until_it_is_out_of_both():
    shared = Shared()
    one, two = Collector("a", shared), Collector("b", shared)
    one.account.settle(5, 5, "quarantined")
    two.account.settle(5, 5, "quarantined")
    one.keep()
    two.keep()
    one.load()
    one.account.release(5, "discarded")
    one.keep()
    assert one.account.classes()["quarantined"] == 1
    assert one.account.quarantined_here() == RangeSet()
    two.load()
    two.account.release(5, "stored")
    two.keep()
    assert two.account.classes() == dict.fromkeys(CLASSES, 0) | {"stored": 1}


def test_what_fell_out_of_a_quarantine_whose_account_somebody_else_has_is_discarded():
    shared = Shared()
    one = Collector("a", shared)
    one.account.settle(1, 3, "quarantined")
    one.keep()
    stranger = NotedAccount(NODE, EPOCH, 9)
    stranger.release(2, "discarded")
    shared.take(merged(shared.now, stranger.image(), stranger.moves, "a"))
    assert shared.now is not None
    assert shared.now.image.discarded == 1
    assert shared.now.image.quarantined == [(1, 1), (3, 3)]


def test_duplicates_of_each_collector_are_counted_once_however_often_they_are_written():
    shared = Shared()
    one, two = Collector("a", shared), Collector("b", shared)
    one.account.resent += 5
    one.keep(3)
    two.load()
    two.account.resent += 2
    two.keep(2)
    one.load()
    one.account.resent += 1
    one.keep()
    assert shared.now is not None
    assert shared.now.image.resent == 8


def test_evicted_ranges_beyond_the_bound_are_a_count():
    account = NotedAccount(NODE, EPOCH, 1)
    account.moves = Moves(evicted=RangeSet((2 * n, 2 * n) for n in range(1, MAX_RANGES + 11)))
    account.head = 2 * MAX_RANGES + 20
    shared = merged(None, account.image(), account.moves, "a")
    assert (len(shared.image.evicted), shared.image.evicted_folded) == (MAX_RANGES, 10)
    assert NotedAccount.from_image(shared.image).adds_up()
