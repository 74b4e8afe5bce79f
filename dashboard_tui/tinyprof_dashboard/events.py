"""What the source tells the reducer: plain facts, one type each, and the interface that every source has."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from tinyprof_protocol.jobs import JobsReply, JobsRequest, Progress
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.requests import HistoryReply, HistoryRequest, LedgerReply, LedgerRequest

Key = tuple[str, str]
"""A board's identity: its node and its own name."""
Parts = Literal["ledgers", "jobs"]
"""What each collector has a part of, and is asked for while a screen shows it."""


@dataclass(frozen=True, slots=True)
class BoardSeen:
    """A summary of a board came."""

    summary: BoardSummary


@dataclass(frozen=True, slots=True)
class BoardGone:
    """A board's retained summary was taken away."""

    key: Key


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """An agent's status came, by itself (`live`) or out of the broker's memory."""

    status: AgentStatus
    live: bool


@dataclass(frozen=True, slots=True)
class AgentGone:
    """An agent's retained status was taken away."""

    node: str


@dataclass(frozen=True, slots=True)
class CollectorSeen:
    """A collector's status came, by itself (`live`) or out of the broker's memory."""

    status: CollectorStatus
    live: bool


@dataclass(frozen=True, slots=True)
class CollectorGone:
    """A collector's retained status was taken away."""

    id: str


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """How the connection to the broker is. `next_attempt_ns` is wall time, 0 where none is waited for."""

    connected: bool
    error: str = ""
    attempts: int = 0
    next_attempt_ns: int = 0


@dataclass(frozen=True, slots=True)
class RetainedComplete:
    """Everything that the broker remembered has come."""


@dataclass(frozen=True, slots=True)
class MessagesRefused:
    """Messages that could not be read, or said who they are wrongly; the newest reason."""

    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class HistoryAsked:
    """A board's history was asked for; `collector` is empty where there was none to ask."""

    key: Key
    metric: str
    collector: str


@dataclass(frozen=True, slots=True)
class HistoryCame:
    """The answer: a reply, or the line that says why there is none."""

    key: Key
    metric: str
    reply: HistoryReply | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """These collectors were asked for their part of something."""

    what: Parts
    collectors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Came:
    """A collector's answer: its part, or the line that says why there is none."""

    what: Parts
    collector: str
    reply: LedgerReply | JobsReply | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class ProgressSeen:
    """A run that is followed went on."""

    progress: Progress


Event = (
    BoardSeen
    | BoardGone
    | AgentSeen
    | AgentGone
    | CollectorSeen
    | CollectorGone
    | LinkChanged
    | RetainedComplete
    | MessagesRefused
    | HistoryAsked
    | HistoryCame
    | Asked
    | Came
    | ProgressSeen
)


class Source(Protocol):
    """Where events come from. A source works in a thread of its own and touches no widget."""

    name: str
    """The broker, as people write it."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begins. `wake` is called, from any thread, when there is something to drain where there was nothing."""

    def stop(self) -> None:
        """Ends; may be called twice."""

    def drain(self) -> list[Event]:
        """All that happened since the last call, in order."""

    def ask_history(self, collector: str, request: HistoryRequest) -> bool:
        """Sends a request; its answer is a `HistoryCame`. False where it could not be sent."""

    def ask_part(self, what: Parts, collector: str, request: LedgerRequest | JobsRequest) -> bool:
        """Sends a request; its answer is a `Came`. False where it could not be sent."""

    def follow(self, node: str | None) -> None:
        """From now on `ProgressSeen` comes of this agent's runs, or of none; returns at once."""
