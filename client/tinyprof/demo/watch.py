"""What the demo hears of its agent, as it says it."""

import threading

from tinyprof.demo.figures import Produced
from tinyprof.demo.plan import NODE
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import decode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.presence import AgentStatus


class AgentWatch:
    """Listens to the agent's status; `changed` is set whenever one comes."""

    def __init__(self, address: BrokerAddress) -> None:
        self.produced = Produced()
        self.changed = threading.Event()
        self.online = False
        self._connection = Connection(
            address,
            "demo-watch",
            Hooks(on_message=self._on_message),
            subscriptions=[(topics.agent_topic(NODE, "status"), 1)],
        )

    def start(self) -> None:
        """Connects, in a thread of its own."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnects."""
        self._connection.stop(timeout_s=1.0)

    def _on_message(self, message: Message) -> None:
        status = decode(message.payload, AgentStatus)
        self.online = status.state == "online"
        self.produced.hear(status)
        self.changed.set()
