"""Asks the stores themselves how many records of each epoch they hold."""

from collections.abc import Sequence

from tinyprof_collector.ledger import SUMMED, StoreCount
from tinyprof_collector.stores.store import Store
from tinyprof_protocol.jobs import LedgerRow


def store_counts(stores: Sequence[Store], rows: Sequence[LedgerRow]) -> dict[tuple[str, bytes], dict[str, StoreCount]]:
    """What each store counts for each row, by node and epoch, then by the store's name. Raises StoreFailed.

    A row that sums up older epochs of a node gets what the node has beyond its other rows.
    """
    counts: dict[tuple[str, bytes], dict[str, StoreCount]] = {}
    for store in stores:
        by_node: dict[str, StoreCount] = {}
        for row in rows:
            if row.epoch == SUMMED:
                continue
            count = counts.setdefault((row.node, row.epoch), {})[store.name] = store.count(row.node, row.epoch)
            before = by_node.get(row.node, StoreCount(0))
            by_node[row.node] = StoreCount(before.held + count.held, before.deleted + count.deleted)
        for row in rows:
            if row.epoch == SUMMED:
                total, others = store.count(row.node), by_node.get(row.node, StoreCount(0))
                rest = StoreCount(total.held - others.held, total.deleted - others.deleted, total.counts_deleted)
                counts.setdefault((row.node, SUMMED), {})[store.name] = rest
    return counts
