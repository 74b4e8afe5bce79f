"""Somebody in the network who sends everything again, late and out of order."""

import random
import threading
from typing import Self

from brokers import Broker

from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.topics import agent_topics_of


class Meddler:
    """Hears all batches and acknowledgements; once it has enough it sends them again, shuffled, each up to thrice."""

    def __init__(self, broker: Broker, chance: random.Random, enough: int = 12) -> None:
        self._chance = chance
        self._enough = enough
        self._heard: list[Message] = []
        self._own: set[tuple[str, bytes]] = set()
        self._lock = threading.Lock()
        self._up = threading.Event()
        self.sent = 0
        self._connection = Connection(
            parse_broker(broker.url),
            "meddler",
            Hooks(on_message=self._hear, on_connected=self._up.set),
            subscriptions=[(agent_topics_of(None, "records"), 1), (agent_topics_of(None, "sack"), 1)],
        )

    def __enter__(self) -> Self:
        self._connection.start()
        assert self._up.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.stop()

    def _hear(self, message: Message) -> None:
        with self._lock:
            if (message.topic, message.payload) in self._own:
                return
            self._heard.append(message)
            if len(self._heard) < self._enough:
                return
            again = [message for message in self._heard for _ in range(self._chance.randint(0, 3))]
            self._heard = self._chance.sample(self._heard, 3)  # some are kept for much later
        self._chance.shuffle(again)
        for message in again:
            self._own.add((message.topic, message.payload))
            self.sent += self._connection.publish(Publication(message.topic, message.payload, expiry_s=60)) is not None
