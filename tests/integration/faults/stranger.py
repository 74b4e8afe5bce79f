"""A node that speaks the protocol by hand and sends what nobody can read, among records that anybody can."""

import random
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode, pack
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.delivery import Batch, Entry, Sack
from tinyprof_protocol.records import Event, Record
from tinyprof_protocol.topics import agent_topic

NODE = "lab.stranger"
POISON_A_BATCH = 4


@dataclass(frozen=True)
class _Sent:
    epoch: bytes
    last: int
    payload: bytes


class Stranger:
    """Owes the good records of its batches like an agent: it sends a batch until it is acknowledged."""

    def __init__(self, url: str, obligations: Path) -> None:
        self._obligations = obligations
        self._sent: list[_Sent] = []
        self._cum: dict[bytes, int] = {}
        self._lock = threading.Lock()
        self._connection = Connection(
            parse_broker(url),
            NODE,
            Hooks(on_message=self._hear),
            subscriptions=[(agent_topic(NODE, "sack"), 1)],
        )

    def start(self) -> None:
        self._connection.start()

    def stop(self) -> None:
        self._connection.stop()

    @property
    def poison(self) -> int:
        """How many records must end in the quarantine."""
        return POISON_A_BATCH * len(self._sent)

    def send_poison(self, chance: random.Random) -> None:
        """Messages that are no batch, and a batch of which four records are none."""
        epoch = chance.randbytes(16)
        now_ns = time.time_ns() // 1_000_000 * 1_000_000 + int.from_bytes(epoch, "big") % 1000
        texts = [f"stranger-{epoch.hex()[:8]}-{n}" for n in range(3)]
        good = [
            pack(Record(now_ns + n * 1000, "clock", bytes(16), n, Event("produced", message=text)))
            for n, text in enumerate(texts)
        ]
        bad = [b"", b"\xc1" + chance.randbytes(40), pack(Event("an event that is no record")), good[0][:-3]]
        entries = [Entry(1, good[0]), *(Entry(2 + n, data) for n, data in enumerate(bad))]
        entries += [Entry(6, good[1]), Entry(7, good[2])]
        batch = _Sent(epoch, 7, encode(Batch(NODE, epoch, 1, [], entries)))
        with self._obligations.open("a") as notes:
            notes.write("".join(f"{epoch.hex()} {seq} {text}\n" for seq, text in zip((1, 6, 7), texts, strict=True)))
        self._sent.append(batch)
        half = batch.payload[: len(batch.payload) // 2]
        for payload in (b"", b"\x01" + zlib.compress(bytes(3 << 20)), half, chance.randbytes(200), batch.payload):
            self._say(payload)

    def send_what_is_owed(self) -> bool:
        """Sends again what is not acknowledged; True once nothing is owed."""
        with self._lock:
            owed = [sent for sent in self._sent if self._cum.get(sent.epoch, 0) < sent.last]
        for sent in owed:
            self._say(sent.payload)
        return not owed

    def _hear(self, message: Message) -> None:
        sack = decode(message.payload, Sack)
        with self._lock:
            self._cum[sack.epoch] = max(sack.cum, self._cum.get(sack.epoch, 0))

    def _say(self, payload: bytes) -> None:
        self._connection.publish(Publication(agent_topic(NODE, "records"), payload, expiry_s=60))
