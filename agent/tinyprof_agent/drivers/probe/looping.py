"""Asking for a loop of known instructions, by which the clock of an emulated board is checked."""

from collections.abc import Callable

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.probe.exchange import Patience, fault_error
from tinyprof_agent.drivers.probe.messages import AskLoop, BoardMessage, Fault, Hello, HostMessage, Loop


class Looping:
    """Asks for the loop until an answer comes; the answer to any of its own questions will do.

    Raises BoardError: silent, reset, refused (a board without such a loop).
    """

    def __init__(self, new_id: Callable[[], int], patience: Patience, instructions: int) -> None:
        self._new_id = new_id
        self._patience = patience
        self._instructions = instructions
        self._asked: set[int] = set()
        self.done = False
        self.wake_ns = 0
        self.loop: Loop | None = None

    def begin(self, now_ns: int) -> list[HostMessage]:
        """The question."""
        nonce = self._new_id()
        self._asked.add(nonce)
        self.wake_ns = now_ns + self._patience.answer_ns
        return [AskLoop(nonce, self._instructions)]

    def on_message(self, message: BoardMessage, now_ns: int) -> list[HostMessage]:  # noqa: ARG002
        """An answer to one of the questions ends it."""
        match message:
            case Loop(nonce=nonce) if nonce in self._asked:
                self.loop, self.done = message, True
            case Hello(nonce=0):
                raise BoardError("reset", "the board started anew while its known loop ran")
            case Fault(run=0):
                raise fault_error(message)
        return []

    def on_time(self, now_ns: int) -> list[HostMessage]:
        """Asks again, or gives up."""
        if now_ns < self.wake_ns:
            return []
        if len(self._asked) >= self._patience.tries:
            raise BoardError("silent", f"the board did not execute its known loop, asked {len(self._asked)} times")
        return self.begin(now_ns)
