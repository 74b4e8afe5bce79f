"""Somebody in the network who hears every batch and acknowledgement, and sends some again, late and out of order."""

import random
import threading
from collections import deque
from typing import Final

from tinyprof_protocol.broker_address import parse_broker
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.topics import agent_topics_of

KEPT: Final = 64


class Echo:
    """Keeps the last messages that it heard; what it sends again it hears, and may keep, again."""

    def __init__(self, url: str) -> None:
        self._heard: deque[Message] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._connection = Connection(
            parse_broker(url),
            "echo",
            Hooks(on_message=self._hear),
            subscriptions=[(agent_topics_of(None, "records"), 1), (agent_topics_of(None, "sack"), 1)],
        )

    def start(self) -> None:
        self._connection.start()

    def stop(self) -> None:
        self._connection.stop()

    def send_again(self, chance: random.Random) -> int:
        """Sends what it kept up to three times each, shuffled; returns how much went out."""
        with self._lock:
            again = [message for message in self._heard for _ in range(chance.randint(0, 3))]
        chance.shuffle(again)
        return sum(
            self._connection.publish(Publication(message.topic, message.payload, expiry_s=60)) is not None
            for message in again
        )

    def _hear(self, message: Message) -> None:
        with self._lock:
            self._heard.append(message)
