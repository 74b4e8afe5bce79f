"""The next list, decoded while the one before is being written to a store over the network.

Only what does not depend on the accounts is done ahead; judging, writing and answering stay with the pipeline's thread,
one list after the other. At most one list waits here. Nothing in it has been acknowledged.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tinyprof_collector.decoding import Decoded
from tinyprof_collector.pipeline_thread import Source
from tinyprof_protocol.connection import Message

log = logging.getLogger(__name__)


class Ahead:
    """A source over another one, for the pipeline's thread; it has a thread of its own that only decodes."""

    def __init__(
        self, source: Source, decode: Callable[[list[Message]], Decoded], has_full_list: Callable[[], bool], limit: int
    ) -> None:
        """A list is only taken ahead where `has_full_list` says so: a shorter one had better grow meanwhile."""
        self._source = source
        self._decode = decode
        self._has_full_list = has_full_list
        self._limit = limit
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="decode-ahead")
        self._messages: list[Message] = []
        self._decoded: Future[Decoded] | None = None
        self._handed_over: Decoded | None = None

    def begin(self) -> None:
        """Takes the next list and has it decoded, where a full one waits and none is here yet. Does not wait."""
        if self._messages or not self._has_full_list():
            return
        self._messages = self._source.take(self._limit, 0.0)
        if self._messages:
            self._decoded = self._helper.submit(self._decode, self._messages)

    def take(self, limit: int, timeout_s: float | None) -> list[Message]:
        """The list that was taken ahead, once it is decoded; else up to `limit` messages of the source."""
        self._handed_over = None
        if not self._messages:
            return self._source.take(limit, timeout_s)
        messages, decoded = self._messages, self._decoded
        self._messages, self._decoded = [], None
        if decoded is not None:
            try:
                self._handed_over = decoded.result()
            except Exception:
                # It is decoded once more where it is judged, which finds the one message that is to blame.
                log.exception("a list of %d messages could not be decoded ahead", len(messages))
        return messages

    def decoded(self, messages: list[Message]) -> Decoded | None:
        """What was decoded of the list that was handed over last, if it is this one; once."""
        decoded, self._handed_over = self._handed_over, None
        return decoded if decoded is not None and decoded.messages is messages else None

    def let_go(self) -> None:
        """Keeps only the messages of the list that waits: nothing is stored for now, and decoded it is much memory."""
        self._decoded = None

    def waiting(self) -> int:
        """How many messages were taken ahead and wait here."""
        return len(self._messages)

    def stop(self) -> None:
        """Ends the thread; what waits here comes again from the agents."""
        self._helper.shutdown(wait=False, cancel_futures=True)

    def __len__(self) -> int:
        """How many wait, here and at the source."""
        return len(self._messages) + len(self._source)
