"""A metric by its name, with the nearest names where there is none."""

import difflib

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


def show_value(name: str, value: float) -> str:
    """A value with its unit; bytes and hertz with a prefix."""
    metric = METRICS.get(name)
    if metric is None:
        return f"{value:g}"
    if metric.unit == "B":
        return show_bytes(value)
    if metric.unit == "Hz":
        return f"{value / 1e6:,.0f} MHz"
    return f"{value:,.{metric.decimals}f} {metric.unit}"


def show_bytes(count: float) -> str:
    """`832 B`, `12.4 KiB`, `3.1 MiB`."""
    if abs(count) < 1024:
        return f"{count:.0f} B"
    if abs(count) < 1024**2:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024**2:.1f} MiB"
