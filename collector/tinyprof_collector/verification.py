"""Asks the stores themselves what they hold: for the ledger, and where the accounts cannot know."""

from collections.abc import Callable, Sequence

from tinyprof_collector.accounting import Pairs
from tinyprof_collector.ledger import SUMMED, StoreCount
from tinyprof_collector.stores.store import Store, StoreFailed
from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.requests import LedgerRow

MAX_QUESTIONS = 256
MAX_RECALL_QUESTIONS = 8192
"""Asked once for an epoch, and only where the state was lost."""


def never() -> bool:
    """Nobody is in a hurry."""
    return False


def ask_on(is_over: Callable[[], bool]) -> None:
    """Raises StoreFailed where the time for questions is over; they are asked again after the next start."""
    if is_over():
        raise StoreFailed("the collector stops: what the stores hold is asked after its next start")


def held_runs(
    stores: Sequence[Store],
    node: str,
    epoch: bytes,
    first: int,
    last: int,
    questions: int = MAX_QUESTIONS,
    is_over: Callable[[], bool] = never,
) -> Pairs:
    """The runs of seqs from `first` to `last` that every store holds, found by halving. Raises StoreFailed.

    Mostly one question is enough, because nothing or all is there. After `questions` the rest is taken as not held.
    Once `is_over` says so nothing more is asked, and it fails.
    """
    runs = RangeSet()
    open_ranges = [(first, last)]
    for _ in range(questions):
        if not open_ranges:
            break
        ask_on(is_over)
        a, b = open_ranges.pop()
        held = min(store.count(node, epoch, a, b).held for store in stores)
        if held == b - a + 1:
            runs.add(a, b)
        elif held:
            middle = (a + b) // 2
            open_ranges += [(a, middle), (middle + 1, b)]
    return runs.pairs()


def stored_runs(stores: Sequence[Store], node: str, epoch: bytes, is_over: Callable[[], bool] = never) -> Pairs:
    """All runs of an epoch's seqs that every store holds; one question where nothing is held.

    Raises StoreFailed, also once `is_over` says so.
    """
    ask_on(is_over)
    total = min(store.count(node, epoch).held for store in stores)
    last = total
    while last and last < MAX_SEQ and min(store.count(node, epoch, 1, last).held for store in stores) < total:
        ask_on(is_over)
        last = min(2 * last, MAX_SEQ)
    return runs_among(stores, node, epoch, [(1, last)] if last else [], is_over)


def runs_among(
    stores: Sequence[Store], node: str, epoch: bytes, ranges: Pairs, is_over: Callable[[], bool] = never
) -> Pairs:
    """All runs of seqs in these ranges that every store holds. Raises StoreFailed, also once `is_over` says so."""
    runs: Pairs = []
    for first, last in ranges:
        runs += held_runs(stores, node, epoch, first, last, MAX_RECALL_QUESTIONS, is_over)
    return runs


def store_counts(stores: Sequence[Store], rows: Sequence[LedgerRow]) -> dict[tuple[str, bytes], dict[str, StoreCount]]:
    """What each store counts for each row, by node and epoch, then by the store's name. Raises StoreFailed.

    What lies beyond a row's head is not counted for it: nobody has told of it yet, and it comes again. A row that sums
    up older epochs of a node gets what the node has beyond its other rows.
    """
    counts: dict[tuple[str, bytes], dict[str, StoreCount]] = {}
    for store in stores:
        by_node: dict[str, StoreCount] = {}
        for row in rows:
            if row.epoch == SUMMED:
                continue
            count = store.count(row.node, row.epoch)
            heard_of = count.held
            if heard_of > row.stored:
                heard_of = store.count(row.node, row.epoch, 1, row.head).held
            of_store = StoreCount(heard_of, count.deleted, count.counts_deleted)
            counts.setdefault((row.node, row.epoch), {})[store.name] = of_store
            before = by_node.get(row.node, StoreCount(0))
            by_node[row.node] = StoreCount(before.held + count.held, before.deleted + count.deleted)
        for row in rows:
            if row.epoch == SUMMED:
                total, others = store.count(row.node), by_node.get(row.node, StoreCount(0))
                rest = StoreCount(total.held - others.held, total.deleted - others.deleted, total.counts_deleted)
                counts.setdefault((row.node, SUMMED), {})[store.name] = rest
    return counts
