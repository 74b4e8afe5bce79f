"""A spool at its cap, a collector without its memory, and what nobody can read."""

import contextlib
import threading
import zlib

from conservation import Site
from roles import until

import tinyprof
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode, pack
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.delivery import Batch, Entry, Sack
from tinyprof_protocol.presence import AgentStatus, EpochOwed
from tinyprof_protocol.records import Event, Record
from tinyprof_protocol.topics import agent_topic, agent_topics_of

SMALL_SPOOL = "[spool]\ncap_bytes = 1048576\n"
STRANGER = "lab.stranger"


def test_cap_is_hit_while_batches_are_in_flight(any_broker, make_site):
    site = make_site(any_broker, agent_toml=SMALL_SPOOL)
    site.start_collector()
    site.start_agent("--together", "25", "--padding", "250", "--pause-ms", "3")
    site.wait_until_stored(50)
    for _ in range(2):
        site.collector.freeze()  # batches are under way, and nobody answers
        site.wait_until_owed(5000)
        site.collector.thaw()
        site.wait_until_stored(50)
    site.agent.stop()
    site.settle()
    ledger = site.judge(evicted=True)
    assert sum(row.evicted for row in ledger.rows) > 100
    assert any("evicted: cap" in row.cause for row in ledger.rows)


def test_cap_is_hit_without_a_collector(broker, make_site):
    site = make_site(broker, agent_toml=SMALL_SPOOL)
    site.start_agent("--together", "25", "--padding", "250", "--count", "6000", "--pause-ms", "0")
    site.agent.wait_for("produced all")
    site.agent.kill()
    site.start_collector()
    site.settle()
    ledger = site.judge(evicted=True)
    assert sum(row.evicted for row in ledger.rows) > 1000


def test_collector_loses_its_state(any_broker, make_site):
    site = make_site(any_broker)
    site.start_collector()
    site.start_agent()
    site.wait_until_stored(100)
    site.collector.freeze()  # batches are under way, and the store has some that were never acknowledged
    site.collector.kill()
    lose_state(site)
    site.start_collector()
    site.wait_until_stored(50)
    site.agent.kill()
    site.collector.kill()
    lose_state(site)
    site.start_collector()
    site.settle()
    ledger = site.judge()
    assert sum(row.stored_on_word for row in ledger.rows) == 0, "the store was asked what it holds"


def lose_state(site: Site) -> None:
    """The collector's own files but for the store and the quarantine are gone."""
    found = list((site.folder / "collector").glob("state.sqlite*"))
    assert found
    for file in found:
        file.unlink()


class Stranger:
    """A node that speaks the protocol by hand, so that it can say what no agent says."""

    def __init__(self, url: str) -> None:
        self.sacks: list[Sack] = []
        self._up = threading.Event()
        self._connection = Connection(
            parse_broker(url),
            STRANGER,
            Hooks(on_message=self._hear, on_connected=self._up.set),
            subscriptions=[(agent_topic(STRANGER, "sack"), 1), (agent_topics_of(None, "sack"), 1)],
        )
        self._connection.start()
        assert self._up.wait(30)

    def _hear(self, message: Message) -> None:
        sack = decode(message.payload, Sack)
        if sack.node == STRANGER:
            self.sacks.append(sack)

    def say(self, topic: str, payload: bytes) -> None:
        assert self._connection.publish(Publication(topic, payload, expiry_s=60)) is not None

    def close(self) -> None:
        self._connection.stop()


def test_poison_record_batch_and_message(broker, make_site):
    site = make_site(broker)
    site.start_collector()
    site.start_agent()
    site.wait_until_stored(20)
    epoch, boot, records = bytes(range(16)), bytes(16), agent_topic(STRANGER, "records")
    good = [
        pack(Record(1_800_000_000_000_000_000 + n, "clock", boot, n, Event("produced", message=f"s{n}")))
        for n in range(3)
    ]
    poison = [b"", b"\xc1 no record", pack(Event("an event that is no record")), good[0][:-3]]
    entries = [
        Entry(1, good[0]),
        *(Entry(2 + i, data) for i, data in enumerate(poison)),
        Entry(6, good[1]),
        Entry(7, good[2]),
    ]
    with contextlib.closing(Stranger(broker.url)) as stranger:
        batch = encode(Batch(STRANGER, epoch, 1, [], entries))
        stranger.say(records, b"")
        stranger.say(records, b"\x01" + zlib.compress(bytes(3 << 20)))
        stranger.say(records, batch[: len(batch) // 2])
        stranger.say(records, encode(Batch("lab.bench", epoch, 1, [], entries)))
        stranger.say(records.replace("/1/", "/1/x", 1), batch)
        stranger.say(agent_topic(STRANGER, "status"), encode(AgentStatus("lab.bench", "offline")))
        stranger.say(records, batch)
        until("all seven are acknowledged", lambda: any(sack.cum == 7 for sack in stranger.sacks))
        stranger.say(
            agent_topic(STRANGER, "status"), encode(AgentStatus(STRANGER, "online", epochs=[EpochOwed(epoch, 8, 7)]))
        )
        until("the collector goes on", lambda: site.ledger().rows[-1].node == STRANGER)
    site.agent.stop()
    site.settle()
    ledger = site.judge(poison=4)
    (row,) = [row for row in ledger.rows if row.node == STRANGER]
    assert (row.head, row.stored, row.quarantined) == (7, 3, 4)
    with tinyprof.connect(broker.url) as fleet:
        kept = fleet.quarantine().collectors["main"]
        reasons = [item.reason for item in kept.items]
        assert [item.seq for item in kept.items if item.seq is not None] == [2, 3, 4, 5]
        assert sum("lab.bench" in reason for reason in reasons) == 2, reasons
        assert kept.total == 10
        (bomb,) = [item.item for item in kept.items if "inflates" in item.reason]
        (shown,) = fleet.quarantine("show", item=bomb).collectors["main"].items
        assert shown.data == b"\x01" + zlib.compress(bytes(3 << 20))
        assert fleet.quarantine("replay").collectors["main"].stored == 0
    site.judge(poison=4)
