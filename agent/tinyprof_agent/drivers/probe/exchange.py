"""An exchange with a board: messages and time in, messages out. No exchange touches a port or reads a clock."""

from dataclasses import dataclass
from typing import Protocol

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.probe.messages import BoardMessage, Fault, HostMessage

MS = 10**6
QUIET_NS = 2000 * MS
REFUSALS = frozenset({"busy", "too_long", "bad_request"})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for an answer before asking again, how often to ask, in nanoseconds and times.

    `quiet_ns` is the silence in a run after which the board is asked how it is; an answer costs the board time.
    """

    answer_ns: int = 500 * MS
    tries: int = 4
    quiet_ns: int = QUIET_NS


class Exchange(Protocol):
    """One thing asked of a board. Each call returns what to send now; each may raise BoardError."""

    done: bool
    wake_ns: int
    """When `on_time` wants to be called at the latest."""

    def begin(self, now_ns: int) -> list[HostMessage]:
        """The first messages."""

    def on_message(self, message: BoardMessage, now_ns: int) -> list[HostMessage]:
        """A message came."""

    def on_time(self, now_ns: int) -> list[HostMessage]:
        """Time has passed."""


def one_line(text: str) -> str:
    """What a board said, fit for an error line: nothing that moves a cursor, no line ends."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def fault_error(fault: Fault) -> BoardError:
    """A board's fault as an error of ours."""
    text = one_line(fault.text)
    why = f": {text}" if text else ""
    if fault.code == "version":
        return BoardError("version", f"the board speaks another version of the link{why}")
    code = "refused" if fault.code in REFUSALS else "fault"
    return BoardError(code, f"the board says {one_line(fault.code)}{why}")
