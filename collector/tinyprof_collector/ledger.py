"""The ledger: the accounts of all epochs of all nodes, what statuses say of them, and the rows that must add up.

Everything here is pure: images come in when the collector starts, changes go out to be kept, in one step with the
list of messages that made them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from tinyprof_collector.accounting import Account
from tinyprof_collector.ledger_image import Changes, Key, LedgerImage, NodeTotals, Told
from tinyprof_collector.ledger_sums import LedgerSums, Sums
from tinyprof_collector.missing_cause import NO_LONGER_LISTED, cause_of
from tinyprof_collector.noted_account import Moves, NotedAccount
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import MAX_EPOCHS_LISTED, AgentStatus
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerReply, LedgerRow

MAX_EPOCHS = 64
"""Epochs that a node may have open. A batch that begins at its base may open more, up to twice as many."""
MAX_FORGOTTEN = 64
"""Forgotten epochs kept one by one; older ones are summed up in one row for the node."""
MAX_ROWS = 8000
"""Rows of one reply; with more, each node gets one row."""
MAX_PROBLEMS = 16
SUMMED = bytes(16)
"""Stands for the epoch in a row that sums up several."""


@dataclass(frozen=True, slots=True)
class StoreCount:
    """What a store says of an epoch (or a node): records that it holds, and those that its retention has deleted."""

    held: int
    deleted: int = 0
    counts_deleted: bool = True
    """False where retention deletes without a count: then the store may hold less than was stored."""


class Ledger:
    """All accounts of this collector."""

    def __init__(self, image: LedgerImage | None = None, *, shared: bool = False) -> None:
        """`shared`: other collectors keep accounts in the same state, so that each of ours notes what it has seen."""
        self._kind: type[Account] = NotedAccount if shared else Account
        self._shared = shared
        self.restore(image or LedgerImage([], []))

    def restore(self, image: LedgerImage) -> None:
        """Begins anew with what was kept."""
        self._nodes: dict[str, dict[bytes, Account]] = {}
        self._totals: dict[str, NodeTotals] = {}
        self._dirty: dict[Key, Account] = {}
        self._dirty_totals: set[str] = set()
        self._gone: dict[Key, Account] = {}
        self._ordinal = 0
        self._found: dict[str, set[bytes]] = {}
        """Epochs of which the quarantine alone knew, by node, until a status came: nobody knows when they began."""
        self._unrecalled: dict[Key, Account] = {}
        for kept in image.accounts:
            account = self._nodes.setdefault(kept.node, {})[kept.epoch] = self._kind.from_image(kept)
            if not account.recalled:
                self._unrecalled[kept.node, kept.epoch] = account
            self._ordinal = max(self._ordinal, kept.ordinal)
        for totals in image.totals:
            self._totals[totals.node] = totals
        self._sums = LedgerSums()
        self._unsummed = {*self._nodes, *self._totals}

    def find(self, node: str, epoch: bytes) -> Account | None:
        """The account of an epoch, None if nothing was heard of it or it was summed up long ago."""
        return self._nodes.get(node, {}).get(epoch)

    def may_open(self, node: str, epoch: bytes, *, at_base: bool) -> bool:
        """Whether a batch of this epoch may be taken in without exceeding the bound of epochs."""
        accounts = self._nodes.get(node, {})
        if epoch in accounts or len(accounts) < MAX_EPOCHS:
            return True
        still_open = [account for account in accounts.values() if not account.forgotten]
        waiting = sum(1 for account in still_open if account.accounted.cum < account.head)
        return waiting < MAX_EPOCHS * (2 if at_base else 1)

    def open(self, node: str, epoch: bytes) -> Account:
        """The account of an epoch, made if need be. What is taken into it is kept by the next changes."""
        accounts = self._nodes.setdefault(node, {})
        account = accounts.get(epoch)
        if account is None:
            self._ordinal += 1
            account = accounts[epoch] = self._kind(node, epoch, self._ordinal)
            self._ask_of(account)
            self._close_complete(node)
        account.forgotten = False
        account.unlisted = 0
        self._dirty[node, epoch] = account
        return account

    def unrecalled(self) -> list[Account]:
        """Accounts of which the stores are still to be asked what they hold."""
        return list(self._unrecalled.values())

    def _ask_of(self, account: Account) -> None:
        account.recalled = False
        self._unrecalled[account.node, account.epoch] = account

    def recall(self, account: Account, runs: Iterable[tuple[int, int]]) -> int:
        """Takes what the stores hold of an account as stored; returns how many seqs that changed."""
        entered = sum(account.settle(first, last, "stored") for first, last in runs)
        account.recalled = True
        account.has_lost = account.has_lost or entered > 0
        self._unrecalled.pop((account.node, account.epoch), None)
        self._dirty[account.node, account.epoch] = account
        return entered

    def note_status(self, status: AgentStatus) -> None:
        """Takes in what an agent lists as owed; forgets epochs that a complete list leaves out.

        One that is newer here than all that are listed may only just have begun: it is forgotten at the second list
        without it. (A late batch of an epoch that was lost with its spool makes it newer here than the current one.)
        A last will lists nothing and says nothing. A list of 64 may be cut, so that it forgets nothing.
        """
        if status.epochs is None:
            return
        newest = 0
        complete = len(status.epochs) < MAX_EPOCHS_LISTED
        for owed in status.epochs:
            # A complete list makes room for itself: what it leaves out is forgotten below. Else a node whose epochs
            # all wait for what never comes (its spool was lost, another used its name) could never begin one again.
            if not complete and not self.may_open(status.node, owed.epoch, at_base=True):
                continue
            account = self.open(status.node, owed.epoch)
            before = account.listed_base
            account.list_owed(owed.base, owed.head, status.started_ns)
            if account.listed_base > max(before, account.accounted.cum + 1):
                self._ask_of(account)
            newest = max(newest, account.ordinal)
        if not complete:
            return
        listed = {owed.epoch for owed in status.epochs}
        self._may_have_just_begun(status.node, self._found.pop(status.node, set()) - listed)
        for epoch, account in self._nodes.get(status.node, {}).items():
            if epoch in listed or account.forgotten or not newest:
                continue
            if account.ordinal < newest or account.unlisted:
                account.why_missing = cause_of(status, account.listed_by_ns)
                self._forget(account)
                if account.has_lost or not account.listed_by_ns:
                    self._ask_of(account)
            account.unlisted += 1
        self._sum_up(status.node)

    def _may_have_just_begun(self, node: str, epochs: Collection[bytes]) -> None:
        """These are newer here than all that were ever listed."""
        for epoch in epochs:
            account = self.find(node, epoch)
            if account is not None:
                self._ordinal += 1
                account.ordinal = self._ordinal
                self._dirty[node, epoch] = account

    def reconcile(self, kept: Iterable[tuple[str, bytes, int]]) -> None:
        """Brings the accounts in line with what the quarantine really holds, after a start.

        What it holds and nobody has accounted (the state was lost, or was not kept any more before a crash) is
        quarantined; what the accounts think is quarantined and it has not, fell out.
        """
        held: dict[tuple[str, bytes], RangeSet] = {}
        for node, epoch, seq in kept:
            held.setdefault((node, epoch), RangeSet()).add(seq)
            account = self.find(node, epoch)
            if account is None:
                self._found.setdefault(node, set()).add(epoch)
            if account is None or account.is_due(seq):
                self.open(node, epoch).settle(seq, seq, "quarantined")
        for accounts in self._nodes.values():
            for account in accounts.values():
                there = held.get((account.node, account.epoch), RangeSet())
                for first, last in account.quarantined_here().pairs():
                    for a, b in there.absent(first, last):
                        for seq in range(a, b + 1):
                            self.release(account.node, account.epoch, seq, "discarded")

    def release(self, node: str, epoch: bytes, seq: int, outcome: str) -> bool:
        """Moves a quarantined seq to stored, expired or discarded; False if it is not quarantined."""
        account = self.find(node, epoch)
        if account is None and self._shared:  # the account of a partition that another collector serves now
            account = self.open(node, epoch)
        if account is None or outcome not in ("stored", "expired", "discarded"):
            return False
        self._dirty[node, epoch] = account
        return account.release(seq, outcome)  # type: ignore[arg-type]

    # ---- what is to be kept

    def changes(self) -> Changes:
        """What changed since `kept` was last called."""
        return Changes(
            [account.image() for account in self._dirty.values()],
            [self._totals[node] for node in self._dirty_totals],
            sorted(self._gone),
            **self._noted(),
        )

    def _noted(self) -> dict[str, Any]:
        noted = {key: one for key, one in (self._dirty | self._gone).items() if isinstance(one, NotedAccount)}
        return {
            "moves": {key: account.moves for key, account in noted.items()},
            "summed": [self._gone[key].image() for key in sorted(self._gone) if key in noted],
            "known": frozenset(key for key, account in noted.items() if account.known),
        }

    def kept(self) -> None:
        """The changes are safe."""
        self._unsummed |= self._changed_nodes()
        for account in self._dirty.values():
            if isinstance(account, NotedAccount):
                account.moves, account.known = Moves(), True
        self._dirty.clear()
        self._dirty_totals.clear()
        self._gone.clear()

    # ---- what other collectors have kept

    def adopt(self, told: Told) -> None:
        """Takes what the shared state knows better; nothing that is not kept yet may be among it."""
        for image in told.accounts:
            accounts = self._nodes.setdefault(image.node, {})
            before = accounts.get(image.epoch)
            account = accounts[image.epoch] = self._kind.from_image(image)
            account.recalled = image.recalled
            account.unlisted = before.unlisted if before is not None else 0
            self._unrecalled.pop((image.node, image.epoch), None)
            if not account.recalled:
                self._unrecalled[image.node, image.epoch] = account
            self._ordinal = max(self._ordinal, image.ordinal)
            self._unsummed.add(image.node)
        for node, epoch in told.gone:
            self._nodes.get(node, {}).pop(epoch, None)
            self._unrecalled.pop((node, epoch), None)
            self._unsummed.add(node)
        for totals in told.totals:
            self._totals[totals.node] = totals
            self._unsummed.add(totals.node)

    def keep_only(self, partitions: Collection[int]) -> None:
        """Lets go of every node outside of these partitions; all of it must have been kept."""
        for node in self.nodes():
            if partition_of(node) not in partitions:
                for epoch in self._nodes.pop(node, {}):
                    self._unrecalled.pop((node, epoch), None)
                self._totals.pop(node, None)
                self._unsummed.add(node)

    # ---- what a reader sees

    def rows(self, node: str | None = None) -> list[LedgerRow]:
        """One row an epoch, by node, in the order in which the epochs were first heard of."""
        rows = []
        for name in sorted({*self._nodes, *self._totals}) if node is None else [node]:
            if name in self._totals:
                rows.append(_totals_row(self._totals[name]))
            accounts = self._nodes.get(name, {}).values()
            rows.extend(row_of(account) for account in sorted(accounts, key=lambda account: account.ordinal))
        return rows

    def totals(self) -> dict[str, int]:
        """The sum of every class, and of duplicates, over all epochs."""
        return dict(self.sums().totals)

    def sums(self) -> Sums:
        """The ledger in short; costs what changed since it was last asked for."""
        changed = self._changed_nodes()
        for node in self._unsummed | changed:
            self._sums.replace(node, self.rows(node))
        # What is not kept yet may change further, and is looked at again the next time.
        self._unsummed = changed
        return self._sums.now()

    def _changed_nodes(self) -> set[str]:
        return {node for node, _ in (*self._dirty, *self._gone)} | self._dirty_totals

    def nodes(self) -> list[str]:
        """Every node that was heard of."""
        return sorted({*self._nodes, *self._totals})

    # ---- forgetting

    def _forget(self, account: Account) -> None:
        account.forgotten = True
        self._dirty[account.node, account.epoch] = account

    def _close_complete(self, node: str) -> None:
        """Where too many epochs are open, forgets the oldest that owe nothing: their counts and ranges stay."""
        accounts = [account for account in self._nodes[node].values() if not account.forgotten]
        excess = len(accounts) - MAX_EPOCHS
        for account in sorted(accounts, key=lambda account: account.ordinal)[:-1]:
            if excess > 0 and account.accounted.cum >= account.head:
                self._forget(account)
                excess -= 1
        if excess <= 0:
            self._sum_up(node)

    def _sum_up(self, node: str) -> None:
        accounts = self._nodes.get(node, {})
        forgotten = [account for account in accounts.values() if account.forgotten and not account.quarantined]
        forgotten.sort(key=lambda account: account.ordinal)
        for account in forgotten[: max(0, len(forgotten) - MAX_FORGOTTEN)]:
            row = row_of(account)
            totals = self._totals.get(node, NodeTotals(node))
            self._totals[node] = totals.and_row(row)
            self._dirty_totals.add(node)
            self._dirty.pop((node, account.epoch), None)
            self._unrecalled.pop((node, account.epoch), None)
            self._gone[node, account.epoch] = account
            del accounts[account.epoch]


def row_of(account: Account) -> LedgerRow:
    """Where every seq 1 to head of an epoch is.

    The classes of the account are counted where they happen. Of the seqs in none of them, those below the base that a
    status gave are taken on the agent's word (it was told so before this collector lost its state), and those from
    there on are in the agent's spool for as long as the agent lists the epoch. What then remains is missing.
    """
    below = above = 0
    for first, last in account.accounted.absent(1, account.head):
        cut = min(last, account.listed_base - 1)
        below += max(0, cut - first + 1)
        above += last - max(first, cut + 1) + 1 if last > cut else 0
    counts = account.classes()
    counts["stored_on_word"] += below
    missing = above if account.forgotten else 0
    evicted = f"evicted: {', '.join(sorted(account.causes))}" if counts["evicted"] else ""
    lost = (account.why_missing or NO_LONGER_LISTED) if missing else ""
    return LedgerRow(
        node=account.node,
        epoch=account.epoch,
        head=account.head,
        base=account.highest_base(),
        in_spool=above - missing,
        missing=missing,
        cause="; ".join(why for why in (lost, evicted) if why),
        resent=account.resent,
        forgotten=account.forgotten,
        **counts,
    )


def sum_of_classes(row: LedgerRow) -> int:
    """How many seqs the row's classes hold together; it should be `head`."""
    return sum(getattr(row, name) for name in LEDGER_CLASSES)


