"""Durations as people write them: 30s, 5m, 24h, 7d."""

import math
import re

_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
LONGEST_S = 100 * 365 * 86400.0


class BadDuration(ValueError):
    """A text that is no duration; the message shows what one looks like."""


def parse_duration(text: str) -> float:
    """Seconds in `30s`, `1h30m`, `0.5s`, `250ms`; a bare number is seconds. Above zero. Raises BadDuration."""
    squeezed = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", squeezed):
        squeezed += "s"
    parts = _PART.findall(squeezed)
    if not parts or "".join(number + unit for number, unit in parts) != squeezed:
        raise BadDuration(f"{text!r} is not a duration: write 30s, 5m, 24h or 7d")
    seconds = math.fsum(float(number) * _UNIT_S[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST_S:
        raise BadDuration(f"{text!r} is not a duration between 1ms and 100 years")
    return seconds


def show_age(seconds: float) -> str:
    """An age in its largest fitting unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} d"
