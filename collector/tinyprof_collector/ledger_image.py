"""The ledger as plain data: what is loaded, what is to be kept, and what others have kept meanwhile."""

from dataclasses import dataclass, field

from msgspec import Struct

from tinyprof_collector.accounting import AccountImage
from tinyprof_collector.noted_account import Moves
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.requests import LedgerRow

Key = tuple[str, bytes]
"""Node and epoch."""


class NodeTotals(Struct, frozen=True, omit_defaults=True):
    """The sum of a node's epochs that were forgotten long ago."""

    node: str
    head: int = 0
    stored: int = 0
    expired: int = 0
    discarded: int = 0
    evicted: int = 0
    stored_on_word: int = 0
    missing: int = 0
    resent: int = 0

    def and_row(self, row: LedgerRow) -> "NodeTotals":
        """The sum with one more epoch in it."""
        names = [name for name in NodeTotals.__struct_fields__ if name != "node"]
        sums = {name: min(MAX_COUNT, getattr(self, name) + getattr(row, name)) for name in names}
        return NodeTotals(self.node, **sums)


@dataclass(frozen=True, slots=True)
class LedgerImage:
    """All accounts and sums as plain data."""

    accounts: list[AccountImage]
    totals: list[NodeTotals]


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to be kept, in one transaction: accounts and sums as they are now, and accounts that went into a sum.

    The rest is for a state that several collectors share, which unites what each of them has seen.
    """

    accounts: list[AccountImage]
    totals: list[NodeTotals]
    gone: list[Key]
    moves: dict[Key, Moves] = field(default_factory=dict)
    """What entered which class, of the accounts and of those that are gone."""
    summed: list[AccountImage] = field(default_factory=list)
    """Those that are gone."""
    known: frozenset[Key] = frozenset()
    """Which of them the shared state has had before."""

    def __bool__(self) -> bool:
        return bool(self.accounts or self.totals or self.gone)


@dataclass(frozen=True, slots=True)
class Told:
    """What a shared state knows better than this collector: accounts and sums, and accounts that went into a sum."""

    accounts: list[AccountImage] = field(default_factory=list)
    totals: list[NodeTotals] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
