"""Sums of the ledger that are kept up, so that telling them costs what changed and not what there is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerRow

SUMMED_UP = (*LEDGER_CLASSES, "resent", "head")


@dataclass(frozen=True, slots=True)
class Sums:
    """The ledger in short, as it was when it was asked for."""

    totals: Mapping[str, int]
    """Every class, `resent` and `head`, over all nodes."""
    missing: Mapping[str, int]
    """By node, of those that miss any."""
    quarantined: Mapping[str, int]
    """By node, of those that have any in quarantine."""


class LedgerSums:
    """What each node adds to the sums; a node's rows replace what they were before."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[int, ...]] = {}
        self._totals = [0] * len(SUMMED_UP)
        self._missing: dict[str, int] = {}
        self._quarantined: dict[str, int] = {}

    def replace(self, node: str, rows: Iterable[LedgerRow]) -> None:
        """Takes all rows of a node as they are now."""
        sums = [0] * len(SUMMED_UP)
        missing = quarantined = 0
        for row in rows:
            for at, name in enumerate(SUMMED_UP):
                sums[at] += getattr(row, name)
            missing += row.missing
            quarantined += row.quarantined
        before = self._nodes.get(node, (0,) * len(SUMMED_UP))
        self._nodes[node] = tuple(sums)
        for at, value in enumerate(sums):
            self._totals[at] += value - before[at]
        for by_node, value in ((self._missing, missing), (self._quarantined, quarantined)):
            by_node.pop(node, None)
            if value:
                by_node[node] = value

    def now(self) -> Sums:
        """The sums, as a copy. Each keeps the bound of a counter, whatever heads and bases agents make up."""
        totals = [min(MAX_COUNT, total) for total in self._totals]
        return Sums(dict(zip(SUMMED_UP, totals, strict=True)), dict(self._missing), dict(self._quarantined))
