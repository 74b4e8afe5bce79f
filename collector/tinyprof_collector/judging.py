"""From messages to a plan: what is decoded, what is a duplicate, what has to be written and what is poison.

Nothing is changed here. A plan may be thrown away and made again, which is what happens when a store takes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tinyprof_collector.accounting import MAX_RANGES, MAX_RANGES_AT_BASE, Account, Pairs, runs_of
from tinyprof_collector.decoding import Decoded, Unfit, arrivals_of, open_batch
from tinyprof_collector.ledger import Ledger
from tinyprof_collector.news import News
from tinyprof_collector.quarantine import Poison
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.codec import BadMessage
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import Batch, Entry
from tinyprof_protocol.names import is_node
from tinyprof_protocol.ranges import RangeSet

MAX_SPAN = 10**9
"""How far above its base a batch may reach: an epoch at 1,000 records/s takes 11 days for it."""

Key = tuple[str, bytes]


@dataclass(slots=True)
class Work:
    """One batch and what it asks for. Its records to write are `plan.arrivals[first : first + count]`."""

    batch: Batch
    runs: Pairs
    """Seqs of its records and what it says was evicted."""
    first: int
    count: int = 0
    bad: list[int] = field(default_factory=list)
    """Seqs of records that cannot be decoded."""
    resent: int = 0


@dataclass(slots=True)
class Plan:
    """What a list of messages asks for."""

    works: list[Work] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    poisons: list[Poison] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    """Nodes of batches that would exceed the bounds of ranges or epochs."""
    planned: dict[Key, RangeSet] = field(default_factory=dict)
    """Seqs that this plan takes in already."""
    evicting: dict[Key, Pairs] = field(default_factory=dict)
    news: News = field(default_factory=News)
    """What all its arrivals say to whoever follows what is stored."""


Prepare = Callable[[Plan, list[Arrival]], None]
"""Takes what is wanted of the records of one batch, just after they were decoded."""


def _nothing(_plan: Plan, _arrivals: list[Arrival]) -> None:
    """Records stay decoded."""


def plan_for(
    messages: Sequence[Message], ledger: Ledger, prepare: Prepare = _nothing, decoded: Decoded | None = None
) -> Plan:
    """The plan for a list of messages. A message at which the code fails is poison, and never harms the others.

    What was `decoded` ahead of these messages is not decoded again; its news are not in the plan.
    """
    plan = Plan()
    for n, message in enumerate(messages):
        mark = len(plan.arrivals), len(plan.poisons)
        ahead = decoded.batches[n] if decoded is not None else None
        try:
            if ahead is not None:
                add_to_plan(plan, ahead.batch, message.topic, ledger, records=ahead.records)
            else:
                add_to_plan(plan, open_batch(message), message.topic, ledger, prepare)
        except Unfit as why:
            plan.poisons.append(whole(message, str(why)))
        except Exception as why:  # noqa: BLE001  (whatever it is, the other messages must not suffer from it)
            del plan.arrivals[mark[0] :], plan.poisons[mark[1] :]
            plan.poisons.append(whole(message, f"{type(why).__name__}: {why}"))
    return plan


def whole(message: Message, reason: str) -> Poison:
    """A message for the quarantine, under the node of its topic where that names one."""
    levels = message.topic.split("/")
    node = levels[3] if len(levels) > 3 and is_node(levels[3]) else ""
    return Poison(node, message.topic, reason, message.payload)


def add_to_plan(
    plan: Plan,
    batch: Batch,
    topic: str,
    ledger: Ledger,
    prepare: Prepare = _nothing,
    records: Sequence[Arrival | BadMessage] | None = None,
) -> None:
    """Judges a batch and each of its records. Raises Unfit for numbers that no spool would give.

    `records` are those of the batch, where they are decoded and prepared already.
    """
    seqs = [entry.seq for entry in batch.records]
    span = _span(batch, seqs)
    key = (batch.node, batch.epoch)
    account = ledger.find(*key)
    planned = plan.planned.get(key) or RangeSet()
    runs = runs_of(sorted(seqs))
    pairs = runs + [(evicted.first, evicted.last) for evicted in batch.evicted]
    at_base = not pairs or span[0] <= batch.base
    bound = MAX_RANGES_AT_BASE if at_base else MAX_RANGES
    if not ledger.may_open(*key, at_base=at_base) or not _has_room(plan, batch, pairs, ledger, bound):
        plan.deferred.append(batch.node)
        return
    work = Work(batch, pairs, len(plan.arrivals))
    due = _due(batch, seqs, span, account, planned)
    entries = batch.records
    if len(due) < len(seqs):
        work.resent = len(seqs) - len(due)
        entries = [entries[n] for n in due]
        records = [records[n] for n in due] if records is not None else None
    if records is None:
        records = arrivals_of(batch, entries)
    _judge_records(plan, work, entries, records, topic)
    if work.count:
        prepare(plan, plan.arrivals[work.first :])
    planned.update(runs)
    plan.planned[key] = planned
    if batch.evicted:
        plan.evicting.setdefault(key, []).extend((evicted.first, evicted.last) for evicted in batch.evicted)
    plan.works.append(work)


def _due(
    batch: Batch, seqs: list[int], span: tuple[int, int], account: Account | None, planned: RangeSet
) -> Sequence[int]:
    """The places of the records that are owed and that this plan does not take in already, each seq once."""
    fresh = account is None or account.accounted.highest < span[0] or not account.accounted.within(*span)
    fresh = fresh and (planned.highest < span[0] or not planned.within(*span))
    if fresh and span[0] >= batch.base and len(set(seqs)) == len(seqs):
        return range(len(seqs))
    taken: set[int] = set()
    due: list[int] = []
    for n, seq in enumerate(seqs):
        known = seq < batch.base if account is None else not account.is_due(seq)
        evicted_below = account is not None and seq in account.evicted
        if not (known or seq in taken or seq in planned or (seq < batch.base and not evicted_below)):
            taken.add(seq)
            due.append(n)
    return due


def _judge_records(
    plan: Plan, work: Work, entries: list[Entry], records: Sequence[Arrival | BadMessage], topic: str
) -> None:
    node, epoch = work.batch.node, work.batch.epoch
    for entry, record in zip(entries, records, strict=True):
        if isinstance(record, BadMessage):
            plan.poisons.append(Poison(node, topic, str(record), entry.data, epoch, entry.seq))
            work.bad.append(entry.seq)
        else:
            plan.arrivals.append(record)
    work.count = len(plan.arrivals) - work.first


def _span(batch: Batch, seqs: list[int]) -> tuple[int, int]:
    lowest, highest = min(seqs, default=batch.base), max(seqs, default=max(batch.base - 1, 1))
    if batch.evicted:
        for evicted in batch.evicted:
            if evicted.last < evicted.first:
                raise Unfit(f"evicted range {evicted.first} to {evicted.last} is turned round")
        lowest = min((*seqs, *(evicted.first for evicted in batch.evicted)))
        highest = max((*seqs, *(evicted.last for evicted in batch.evicted)))
    if highest - batch.base > MAX_SPAN:
        raise Unfit(f"seq {highest} lies over {MAX_SPAN} above the base {batch.base}")
    return lowest, highest


def _has_room(plan: Plan, batch: Batch, pairs: Pairs, ledger: Ledger, bound: int) -> bool:
    key = (batch.node, batch.epoch)
    account = ledger.find(*key)
    if account is None:
        return True
    planned, evicting = plan.planned.get(key), plan.evicting.get(key, [])
    coming = (len(planned) if planned is not None else 0) + len(evicting) + len(pairs)
    if len(account.accounted) + coming < bound:
        return True
    return account.has_room_for([*(planned or ()), *evicting, *pairs], batch.base, bound)
