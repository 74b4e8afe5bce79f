"""The judgement over plain data: what agents owe, what each store holds, and what the ledger says."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conservation import Owed

from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerRow

Number = tuple[str, int]
"""Epoch and seq."""


@dataclass(frozen=True)
class Held:
    """What one store holds: where each text is, how many records of each epoch, and what is there twice."""

    places: Mapping[str, Number]
    by_epoch: Counter[str]
    twice: Sequence[str]


@dataclass(frozen=True)
class Allowed:
    """What may have happened in a round. `only_spooled`: what only a spool held that was taken away."""

    evicted: bool = False
    expired: bool = False
    only_spooled: frozenset[Number] = frozenset()


def held(records: Iterable[tuple[str, int, str]]) -> Held:
    """Sums up a store's records: epoch, seq, and the text of what was produced (empty for other records)."""
    places: dict[str, Number] = {}
    by_epoch: Counter[str] = Counter()
    twice = []
    for epoch, seq, text in records:
        by_epoch[epoch] += 1
        if text and text in places:
            twice.append(text)
        if text:
            places[text] = (epoch, seq)
    return Held(places, by_epoch, twice)


def lost_of(owed: Sequence[Owed], stores: Mapping[str, Held], allowed: Allowed) -> list[Owed]:
    """What is not in every store; where one had no room in its retention, what is in none."""
    enough = any if allowed.expired else all
    return [one for one in owed if not enough(one.text in store.places for store in stores.values())]


def complaints(
    owed: Sequence[Owed], stores: Mapping[str, Held], rows: Sequence[LedgerRow], allowed: Allowed
) -> list[str]:
    """What is wrong, a line each; empty if every obligation is stored once or rightly counted elsewhere."""
    excused = Counter(epoch for epoch, _ in allowed.only_spooled)
    by_epoch = {row.epoch.hex(): row for row in rows}
    found = [line for name, store in stores.items() for line in _wrong_in(name, store, owed)]
    lost = [one for one in lost_of(owed, stores, allowed) if (one.epoch, one.seq) not in allowed.only_spooled]
    for epoch, count in Counter(one.epoch for one in lost).items():
        row = by_epoch.get(epoch)
        declared = row.evicted + row.expired if row else 0
        if count > declared:
            found.append(f"{epoch[:8]}: {count} are not stored, {declared} were declared evicted or expired")
    for epoch, row in by_epoch.items():
        found += [f"{epoch[:8]}: {line} ({row})" for line in _wrong_row(row, excused[epoch], allowed)]
        for name, store in stores.items():
            most = row.stored + row.evicted + row.expired + row.missing + excused[epoch]
            least = 0 if allowed.expired and len(stores) > 1 else row.stored
            if not least <= store.by_epoch[epoch] <= most:
                found.append(f"{epoch[:8]}: {row.stored} counted as stored, {name} has {store.by_epoch[epoch]}")
    heads = {epoch: row.head for epoch, row in by_epoch.items()}
    unheard = [one for one in owed if one.seq > heads.get(one.epoch, 0)]
    found += [f"never heard of: {one}" for one in unheard if (one.epoch, one.seq) not in allowed.only_spooled]
    return found


def _wrong_in(name: str, store: Held, owed: Sequence[Owed]) -> list[str]:
    wrong = [f"{name} has {text} twice" for text in store.twice]
    for one in owed:
        place = store.places.get(one.text)
        if place not in (None, (one.epoch, one.seq)):
            wrong.append(f"{name} has {one} as {place}")
    return wrong


def _wrong_row(row: LedgerRow, excused: int, allowed: Allowed) -> list[str]:
    wrong = []
    if sum(getattr(row, name) for name in LEDGER_CLASSES) != row.head:
        wrong.append("the classes do not add up")
    if row.in_spool or row.discarded or row.stored_on_word:
        wrong.append("in a spool, discarded, or stored on the agent's word")
    if row.evicted and not allowed.evicted:
        wrong.append("evicted though the spool had room")
    if row.expired and not allowed.expired:
        wrong.append("expired though the retention is long")
    if row.missing > excused:
        wrong.append(f"missing, and only {excused} were in a spool that was taken away")
    return wrong
