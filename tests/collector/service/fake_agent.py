"""An agent made of the protocol alone: it says its status, sends batches and keeps what comes for it."""

import queue
import threading

from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.codec import decode, encode, pack
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.delivery import Batch, Entry, Sack
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.presence import AgentStatus, BoardPresence, EpochOwed
from tinyprof_protocol.records import Body, Build, ClockReport, Conditions, Event, Figure, Record, Result, Sample

WAIT_S = 20.0
EPOCH = bytes(range(16))
BUILD = Build("host", "numpy", "1", "tiny", "0" * 64, "Q4_0", "f32", "float32", 256, "device")


class Client:
    """A connection whose messages wait in a queue; every wait has a limit and fails loudly."""

    def __init__(self, url: str, client_id: str, filters: list[str], will: Publication | None = None) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self._up = threading.Event()
        hooks = Hooks(on_message=self.messages.put, on_connected=self._up.set)
        self.connection = Connection(
            parse_broker(url), client_id, hooks, subscriptions=[(topic, 1) for topic in filters], will=will
        )
        self.connection.start()
        assert self._up.wait(WAIT_S), self.connection.state.error

    def send(self, topic: str, message: object, **more) -> None:
        assert self.connection.publish(Publication(topic, encode(message), **more)) is not None

    def next(self, kind, accept=lambda found: True):
        """The next message that `accept` takes, decoded as `kind`; others are passed over."""
        while True:
            payload = self.messages.get(timeout=WAIT_S).payload
            if not payload:
                continue  # something retained was cleared
            found = decode(payload, kind)
            if accept(found):
                return found

    def stop(self) -> None:
        self.connection.stop(timeout_s=2.0)


class FakeAgent(Client):
    """Node `lab.pi` with one board."""

    def __init__(self, url: str, now_ns: int, node: str = "lab.pi") -> None:
        self.node = node
        self.now_ns = now_ns
        self.next_seq = 1
        self.jobs: list[bytes] = []
        filters = [topics.agent_topic(node, "sack"), topics.agent_topic(node, "jobs")]
        will = Publication(topics.agent_topic(node, "status"), encode(AgentStatus(node, "offline")), retain=True)
        super().__init__(url, node, filters, will)

    def say_status(self) -> None:
        status = AgentStatus(
            self.node, "online", time_ns=self.now_ns, interval_s=30.0, jobs=self.jobs,
            boards=[BoardPresence("b1", "host", "idle", "host", "tiny")],
            epochs=[EpochOwed(EPOCH, 1, self.next_seq - 1)],
        )  # fmt: skip
        self.send(topics.agent_topic(self.node, "status"), status, retain=True)

    def send_batch(self, *bodies: Body) -> Batch:
        records = [Record(self.now_ns + (self.next_seq + n) * 1000, "clock", EPOCH, 1, b) for n, b in enumerate(bodies)]
        entries = [Entry(self.next_seq + n, pack(record)) for n, record in enumerate(records)]
        self.next_seq += len(bodies)
        batch = Batch(self.node, EPOCH, 1, [], entries)
        self.send(topics.agent_topic(self.node, "records"), batch)
        return batch

    def next_sack(self, cum: int, wait_s: float = WAIT_S) -> Sack:
        while True:
            message = self.messages.get(timeout=wait_s)
            if message.topic.endswith("/sack"):
                sack = decode(message.payload, Sack)
                if sack.cum >= cum:
                    return sack

    def next_job(self) -> Job:
        while True:
            message = self.messages.get(timeout=WAIT_S)
            if message.topic.endswith("/jobs"):
                return decode(message.payload, Job)


def result(decode_tps: float = 100.0, verdict="valid", job_id: bytes | None = None) -> Result:
    return Result(
        bytes(16), "b1", BUILD, "quick", [], 1, verdict, [], "match", ClockReport("host"),
        {"decode_tps": Figure(decode_tps)}, [], Conditions(), 1.0, job_id=job_id,
    )  # fmt: skip


def sample(temperature_c: float) -> Sample:
    return Sample({"temperature_c": temperature_c}, "b1")


def event(name: str, job_id: bytes | None = None) -> Event:
    return Event(name, board="b1", job_id=job_id)
