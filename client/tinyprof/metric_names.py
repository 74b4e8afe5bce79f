"""A metric by its name, with the nearest names where there is none."""

import difflib

from tinyprof_protocol.figures_text import unit
from tinyprof_protocol.metrics import METRICS, Metric


class UnknownMetric(LookupError):
    """No metric has the name; the message lists the nearest."""


def check_metric(name: str) -> Metric:
    """The metric of that name. Raises UnknownMetric."""
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=3, cutoff=0.4)
    hint = f"nearest: {', '.join(near)}" if near else f"there are {', '.join(sorted(METRICS))}"
    raise UnknownMetric(f"no metric is called {name!r}; {hint}")


def column_title(metric: str, between: str = " ") -> str:
    """A metric's label with its unit as the head of a column; a count's label says its unit already."""
    entry, shown = METRICS[metric], unit(metric)
    return entry.label if not shown or entry.unit in ("instructions", "cycles") else f"{entry.label}{between}{shown}"
