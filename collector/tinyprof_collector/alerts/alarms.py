"""What is an alert: something that has been critical for a while, and its end after as long. Pure.

What flaps within the hold time is told once and not again until it has been quiet for that long.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from tinyprof_protocol.presence import Health, Regression

VERSION: Final = 1
MAX_SUBJECTS: Final = 40_000
Kind = Literal["critical", "recovered", "regressed", "regression_ended"]


class Subject(NamedTuple):
    """What an alert is about."""

    kind: Literal["board", "agent", "collector"]
    node: str = ""
    """Of a board or an agent."""
    name: str = ""
    """The board's, or the collector's."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What is to be told; `time_ns` is when it was decided."""

    kind: Kind
    subject: Subject
    time_ns: int
    health: Health | Literal[""] = ""
    reasons: Sequence[str] = ()
    regression: Regression | None = None


@dataclass(slots=True)
class _Seen:
    health: Health
    reasons: Sequence[str]
    differs_ns: int | None = None
    """Since when it is other than what was told; None while it is the same."""
    told: bool = False
    """Whether it was told as critical."""


@dataclass(slots=True)
class Alarms:
    """The health of every subject that was ever critical, and what was told of it."""

    hold_ns: int
    _seen: dict[Subject, _Seen] = field(default_factory=dict)
    over_bound: int = 0

    def note(self, subject: Subject, health: Health, reasons: Sequence[str], now_ns: int) -> None:
        """Takes how a subject is now."""
        seen = self._seen.get(subject)
        if seen is None:
            if health != "critical":
                return
            if len(self._seen) >= MAX_SUBJECTS:
                self.over_bound += 1
                return
            seen = self._seen[subject] = _Seen(health, reasons)
        seen.health, seen.reasons = health, reasons
        if (health == "critical") == seen.told:
            seen.differs_ns = None
        elif seen.differs_ns is None:
            seen.differs_ns = now_ns

    def due(self, now_ns: int) -> list[Alert]:
        """What has been otherwise for long enough to be told, once."""
        alerts = []
        for subject, seen in list(self._seen.items()):
            if seen.differs_ns is None:
                if not seen.told:
                    del self._seen[subject]  # it was critical for a moment only
                continue
            seen.differs_ns = min(seen.differs_ns, now_ns)  # the clock may have been set back
            if now_ns - seen.differs_ns < self.hold_ns:
                continue
            seen.told, seen.differs_ns = not seen.told, None
            kind: Kind = "critical" if seen.told else "recovered"
            alerts.append(Alert(kind, subject, now_ns, seen.health, tuple(seen.reasons)))
            if not seen.told:
                del self._seen[subject]
        return alerts
