"""Finding out who is at the other end of a line, whatever it is in the middle of."""

from collections.abc import Callable

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.probe.exchange import Patience, fault_error
from tinyprof_agent.drivers.probe.messages import (
    PROTOCOL_HIGH,
    PROTOCOL_LOW,
    AskHello,
    BoardMessage,
    Fault,
    Hello,
    HostMessage,
)

MAX_QUESTIONS = 64
"""A board that starts over and over is asked at once this often, then only in its turn."""


class Opening:
    """Asks `hello` until a board answers one of our own questions; everything else it says is left aside.

    Raises BoardError: silent, version.
    """

    def __init__(self, new_id: Callable[[], int], patience: Patience, limit_ns: int) -> None:
        self._new_id = new_id
        self._patience = patience
        self._limit_ns = limit_ns
        self._asked: set[int] = set()
        self._deadline_ns = 0
        self.done = False
        self.wake_ns = 0
        self.hello: Hello | None = None

    def begin(self, now_ns: int) -> list[HostMessage]:
        """The first question."""
        self._deadline_ns = now_ns + self._limit_ns
        return self._ask(now_ns)

    def on_message(self, message: BoardMessage, now_ns: int) -> list[HostMessage]:
        """An answer of ours ends it; a board that has just started is asked again at once."""
        match message:
            case Hello(nonce=nonce) if nonce in self._asked:
                return self._answered(message)
            case Hello(nonce=0) if len(self._asked) < MAX_QUESTIONS:
                return self._ask(now_ns)
            case Fault(code="version"):
                raise fault_error(message)
        return []

    def on_time(self, now_ns: int) -> list[HostMessage]:
        """Asks again; gives up when the time is over."""
        if now_ns >= self._deadline_ns:
            waited_s = self._limit_ns / 1e9
            raise BoardError(
                "silent", f"no answer in {waited_s:g} s: is the board powered, its firmware tinyprof's, the baud right?"
            )
        return self._ask(now_ns) if now_ns >= self.wake_ns else []

    def _ask(self, now_ns: int) -> list[HostMessage]:
        nonce = self._new_id()
        self._asked.add(nonce)
        self.wake_ns = min(now_ns + self._patience.answer_ns, self._deadline_ns)
        return [AskHello(nonce, PROTOCOL_LOW, PROTOCOL_HIGH)]

    def _answered(self, hello: Hello) -> list[HostMessage]:
        if not PROTOCOL_LOW <= hello.protocol <= PROTOCOL_HIGH:
            raise BoardError(
                "version",
                f"the board speaks version {hello.protocol} of the link, we {PROTOCOL_LOW} to {PROTOCOL_HIGH}",
            )
        self.hello = hello
        self.done = True
        return []
