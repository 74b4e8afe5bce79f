"""What a fleet answers: the parts of its collectors together, and what part of it gave no answer."""

from dataclasses import dataclass, field

from tinyprof_protocol.jobs import JobView
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.requests import AgentDelivery, CacheReply, LedgerRow, QuarantineReply, StatusReply


@dataclass(frozen=True, slots=True)
class FleetBoards:
    """Boards by node and name. `gaps`: what part of the fleet gave no answer, a line each."""

    boards: list[BoardSummary]
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """What each collector that answered says, by its name. `gaps`: what part of the fleet gave no answer."""

    collectors: dict[str, StatusReply]
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FleetCache:
    """What each collector that answered says of its cache, by its name. `gaps`: what part of the fleet did not."""

    collectors: dict[str, CacheReply]
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FleetLedger:
    """Rows of all collectors. `ok` only where each collector answered and says so."""

    rows: list[LedgerRow]
    ok: bool
    problems: list[str]
    gaps: list[str] = field(default_factory=list)
    agents: list[AgentDelivery] = field(default_factory=list)
    """How each agent's records come through."""


@dataclass(frozen=True, slots=True)
class FleetQuarantine:
    """What each collector that answered keeps or has replayed, by its name. `gaps`: what part of the fleet did not."""

    collectors: dict[str, QuarantineReply]
    gaps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class FleetJobList:
    """Jobs, each once. `gaps`: what part of the fleet gave no answer, a line each."""

    jobs: list[JobView]
    gaps: list[str] = field(default_factory=list)
