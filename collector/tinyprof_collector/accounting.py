"""Which seqs of an epoch are accounted, and in which class each of them is.

Every seq that this module has taken in is in exactly one class. `accounted` is the set that drops duplicates and that
acknowledgements are cut from. Beside it each class is counted on its own, at the moment a seq enters it:

- `stored`, `expired`, `discarded` and `on_word` are ends: nothing leaves them, so that a count is enough;
- `evicted` and `quarantined` can be left (a record reported evicted still arrives; a quarantined one is replayed or
  falls out), so that they are sets.

The moves are: nothing to any class; evicted to stored, quarantined or expired; quarantined to stored, expired or
discarded. A seq that is accounted already and makes none of these moves changes nothing: every operation may be
repeated. That `accounted` holds as many seqs as the classes together is checked, never assumed (`adds_up`).
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal, Self

from msgspec import Struct

from tinyprof_protocol.bounds import MAX_SEQ
from tinyprof_protocol.delivery import MAX_SACK_RANGES, Sack
from tinyprof_protocol.ranges import RangeSet

MAX_RANGES = 1024
"""Ranges of accounted seqs that an epoch may have; a batch that would exceed it waits, unless it begins at its base."""
MAX_RANGES_AT_BASE = 4 * MAX_RANGES
"""Where that exception ends: what honest agents send from their base on closes gaps, so that they never come near."""

Outcome = Literal["stored", "quarantined", "expired"]
"""What becomes of a record that was judged."""

Pairs = list[tuple[int, int]]


class AccountImage(Struct, frozen=True, omit_defaults=True):
    """An `Account` as plain data: what is kept over a restart."""

    node: str
    epoch: bytes
    ordinal: int
    head: int = 0
    sent_base: int = 1
    listed_base: int = 1
    forgotten: bool = False
    recalled: bool = False
    accounted: Pairs = []
    quarantined: Pairs = []
    evicted: Pairs = []
    evicted_folded: int = 0
    stored: int = 0
    expired: int = 0
    discarded: int = 0
    on_word: int = 0
    resent: int = 0
    causes: list[str] = []
    listed_by_ns: int = 0
    why_missing: str = ""
    quarantined_elsewhere: Pairs = []
    """What of the quarantined another collector's quarantine holds."""
    resent_elsewhere: int = 0
    """How many of the resent other collectors have dropped."""


