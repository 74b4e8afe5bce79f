"""How what several collectors know of an epoch becomes one account.

A seq is in the class that it first entered, save for the moves that an account knows: what is evicted or quarantined
may still be stored or expire, and what is quarantined may fall out. Ranges only grow; a view that is late adds what
nobody knew and changes nothing else; the same moves again change nothing.
"""

from msgspec import Struct
from msgspec.structs import replace

from tinyprof_collector.accounting import Account, AccountImage, Pairs
from tinyprof_collector.noted_account import ENDS, End, Moves
from tinyprof_protocol.ranges import RangeSet


class SharedAccount(Struct, frozen=True, omit_defaults=True):
    """An account as all collectors share it."""

    image: AccountImage
    writer: str = ""
    """Who wrote it last."""
    holders: dict[str, Pairs] = {}
    """What is quarantined, by the collector whose quarantine holds it."""
    resent: dict[str, int] = {}
    """Duplicates that each collector has dropped."""


def merged(before: SharedAccount | None, mine: AccountImage, moves: Moves, me: str) -> SharedAccount:
    """What is shared from now on: what was before, and what `me` saw enter each class since it last wrote."""
    base = before.image if before is not None else AccountImage(mine.node, mine.epoch, mine.ordinal)
    account = Account.from_image(base)
    _say(account, base, mine)
    holders = {name: RangeSet(pairs) for name, pairs in (before.holders if before is not None else {}).items()}
    _enter(account, moves)
    if moves.quarantined:
        _quarantine(account, moves, holders.setdefault(me, RangeSet()))
    for end in ENDS:
        ranges: RangeSet = getattr(moves, end)
        for first, last in ranges or ():
            _end(account, holders, first, last, end, me)
    account.fold_evicted()
    resent = dict(before.resent) if before is not None else {}
    resent[me] = max(resent.get(me, 0), mine.resent - mine.resent_elsewhere)
    account.resent = sum(resent.values())
    held = {name: ranges.pairs() for name, ranges in sorted(holders.items()) if ranges}
    return SharedAccount(account.image(), me, held, {name: n for name, n in sorted(resent.items()) if n})


def seen_by(shared: SharedAccount, me: str) -> AccountImage:
    """A shared account as one collector sees it."""
    if not shared.holders and set(shared.resent) <= {me}:
        return shared.image
    elsewhere = RangeSet(pair for name, pairs in shared.holders.items() if name != me for pair in pairs)
    for first, last in shared.holders.get(me, ()):
        elsewhere.discard(first, last)
    others = sum(count for name, count in shared.resent.items() if name != me)
    return replace(shared.image, quarantined_elsewhere=elsewhere.pairs(), resent_elsewhere=others)


def _say(account: Account, base: AccountImage, mine: AccountImage) -> None:
    """What is said of an epoch as a whole only rises; whether it is forgotten is what was said last."""
    account.hear_of(mine.head)
    account.sent_base = max(account.sent_base, mine.sent_base)
    account.listed_base = max(account.listed_base, mine.listed_base)
    account.listed_by_ns = max(account.listed_by_ns, mine.listed_by_ns)
    account.forgotten = mine.forgotten
    account.recalled = base.recalled or mine.recalled
    account.causes |= set(mine.causes)
    account.why_missing = mine.why_missing or account.why_missing


def _enter(account: Account, moves: Moves) -> None:
    for first, last in moves.on_word or ():
        account.on_word += account.accounted.add(first, last)
    for first, last in moves.evicted or ():
        account.evicted.update(account.accounted.absent(first, last))
        account.accounted.add(first, last)


def _quarantine(account: Account, moves: Moves, here: RangeSet) -> None:
    for first, last in moves.quarantined:
        entering = account.accounted.absent(first, last) + account.evicted.within(first, last)
        account.evicted.discard(first, last)
        account.accounted.add(first, last)
        account.quarantined.update(entering)
        here.update(account.quarantined.within(first, last))


def _end(account: Account, holders: dict[str, RangeSet], first: int, last: int, end: End, me: str) -> None:
    """Puts seqs where nothing leaves. What fell out of one quarantine and is in another's stays quarantined."""
    entering = account.accounted.absent(first, last) + account.evicted.within(first, last)
    account.evicted.discard(first, last)
    account.accounted.add(first, last)
    entered = sum(b - a + 1 for a, b in entering)
    if account.quarantined:
        entered += _leave_quarantine(account, holders, first, last, end, me)
    setattr(account, end, getattr(account, end) + entered)


def _leave_quarantine(account: Account, holders: dict[str, RangeSet], first: int, last: int, end: End, me: str) -> int:
    leaving = RangeSet(account.quarantined.within(first, last))
    for name, held in holders.items():
        if end != "discarded" or name == me:
            held.discard(first, last)
        else:
            for a, b in held:
                leaving.discard(a, b)
    for a, b in leaving:
        account.quarantined.discard(a, b)
    return leaving.count()