def reply_of(
    rows: list[LedgerRow], counts: dict[tuple[str, bytes], dict[str, StoreCount]] | None = None
) -> LedgerReply:
    """The ledger as it is told: whether each row adds up, none is missing and (with `counts`) every store agrees.

    `counts` has what each store, by name, counts for a row's node and epoch.
    """
    problems: list[str] = []
    told = []
    for row in rows:
        if sum_of_classes(row) != row.head:
            problems.append(f"{_name(row)}: classes hold {sum_of_classes(row)} of {row.head}")
        if row.missing:
            problems.append(f"{_name(row)}: {row.missing} missing: {row.cause}")
        if counts is not None:
            row = _verified(row, counts.get((row.node, row.epoch), {}), problems)
        told.append(row)
    if len(told) > MAX_ROWS:
        told = _one_row_a_node(told)
    return LedgerReply(told, not problems, [line[:300] for line in problems[:MAX_PROBLEMS]])


def _verified(row: LedgerRow, counts: dict[str, StoreCount], problems: list[str]) -> LedgerRow:
    """A store must hold what is counted as stored. It may also hold what the ledger takes on the agent's word, and
    what was written but not accounted before a crash, which the agent still owes and sends again. It may have deleted,
    as too old, what came again after that and is counted as expired. What was written before a crash, or by one of
    several stores, and was not accounted may since have been evicted or lost by the agent. Where there are several
    stores, one may hold what another refused or had no room in its retention for. With nothing of all that, the two
    counts must be equal.
    """
    beyond = row.quarantined + row.discarded + row.expired if len(counts) > 1 else 0
    lowest: int | None = None
    for store, count in counts.items():
        ever = count.held + count.deleted
        least = row.stored if count.counts_deleted else 0
        unaccounted = row.in_spool + row.evicted + row.missing
        most = row.stored + row.stored_on_word + unaccounted + max(beyond, min(count.deleted, row.expired))
        if not least <= ever <= most:
            problems.append(f"{_name(row)}: {row.stored} counted as stored, the store {store} counts {ever}")
        lowest = ever if lowest is None else min(lowest, ever)
    return structs.replace(row, verified=lowest)


def _one_row_a_node(rows: list[LedgerRow]) -> list[LedgerRow]:
    sums: dict[str, LedgerRow] = {}
    for row in rows:
        before = sums.get(row.node)
        if before is None:
            sums[row.node] = structs.replace(row, epoch=SUMMED, base=1)
            continue
        names = (*LEDGER_CLASSES, "head", "resent")
        added = {name: min(MAX_COUNT, getattr(before, name) + getattr(row, name)) for name in names}
        verified = None if row.verified is None else row.verified + (before.verified or 0)
        sums[row.node] = structs.replace(before, cause=before.cause or row.cause, verified=verified, **added)
    return list(sums.values())


def _totals_row(totals: NodeTotals) -> LedgerRow:
    counts = {name: getattr(totals, name) for name in NodeTotals.__struct_fields__ if name != "node"}
    cause = NO_LONGER_LISTED if totals.missing else ""
    return LedgerRow(node=totals.node, epoch=SUMMED, forgotten=True, cause=cause, **counts)


def _name(row: LedgerRow) -> str:
    return f"{row.node} {'older epochs' if row.epoch == SUMMED else row.epoch.hex()[:8]}"
