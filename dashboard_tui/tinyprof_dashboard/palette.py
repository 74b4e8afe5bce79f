"""Colours and symbols. A state is never told by colour alone, and the colours follow Okabe and Ito's palette, which
people with any of the common colour deficiencies tell apart.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from rich.style import Style
from textual.theme import Theme

from tinyprof_protocol.presence import Health
from tinyprof_protocol.records import Verdict

Role = Literal[
    "text", "strong", "dim", "faint", "accent", "healthy", "warning", "critical", "stale", "offline", "spark",
]  # fmt: skip


SYMBOLS: Final[dict[Health, str]] = {"healthy": "●", "warning": "▲", "critical": "✖", "stale": "◌", "offline": "○"}
SEVERITY: Final[dict[Health, int]] = {"critical": 0, "offline": 1, "stale": 2, "warning": 3, "healthy": 4}
"""How urgent a state is, most urgent first."""
VERDICT_SYMBOLS: Final[dict[Verdict, str]] = {"valid": "✓", "unstable": "≈", "invalid": "✗"}
VERDICT_ROLES: Final[dict[Verdict, Role]] = {"valid": "healthy", "unstable": "warning", "invalid": "critical"}
EMULATED: Final = "◇"
ESTIMATED: Final = "~"
ASKED: Final = "»"


@dataclass(frozen=True, slots=True)
class _Ink:
    colour: str
    bold: bool = False


BACKGROUND: Final = "#12161c"
PANEL: Final = "#1a2029"
CURSOR: Final = "#2a3a4d"
ACCENT: Final = "#56b4e9"

_INKS: Final[dict[Role, _Ink]] = {
    "text": _Ink("#cdd3da"),
    "strong": _Ink("#f2f5f8", bold=True),
    "dim": _Ink("#8b96a3"),
    "faint": _Ink("#566270"),
    "accent": _Ink(ACCENT),
    "healthy": _Ink("#2fb68a"),
    "warning": _Ink("#f0c541"),
    "critical": _Ink("#f0743e", bold=True),
    "stale": _Ink("#cc8fc0"),
    "offline": _Ink("#8b96a3"),
    "spark": _Ink("#4a7d9f"),
}

THEME: Final = Theme(
    name="tinyprof",
    primary=ACCENT,
    secondary="#5b9dc9",
    accent=ACCENT,
    foreground=_INKS["text"].colour,
    background=BACKGROUND,
    surface=BACKGROUND,
    panel=PANEL,
    success=_INKS["healthy"].colour,
    warning=_INKS["warning"].colour,
    error=_INKS["critical"].colour,
    dark=True,
    variables={
        "footer-background": PANEL,
        "footer-key-foreground": ACCENT,
        "footer-key-background": PANEL,
        "footer-description-foreground": _INKS["dim"].colour,
        "footer-description-background": PANEL,
        "footer-item-background": PANEL,
        "block-cursor-text-style": "none",
    },
)


@lru_cache(maxsize=128)
def ink(role: Role, background: str | None = None) -> Style:
    """The style of a role, on a background of its own if one is given."""
    entry = _INKS[role]
    return Style(color=entry.colour, bgcolor=background, bold=entry.bold)
