"""What a list of messages says, decoded and prepared for the stores: nothing here depends on what came before.

So it may be done ahead, in another thread, while the list before is being written. What is a duplicate is judged later,
against the accounts as they are then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from tinyprof_collector.known_builds import KnownBuilds
from tinyprof_collector.news import Known, News
from tinyprof_collector.stores.store import Arrival, Store
from tinyprof_protocol.codec import BadMessage, decode, unpack_each
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import Batch, Entry
from tinyprof_protocol.records import Record
from tinyprof_protocol.topics import BadTopic, Topic, parse


class Unfit(Exception):
    """A message that cannot be taken as a whole; the text says why."""


@dataclass(slots=True)
class DecodedBatch:
    """A batch with its records in their order; one that does not decode is the reason why."""

    batch: Batch
    records: list[Arrival | BadMessage]


@dataclass(slots=True)
class Decoded:
    """A list of messages and what they say."""

    messages: list[Message]
    batches: list[DecodedBatch | None]
    """One for each message; None for one that is unfit, which is said when it is judged."""
    news: News
    """What all records say together, as if none of them was a duplicate."""


class Preparing:
    """Takes what stores and followers want of records just after they were decoded. For one thread."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = list(stores)
        self.known = Known()

    def prepare(self, news: News, arrivals: list[Arrival]) -> None:
        """Takes it of the records of one batch, and lets go of the decoded ones where nobody needs them."""
        done = [store.prepare(arrivals) for store in self._stores]
        news.add(arrivals, self.known)
        if all(done):
            for arrival in arrivals:
                arrival.kept = None


class Decoder:
    """Decodes and prepares whole lists. For one thread, which need not be the pipeline's."""

    def __init__(self, stores: Sequence[Store]) -> None:
        self._preparing = Preparing(stores)
        self._builds = KnownBuilds()

    def decode(self, messages: list[Message]) -> Decoded:
        """What the messages say; the memory it takes is let go of batch by batch."""
        decoded = Decoded(messages, [], News())
        for message in messages:
            try:
                batch = open_batch(message)
            except Unfit:
                decoded.batches.append(None)
                continue
            records = arrivals_of(batch, batch.records, self._builds)
            good = [record for record in records if not isinstance(record, BadMessage)]
            if good:
                self._preparing.prepare(decoded.news, good)
            decoded.batches.append(DecodedBatch(batch, records))
        return decoded


def open_batch(message: Message) -> Batch:
    """The batch in a message, checked against its topic. Raises Unfit."""
    try:
        topic = _parsed(message.topic)
        if topic.kind != "records":
            raise Unfit(f"{message.topic!r} is no topic for records")
        batch = decode(message.payload, Batch)
    except (BadTopic, BadMessage) as why:
        raise Unfit(str(why)) from None
    if batch.node != topic.node:
        raise Unfit(f"a batch of {batch.node} under the topic of {topic.node}")
    return batch


def arrivals_of(
    batch: Batch, entries: Sequence[Entry], builds: KnownBuilds | None = None
) -> list[Arrival | BadMessage]:
    """Records of a batch, decoded; one that cannot be is the reason why. `builds` are those that were seen before."""
    node, epoch = batch.node, batch.epoch
    datas = [entry.data for entry in entries]
    records = unpack_each(datas, Record) if builds is None else builds.unpack_each(datas)
    return [
        record if isinstance(record, BadMessage) else Arrival(node, epoch, entry.seq, entry.data, record)
        for entry, record in zip(entries, records, strict=True)
    ]


@lru_cache(maxsize=20_000)
def _parsed(topic: str) -> Topic:
    return parse(topic)
