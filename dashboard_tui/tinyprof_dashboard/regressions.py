"""Standing regressions of boards, in words: pure."""

from tinyprof_dashboard import numerals
from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_protocol.presence import BoardSummary, Regression


def worst(summary: BoardSummary) -> Regression | None:
    """The greatest change for the worse that stands; None where there is none."""
    bad = [found for found in summary.regressions if found.worse]
    return max(bad, key=lambda found: abs(found.change), default=None)


def brief(found: Regression) -> str:
    """`decode −12%`."""
    sign = "+" if found.change > 0 else "−"
    return f"{numerals.printable(numerals.label(found.metric))} {sign}{abs(found.change):.0%}"


def sentence(found: Regression, now_ns: int) -> str:
    """`decode −12%: 12.3 → 10.8 tokens/s, 2h ago (quick)`; times by the collector's clock."""
    figures = f"{numerals.amount(found.metric, found.before)} → {numerals.amount(found.metric, found.after)}"
    unit = numerals.unit(found.metric)
    suite = f" ({numerals.printable(found.suite)})" if found.suite else ""
    since = numerals.age((now_ns - found.since_ns) / SECOND_NS)
    return f"{brief(found)}: {figures}{f' {unit}' if unit else ''}, {since} ago{suite}"
