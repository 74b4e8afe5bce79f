"""How the screen writes ages and names, and cuts text to its cells; figures are written as everywhere else."""

import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

from tinyprof_protocol.counts_text import some
from tinyprof_protocol.figures_text import amount, number, size, unit
from tinyprof_protocol.metrics import METRICS

__all__ = ["NOTHING", "age", "amount", "clip", "count", "label", "number", "printable", "size", "some", "unit"]

NOTHING = "·"


def age(seconds: float | None) -> str:
    """An age in at most four characters: `3s`, `2m`, `5h`, `12d`; a dot where there is none."""
    if seconds is None:
        return NOTHING
    whole = max(0, int(seconds))
    for limit, divisor, suffix in ((100, 1, "s"), (6000, 60, "m"), (360_000, 3600, "h")):
        if whole < limit:
            return f"{whole // divisor}{suffix}"
    return f"{min(whole // 86_400, 999)}d"


def count(value: int, width: int = 12) -> str:
    """A count with its thousands apart; one that is too long for `width` cells in millions and more: `12.3M`."""
    text = f"{value:,}"
    if len(text) <= width:
        return text
    for divisor, suffix in ((10**6, "M"), (10**9, "G"), (10**12, "T"), (10**15, "P")):
        for places in (2, 1, 0):
            text = f"{value / divisor:.{places}f}{suffix}"
            if len(text) <= width and value < 1000 * divisor:
                return text
    return text


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
