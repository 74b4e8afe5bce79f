"""The way of batches through the pipeline's thread and back as acknowledgements, with how long each waits."""

from collections.abc import Callable

from tinyprof_collector.ahead import Ahead
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.sack_lag import SackLag
from tinyprof_protocol.connection import Message, Publication


class Feed:
    """`put` is for the connection's thread, the rest for the pipeline's; `backlog` may be asked by any."""

    def __init__(
        self,
        inbox: Inbox,
        pipeline: Pipeline,
        sack_lag: SackLag,
        publish: Callable[[Publication], int | None],
        ahead: Ahead | None = None,
    ) -> None:
        """`publish` returns None where a message was not taken. `ahead` decodes a list while one is being stored."""
        self._inbox = inbox
        self._pipeline = pipeline
        self._sack_lag = sack_lag
        self._publish = publish
        self._ahead = ahead
        self._in_hand = 0

    def put(self, message: Message) -> None:
        """A batch has come; it falls where the inbox has no room, and its agent sends it again."""
        self._sack_lag.received(message)
        if not self._inbox.put(message):
            self._sack_lag.fell(message)

    def process(self, messages: list[Message]) -> list[Publication]:
        """Takes a list of batches in and returns the acknowledgements to publish."""
        self._in_hand = len(messages)
        self._sack_lag.taken(messages, holding=self._pipeline.holding is not None)
        if self._ahead is None:
            return self._pipeline.process(messages)
        decoded = self._ahead.decoded(messages)
        if messages and self._pipeline.holding is None:
            self._ahead.begin()
        sacks = self._pipeline.process(messages, decoded)
        if self._pipeline.holding is not None:
            self._ahead.let_go()
        return sacks

    def publish_sack(self, sack: Publication) -> int | None:
        """Publishes an acknowledgement; None where it was not taken."""
        token = self._publish(sack)
        if token is not None:
            self._sack_lag.published(sack.topic)
        return token

    def backlog(self) -> int:
        """Batches that wait or are being taken in."""
        ahead = self._ahead.waiting() if self._ahead is not None else 0
        return len(self._inbox) + ahead + self._in_hand