class Account:
    """The account of one epoch of one node. Seqs are from 1 up; nothing here does I/O or knows the time."""

    def __init__(self, node: str, epoch: bytes, ordinal: int) -> None:
        self.node = node
        self.epoch = epoch
        self.ordinal = ordinal
        """Order in which epochs of a node were first heard of."""
        self.head = 0
        """The highest seq ever heard of, in a batch or in a status."""
        self.sent_base = 1
        """The highest base that a batch carried; all below it is accounted."""
        self.listed_base = 1
        """The highest base that a status gave. It decides nothing about duplicates, only what the ledger shows."""
        self.forgotten = False
        self.unlisted = 0
        """Complete lists of the agent that left it out since it was last heard of."""
        self.recalled = False
        """The stores were asked what they hold of it, as far as it is settled: where an account is new here, or is told
        of more than it knows, the state may have been lost."""
        self.has_lost = False
        """The stores held what it did not know of: the state was lost. Not kept over a restart."""
        self.accounted = RangeSet()
        self.quarantined = RangeSet()
        self.evicted = RangeSet()
        self.evicted_folded = 0
        """Evicted seqs whose ranges were too many to keep: a late copy of one is dropped as resent."""
        self.stored = 0
        self.expired = 0
        self.discarded = 0
        self.on_word = 0
        self.resent = 0
        self.causes: set[str] = set()
        self.listed_by_ns = 0
        """When the agent that last listed it had started, by its own clock; 0 where it was never listed."""
        self.why_missing = ""
        """Once it is forgotten: why what had not come by then never will."""

    # ---- what a batch says

    def receive_base(self, base: int) -> int:
        """Accounts 1 to base - 1; returns how many are taken on the agent's word, nobody having them."""
        self.sent_base = max(self.sent_base, base)
        self.hear_of(base - 1)
        new = self.accounted.add(1, base - 1) if base > 1 else 0
        self.on_word += new
        return new

    def evict(self, first: int, last: int, cause: str) -> int:
        """Takes seqs as evicted, save those in a class already; returns how many were new."""
        self.hear_of(last)
        gaps = self.accounted.absent(first, last)
        for a, b in gaps:
            self.accounted.add(a, b)
            self.evicted.add(a, b)
        if gaps:
            self.causes.add(cause)
        self.fold_evicted()
        return sum(b - a + 1 for a, b in gaps)

    def is_due(self, seq: int) -> bool:
        """Whether a record of this seq is to be judged: it is in no class, or only reported evicted."""
        return seq not in self.accounted or (bool(self.evicted) and seq in self.evicted)

    def settle(self, first: int, last: int, outcome: Outcome) -> int:
        """Puts the seqs that are due into a class; returns how many entered it. The others stay where they are."""
        self.hear_of(last)
        entering = self.accounted.absent(first, last)
        if self.evicted:
            entering += self.evicted.within(first, last)
            self.evicted.discard(first, last)
        entered = sum(b - a + 1 for a, b in entering)
        self.accounted.add(first, last)
        if outcome == "stored":
            self.stored += entered
        elif outcome == "expired":
            self.expired += entered
        else:
            self.quarantined.update(entering)
        return entered

    # ---- what the quarantine says

    def release(self, seq: int, outcome: Literal["stored", "expired", "discarded"]) -> bool:
        """Moves a quarantined seq on; False if it was not in that class."""
        if not self.quarantined.discard(seq):
            return False
        setattr(self, outcome, getattr(self, outcome) + 1)
        return True

    def quarantined_here(self) -> RangeSet:
        """What this collector's own quarantine should hold."""
        return self.quarantined

    # ---- what a status says

    def hear_of(self, seq: int) -> None:
        """Raises the highest seq ever heard of."""
        self.head = max(self.head, seq)

    def list_owed(self, base: int, head: int, started_ns: int = 0) -> None:
        """A status of an agent started at `started_ns` lists the epoch: owed from `base` on, made up to `head`."""
        self.listed_by_ns = started_ns
        self.listed_base = max(self.listed_base, base)
        self.hear_of(max(head, base - 1))
        self.forgotten = False

    # ---- what is known

    def highest_base(self) -> int:
        """The highest base that a batch or a status gave: below it the agent owes nothing."""
        return max(self.sent_base, self.listed_base)

    def unsure_below(self, base: int) -> Pairs:
        """What may be stored and does not count as that: what is below a base and in no class, and the evicted."""
        return self.accounted.absent(1, base - 1) + self.evicted.pairs()

    def classes(self) -> dict[str, int]:
        """How many seqs are in each class that is counted here."""
        return {
            "stored": self.stored,
            "quarantined": self.quarantined.count(),
            "expired": self.expired,
            "discarded": self.discarded,
            "evicted": self.evicted.count() + self.evicted_folded,
            "stored_on_word": self.on_word,
        }

    def adds_up(self) -> bool:
        """Whether the classes, each counted on its own, together hold as many seqs as are accounted."""
        return sum(self.classes().values()) == self.accounted.count()

    def has_room_for(self, pairs: Iterable[tuple[int, int]], base: int, bound: int = MAX_RANGES) -> bool:
        """Whether taking these ranges, and 1 to base - 1, keeps the epoch within a bound of ranges."""
        pairs = list(pairs)
        if len(self.accounted) + len(pairs) + 1 <= bound:
            return True
        trial = self.accounted.copy()
        if base > 1:
            trial.add(1, base - 1)
        trial.update(pairs)
        return len(trial) <= bound

    def fold_evicted(self) -> None:
        """Keeps only a count of the oldest evicted seqs where their ranges are too many."""
        if len(self.evicted) > MAX_RANGES:
            for first, last in self.evicted.pairs()[: len(self.evicted) - MAX_RANGES]:
                self.evicted_folded += self.evicted.discard(first, last)

    # ---- as plain data

    def image(self) -> AccountImage:
        """The account as plain data."""
        return AccountImage(
            self.node,
            self.epoch,
            self.ordinal,
            self.head,
            self.sent_base,
            self.listed_base,
            self.forgotten,
            self.recalled,
            self.accounted.pairs(),
            self.quarantined.pairs(),
            self.evicted.pairs(),
            self.evicted_folded,
            self.stored,
            self.expired,
            self.discarded,
            self.on_word,
            self.resent,
            sorted(self.causes),
            self.listed_by_ns,
            self.why_missing,
        )

    @classmethod
    def from_image(cls, image: AccountImage) -> Self:
        """The account that an image was taken of."""
        account = cls(image.node, image.epoch, image.ordinal)
        account.head = image.head
        account.sent_base = image.sent_base
        account.listed_base = image.listed_base
        account.forgotten = image.forgotten
        # What was reported evicted may have been stored just before a kill that kept the state from knowing.
        account.recalled = image.recalled and not image.evicted
        account.accounted = RangeSet(image.accounted)
        account.quarantined = RangeSet(image.quarantined)
        account.evicted = RangeSet(image.evicted)
        account.evicted_folded = image.evicted_folded
        account.stored = image.stored
        account.expired = image.expired
        account.discarded = image.discarded
        account.on_word = image.on_word
        account.resent = image.resent
        account.causes = set(image.causes)
        account.listed_by_ns = image.listed_by_ns
        account.why_missing = image.why_missing
        return account


def sacks_for(account: Account, answered: Iterable[tuple[int, int]]) -> list[Sack]:
    """Acknowledgements that answer batches, given the runs of seqs (records and evicted) that were in them.

    The accounted ranges that hold those runs come first, then the highest others, at most 64 in one acknowledgement.
    One is enough unless the batches themselves lie in more ranges than that.
    """
    cum = account.accounted.cum
    if cum and len(account.accounted) == 1:
        return [Sack(account.node, account.epoch, cum, [])]
    pairs = account.accounted.pairs()
    own: dict[tuple[int, int], None] = {}
    for first, last in answered:
        if last > cum:
            at = bisect_right(pairs, (first, MAX_SEQ)) - 1
            if at >= 0 and pairs[at][1] >= last:
                own[pairs[at]] = None
    ranges = list(own)
    if len(ranges) < MAX_SACK_RANGES:
        others = (pair for pair in reversed(pairs) if pair[0] > cum and pair not in own)
        ranges.extend(islice(others, MAX_SACK_RANGES - len(ranges)))
    chunks = [ranges[i : i + MAX_SACK_RANGES] for i in range(0, len(ranges), MAX_SACK_RANGES)] or [[]]
    return [Sack(account.node, account.epoch, cum, sorted(chunk)) for chunk in chunks]


def runs_of(seqs: Sequence[int]) -> Pairs:
    """Sorted numbers as inclusive runs."""
    if seqs and seqs == list(range(seqs[0], seqs[0] + len(seqs))):
        return [(seqs[0], seqs[-1])]
    runs: Pairs = []
    first = last = 0
    for seq in seqs:
        if seq == last + 1 and first:
            last = seq
            continue
        if first:
            runs.append((first, last))
        first = last = seq
    if first:
        runs.append((first, last))
    return runs
