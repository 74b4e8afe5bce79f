"""A plot of values over time, in characters."""

import datetime as dt
import statistics
from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def draw(points: Sequence[tuple[int, float]], width: int, height: int) -> list[str]:
    """Lines of a bar plot of (time in ns, value): the median of each column's span, on an axis that starts at zero.

    Where a value is below zero it starts at the least one. A column with no value in its span stays empty.
    """
    labels = 12
    columns = max(8, width - labels - 2)
    first, last = points[0][0], points[-1][0]
    buckets: list[list[float]] = [[] for _ in range(columns)]
    for time_ns, value in points:
        at = (time_ns - first) * (columns - 1) // max(1, last - first)
        buckets[min(columns - 1, max(0, at))].append(value)
    medians = [statistics.median(bucket) if bucket else None for bucket in buckets]
    known = [value for value in medians if value is not None]
    # A bar's length says how much there is: were the least value the axis's foot, it would look like nothing.
    low, high = min(0.0, *known), max(known)
    span = high - low or 1.0
    levels = [None if value is None else 1 + round((value - low) / span * (height * 8 - 1)) for value in medians]
    lines = []
    for row in reversed(range(height)):
        label = f"{high:.5g}" if row == height - 1 else f"{low:.5g}" if row == 0 else ""
        cells = "".join(_EIGHTHS[0 if level is None else min(8, max(0, level - row * 8))] for level in levels)
        lines.append(f"{label:>{labels}} ┤{cells}".rstrip())
    begin, end = (f"{dt.datetime.fromtimestamp(at / 1e9).astimezone():%m-%d %H:%M:%S}" for at in (first, last))
    lines.append(" " * (labels + 2) + begin + end.rjust(max(len(end) + 1, columns - len(begin))))
    return lines
