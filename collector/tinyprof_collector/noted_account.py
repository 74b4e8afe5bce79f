"""Accounts that also note, range by range, what entered which class since it was last kept.

Counts of two collectors cannot be united; what each has seen enter a class can, in any order and any number of times.
"""

from dataclasses import dataclass, field
from typing import Literal, Self

from msgspec.structs import replace

from tinyprof_collector.accounting import Account, AccountImage, Outcome
from tinyprof_protocol.ranges import RangeSet

End = Literal["stored", "expired", "discarded"]
ENDS: tuple[End, ...] = ("stored", "expired", "discarded")


@dataclass(slots=True)
class Moves:
    """Seqs of an epoch by the class that they entered."""

    on_word: RangeSet = field(default_factory=RangeSet)
    evicted: RangeSet = field(default_factory=RangeSet)
    quarantined: RangeSet = field(default_factory=RangeSet)
    stored: RangeSet = field(default_factory=RangeSet)
    expired: RangeSet = field(default_factory=RangeSet)
    discarded: RangeSet = field(default_factory=RangeSet)


class NotedAccount(Account):
    """An account of one of several collectors."""

    def __init__(self, node: str, epoch: bytes, ordinal: int) -> None:
        super().__init__(node, epoch, ordinal)
        self.moves = Moves()
        self.known = False
        """Whether the shared state has had it: if it is no longer there, another collector has summed it up."""
        self.elsewhere = RangeSet()
        """What of the quarantined another collector's quarantine holds."""
        self.resent_elsewhere = 0
        """How many of the resent other collectors have dropped."""

    def receive_base(self, base: int) -> int:
        """As an account does."""
        if base > 1:
            self.moves.on_word.update(self.accounted.absent(1, base - 1))
        return super().receive_base(base)

    def evict(self, first: int, last: int, cause: str) -> int:
        """As an account does."""
        self.moves.evicted.update(self.accounted.absent(first, last))
        return super().evict(first, last, cause)

    def settle(self, first: int, last: int, outcome: Outcome) -> int:
        """As an account does."""
        entering: RangeSet = getattr(self.moves, outcome)
        entering.update(self.accounted.absent(first, last))
        entering.update(self.evicted.within(first, last))
        return super().settle(first, last, outcome)

    def release(self, seq: int, outcome: End) -> bool:
        """As an account does; what is not known to be quarantined here is noted too, and the shared state decides."""
        released: RangeSet = getattr(self.moves, outcome)
        released.add(seq)
        return super().release(seq, outcome)

    def quarantined_here(self) -> RangeSet:
        """What this collector's own quarantine should hold."""
        here = self.quarantined.copy()
        for first, last in self.elsewhere:
            here.discard(first, last)
        return here

    def image(self) -> AccountImage:
        """The account as plain data."""
        return replace(
            super().image(), quarantined_elsewhere=self.elsewhere.pairs(), resent_elsewhere=self.resent_elsewhere
        )

    @classmethod
    def from_image(cls, image: AccountImage) -> Self:
        """The account that the shared state holds."""
        account = super().from_image(image)
        account.known = True
        account.elsewhere = RangeSet(image.quarantined_elsewhere)
        account.resent_elsewhere = image.resent_elsewhere
        return account
