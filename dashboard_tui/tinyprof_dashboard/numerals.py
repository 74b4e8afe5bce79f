"""How figures are written: short, aligned, with the metric's own unit and precision."""

import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from tinyprof_protocol.metrics import METRICS

NOTHING = "·"
_BINARY = ("B", "K", "M", "G", "T")
_STEP = 1024
_TOO_LARGE = 1000 * 1024.0**4
_UNITS = {"degC": "°C", "us": "µs", "ratio": "", "tokens/s": "tok/s"}


def age(seconds: float | None) -> str:
    """An age in at most four characters: `3s`, `2m`, `5h`, `12d`; a dot where there is none."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    for limit, divisor, unit in ((100, 1, "s"), (6000, 60, "m"), (360_000, 3600, "h")):
        if whole < limit:
            return f"{whole // divisor}{unit}"
    return f"{min(whole // 86_400, 999)}d"


def size(count: float) -> str:
    """Bytes in units of 1024: `812B`, `24.5K`, `3.1M`."""
    value = float(count)
    if abs(value) >= _TOO_LARGE:
        return f"{value:.1e}"
    for unit in _BINARY:
        if abs(value) < _STEP or unit == _BINARY[-1]:
            break
        value /= _STEP
    return f"{value:.0f}{unit}" if unit == "B" or abs(value) >= 100 else f"{value:.1f}{unit}"


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


def _decimals(magnitude: float) -> int:
    """As many as make four significant digits, at most three."""
    if magnitude == 0:
        return 0
    return 3 if magnitude < 10 else 2 if magnitude < 100 else 1 if magnitude < 1000 else 0


def amount(metric: str, value: float) -> str:
    """A metric's value without its unit (bytes carry theirs)."""
    entry = METRICS.get(metric)
    if entry is not None and entry.unit == "B":
        return size(value)
    if entry is None or abs(value) >= 1e6:
        return number(value)
    finest = 0 if entry.decimals == 0 else 1 if entry.unit == "degC" else entry.decimals + 1
    return f"{value:.{min(finest, _decimals(abs(value)))}f}"


def unit(metric: str) -> str:
    """The unit to put behind `amount`, as people write it; empty for bytes and plain numbers."""
    entry = METRICS.get(metric)
    if entry is None or entry.unit == "B":
        return ""
    return _UNITS.get(entry.unit, entry.unit)


def label(metric: str) -> str:
    """A metric's label, or its name where the table has none."""
    entry = METRICS.get(metric)
    return entry.label if entry is not None else metric


@lru_cache(maxsize=4096)
def printable(text: str) -> str:
    """`text` without what could move the cursor or change the terminal: it came over the network."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c)[0] == "C" else c for c in text)


def clip(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` terminal cells: cut with an ellipsis, or filled with spaces."""
    if not text.isascii() or not text.isprintable():
        return _clip_wide(printable(text), width, right=right)
    if len(text) > width:
        return text[: width - 1] + "…" if width > 0 else ""
    return text.rjust(width) if right else text.ljust(width)


def _clip_wide(text: str, width: int, *, right: bool) -> str:
    cells = cell_len(text)
    if cells > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    fill = " " * (width - cells)
    return fill + text if right else text + fill
