"""What the demo hears of its agent, as it says it."""

import threading

from tinyprof.demo.figures import Produced
from tinyprof.demo.plan import NODE
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import decode, unpack
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.delivery import Batch
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record, Result


class AgentWatch:
    """Listens to the agent's status and to its results; `changed` is set whenever a status comes."""

    def __init__(self, address: BrokerAddress) -> None:
        self.produced = Produced()
        self.unstable: dict[bytes, list[str]] = {}
        """The reasons of each unstable run, by its id: a batch may come again."""
        self.changed = threading.Event()
        self.online = False
        self._connection = Connection(
            address,
            "demo-watch",
            Hooks(on_message=self._on_message),
            subscriptions=[(topics.agent_topic(NODE, "status"), 1), (topics.agent_topic(NODE, "records"), 1)],
        )

    def start(self) -> None:
        """Connects, in a thread of its own."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._connection.stop(timeout_s=1.0)

    def _on_message(self, message: Message) -> None:
        if message.topic == topics.agent_topic(NODE, "records"):
            self._hear_results(decode(message.payload, Batch))
            return
        status = decode(message.payload, AgentStatus)
        self.online = status.state == "online"
        self.produced.hear(status)
        self.changed.set()

    def _hear_results(self, batch: Batch) -> None:
        for entry in batch.records:
            body = unpack(entry.data, Record).body
            if isinstance(body, Result) and body.verdict == "unstable":
                self.unstable[body.run_id] = body.reasons
