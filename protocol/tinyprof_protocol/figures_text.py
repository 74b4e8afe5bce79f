"""How a metric's values are written for people, the same on every screen: prefix, unit and digits.

Names, stores and JSON keep the table's own units. On screens microseconds are `µs`, CPU time for each token too, rates
are `tokens/s`, bytes are in units of 1024, shares in per cent, and the drift of a clock in ppm.
"""

from typing import Final

from tinyprof_protocol.metrics import METRICS

_BINARY: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024
_TOO_LARGE: Final = 1000 * 1024.0**4
_BY_METRIC: Final = {"clock_drift_ratio": ("ppm", 1e6)}
_BY_UNIT: Final = {
    "us": ("µs", 1.0),
    "ns": ("µs", 1e-3),
    "degC": ("°C", 1.0),
    "Hz": ("MHz", 1e-6),
    "ratio": ("%", 100.0),
}
"""By the table's unit: the one that is shown, and how many of it make one."""


def size(count: float) -> str:
    """Bytes in units of 1024, in at most eight characters: `812 B`, `24.5 KiB`, `3.1 MiB`."""
    value = float(count)
    if abs(value) >= _TOO_LARGE:
        return f"{value:.0e} B"
    for prefix in _BINARY:
        if abs(value) < _STEP or prefix == _BINARY[-1]:
            break
        value /= _STEP
    return f"{value:.0f} {prefix}" if prefix == "B" or abs(value) >= 99.95 else f"{value:.1f} {prefix}"


def number(value: float) -> str:
    """About four significant digits: `0.834`, `12.34`, `834.2`, `4245`, `1.20M`; an exponent only from 10^13 on."""
    magnitude = abs(value)
    if magnitude >= 1e13:
        return f"{value:.1e}"
    if magnitude >= 1e9:
        return f"{value / 1e9:.2f}G"
    if magnitude >= 1e6:
        return f"{value / 1e6:.2f}M"
    return f"{value:.{_decimals(magnitude)}f}"


def amount(metric: str, value: float) -> str:
    """A metric's value without its unit (bytes carry theirs)."""
    entry = METRICS.get(metric)
    if entry is not None and entry.unit == "B":
        return size(value)
    _, factor = _shown_as(metric)
    value *= factor
    if entry is None or factor != 1 or abs(value) >= 1e6:
        return number(value)
    finest = 0 if entry.decimals == 0 else 1 if entry.unit == "degC" else entry.decimals + 1
    return f"{value:.{min(finest, _decimals(abs(value)))}f}"


def unit(metric: str) -> str:
    """The unit to put behind `amount`, as people write it; empty for bytes and plain numbers."""
    return _shown_as(metric)[0]


def _shown_as(metric: str) -> tuple[str, float]:
    entry = METRICS.get(metric)
    if entry is None or entry.unit == "B":
        return "", 1.0
    return _BY_METRIC.get(metric) or _BY_UNIT.get(entry.unit, (entry.unit, 1.0))


def _decimals(magnitude: float) -> int:
    """As many as make four significant digits, at most three."""
    if magnitude == 0:
        return 0
    return 3 if magnitude < 10 else 2 if magnitude < 100 else 1 if magnitude < 1000 else 0
