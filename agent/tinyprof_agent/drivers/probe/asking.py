"""Asking for the board's counter: one round trip, for the check of its clock."""

from collections.abc import Callable

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.probe.exchange import Patience
from tinyprof_agent.drivers.probe.messages import AskStats, BoardMessage, Hello, HostMessage, Stats


class Asking:
    """Asks `stats` until an answer comes. Only the question that was answered counts: a lost one leaves no trace.

    Raises BoardError: silent, reset.
    """

    def __init__(self, new_id: Callable[[], int], patience: Patience) -> None:
        self._new_id = new_id
        self._patience = patience
        self._nonce = 0
        self._tries = 0
        self.done = False
        self.wake_ns = 0
        self.sent_ns = 0
        self.received_ns = 0
        self.stats: Stats | None = None

    def begin(self, now_ns: int) -> list[HostMessage]:
        """The question."""
        self._nonce = self._new_id()
        self._tries += 1
        self.sent_ns = now_ns
        self.wake_ns = now_ns + self._patience.answer_ns
        return [AskStats(self._nonce)]

    def on_message(self, message: BoardMessage, now_ns: int) -> list[HostMessage]:
        """The answer to the last question ends it."""
        match message:
            case Stats(nonce=nonce) if nonce == self._nonce:
                self.stats, self.received_ns, self.done = message, now_ns, True
            case Hello(nonce=0):
                raise BoardError("reset", "the board started anew while its clock was being asked")
        return []

    def on_time(self, now_ns: int) -> list[HostMessage]:
        """Asks again, or gives up."""
        if now_ns < self.wake_ns:
            return []
        if self._tries >= self._patience.tries:
            raise BoardError("silent", f"the board did not tell its clock, asked {self._tries} times")
        return self.begin(now_ns)
