"""Plots as inline SVG, drawn here so that a page needs nothing from anywhere. Pure.

Colours come from the page's style by class, so that they follow light and dark; every mark says its verdict by its form
too, and every plot has its title and description for those who do not see it.
"""

import datetime as dt
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from tinyprof_protocol.counts_text import some

WIDTH, HEIGHT = 720, 230
LEFT, RIGHT, TOP, BOTTOM = 70, 14, 14, 32
MAX_MARKS: Final = 400
BINS: Final = 48
Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A value at a time, with its interval where it has one."""

    time_ns: int
    value: float
    verdict: str
    low: float | None = None
    high: float | None = None


def over_time(marks: Sequence[Mark], name: str, title: str, unit: str) -> str:
    """Values over time with their intervals; of more than 400 marks, evenly chosen ones. `name` is the plot's own."""
    marks = thinned(marks)
    low, high = _range_of(marks)
    ticks = nice_ticks(*_padded(low, high))
    first, last = marks[0].time_ns, marks[-1].time_ns
    x_of = _scale(first, last, LEFT + 10, WIDTH - RIGHT - 10)
    y_of = _scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    body = [_y_axis(ticks, y_of), _time_axis(first, last, x_of)]
    usable = [mark for mark in marks if mark.verdict != "invalid"]
    path = " ".join(f"{x_of(mark.time_ns):.1f},{y_of(mark.value):.1f}" for mark in usable)
    body.append(f'<polyline class="line" points="{path}"/>')
    body += [_mark(mark, x_of(mark.time_ns), y_of, unit) for mark in marks]
    counts = ", ".join(
        f"{sum(mark.verdict == word for mark in marks)} {word}" for word in ("valid", "unstable", "invalid")
    )
    about = (
        f"{some(len(marks), 'run')} from {utc(first)} to {utc(last)}: {counts}; {_short(low)} to {_short(high)} {unit}"
    )
    return _svg(name, title, about, "".join(body))


def begins_at_zero(marks: Sequence[Mark]) -> bool:
    """Whether the axis of these marks does; where it does not, the page says so."""
    return nice_ticks(*_padded(*_range_of(thinned(marks))))[0] == 0


def histogram(values: Sequence[float], name: str, title: str, unit: str, marks: Sequence[tuple[str, float]]) -> str:
    """How often values are; lines at `marks`. What lies beyond the 99.5th percentile counts in the last bin."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(len(ordered) * 0.995))]
    span = (high - low) or 1.0
    counts = [0] * BINS
    for value in ordered:
        counts[min(BINS - 1, int((value - low) / span * BINS))] += 1
    ticks = nice_ticks(0, max(counts))
    x_of = _scale(low, low + span, LEFT + 6, WIDTH - RIGHT - 6)
    y_of = _scale(0, ticks[-1], HEIGHT - BOTTOM, TOP)
    body = [_y_axis(ticks, y_of), _value_axis(low, low + span, x_of)]
    for number, count in enumerate(counts):
        if count:
            left, right = x_of(low + span * number / BINS), x_of(low + span * (number + 1) / BINS)
            body.append(
                f'<rect class="bar" x="{left + 0.5:.1f}" y="{y_of(count):.1f}" width="{right - left - 1:.1f}" '
                f'height="{y_of(0) - y_of(count):.1f}"><title>{count} from {_short(low + span * number / BINS)} '
                f"{escape(unit)}</title></rect>"
            )
    for label, value in marks:
        at = x_of(min(value, low + span))
        anchor = "end" if at > WIDTH * 0.8 else "start"
        body.append(
            f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            f'<text class="label" x="{at + (-5 if anchor == "end" else 5):.1f}" y="{TOP + 11}" '
            f'text-anchor="{anchor}">{escape(label)} {_short(value)} {escape(unit)}</text>'
        )
    about = f"{some(len(values), 'gap')} from {_short(ordered[0])} to {_short(ordered[-1])} {unit}"
    return _svg(name, title, about, "".join(body))


def spark(values: Sequence[float], name: str) -> str:
    """The course of a few values, without axes; a word for those who do not see it."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    x_of = _scale(0, len(values) - 1, 3, 97)
    y_of = _scale(low, high, 21, 5)
    path = " ".join(f"{x_of(number):.1f},{y_of(value):.1f}" for number, value in enumerate(values))
    about = escape(f"{some(len(values), 'run')}, from {_short(values[0])} to {_short(values[-1])}")
    return (
        f'<svg class="spark" viewBox="0 0 100 26" role="img" aria-labelledby="{name}">'
        f'<title id="{name}">{about}</title><polyline class="line" points="{path}"/></svg>'
    )


def share_bar(share: float, name: str, about: str) -> str:
    """How much of a limit is taken; what is over it is drawn as such."""
    taken = min(1.0, max(0.0, share))
    kind = "over" if share > 1 else "bar"
    return (
        f'<svg class="share" viewBox="0 0 200 12" preserveAspectRatio="none" role="img" aria-labelledby="{name}">'
        f'<title id="{name}">{escape(about)}</title><rect class="track" width="200" height="12" rx="3"/>'
        f'<rect class="{kind}" width="{200 * taken:.1f}" height="12" rx="3"/></svg>'
    )


def thinned(marks: Sequence[Mark]) -> Sequence[Mark]:
    """At most 400 marks, evenly chosen, the first and the last among them."""
    if len(marks) <= MAX_MARKS:
        return marks
    return [marks[number * (len(marks) - 1) // (MAX_MARKS - 1)] for number in range(MAX_MARKS)]


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about so many."""
    raw = (high - low) / about or 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def utc(time_ns: int) -> str:
    """A wall time in UTC, to the minute."""
    return f"{dt.datetime.fromtimestamp(time_ns // 10**9, dt.UTC):%Y-%m-%d %H:%M}"


def _range_of(marks: Sequence[Mark]) -> tuple[float, float]:
    """The least and the greatest of the values and the ends of their intervals."""
    low = min(mark.value if mark.low is None else mark.low for mark in marks)
    return low, max(mark.value if mark.high is None else mark.high for mark in marks)


def _padded(low: float, high: float) -> tuple[float, float]:
    """Room around the values; an axis that would begin near zero begins there."""
    room = (high - low) * 0.15 or abs(high) * 0.1 or 1.0
    return (0.0 if 0 <= low < (high - low) else max(0.0, low - room) if low >= 0 else low - room), high + room


def _scale(first: float, last: float, start: float, end: float) -> Scale:
    """Where a value lies between `start` and `end`; in the middle where all are one."""
    span = last - first
    if not span:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - first) / span * (end - start)


def _svg(name: str, title: str, about: str, body: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(about)}</desc>{body}</svg>'
    )


def _y_axis(ticks: Sequence[float], y_of: Scale) -> str:
    return "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y_of(tick):.1f}" y2="{y_of(tick):.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y_of(tick) + 4:.1f}" text-anchor="end">{_short(tick)}</text>'
        for tick in ticks
    )


def _time_axis(first: int, last: int, x_of: Scale) -> str:
    texts = []
    places = (0.0, 0.25, 0.5, 0.75, 1.0) if last > first else (0.5,)
    pattern = "%m-%d %H:%M" if last - first < 20 * 86400 * 10**9 else "%Y-%m-%d"
    for place in places:
        at_ns = first + round((last - first) * place)
        when = dt.datetime.fromtimestamp(at_ns // 10**9, dt.UTC)
        anchor = {0.0: "start", 1.0: "end"}.get(place, "middle")
        x = {0.0: LEFT, 1.0: WIDTH - RIGHT}.get(place, x_of(at_ns))
        texts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="{anchor}">{when:{pattern}}</text>')
    return "".join(texts)


def _value_axis(low: float, high: float, x_of: Scale) -> str:
    ticks = [tick for tick in nice_ticks(low, high) if low <= tick <= high]
    return "".join(
        f'<text class="tick" x="{x_of(tick):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{_short(tick)}</text>'
        for tick in ticks
    )


def _mark(mark: Mark, x: float, y_of: Scale, unit: str) -> str:
    y = y_of(mark.value)
    whisker, interval = "", ""
    if mark.low is not None and mark.high is not None:
        ends = f'y1="{y_of(mark.low):.1f}" y2="{y_of(mark.high):.1f}"'
        whisker = f'<line class="whisker" x1="{x:.1f}" x2="{x:.1f}" {ends}/>'
        interval = f" ({_short(mark.low)} to {_short(mark.high)})"
    about = escape(f"{utc(mark.time_ns)}: {_short(mark.value)} {unit}{interval}, {mark.verdict}")
    form = _form(mark.verdict, x, y)
    return f'<g class="{_CLASSES.get(mark.verdict, "valid")}"><title>{about}</title>{whisker}{form}</g>'


_CLASSES: Final = {"valid": "valid", "unstable": "unstable", "invalid": "invalid"}


def _form(verdict: str, x: float, y: float) -> str:
    """A circle, a triangle or a cross: forms are told apart where colours are not."""
    if verdict == "unstable":
        return f'<path d="M{x:.1f} {y - 5.5:.1f}l5.2 9h-10.4z"/>'
    if verdict == "invalid":
        return f'<path class="cross" d="M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'


def verdict_key(verdict: str) -> str:
    """The mark of a verdict, for a legend; the word stands beside it."""
    mark = f'<g class="{_CLASSES[verdict]}">{_form(verdict, 7, 7)}</g>'
    return f'<svg class="key" viewBox="0 0 14 14" aria-hidden="true">{mark}</svg>'


def _short(value: float) -> str:
    """Four significant digits, with separators and no exponent below a thousand billions."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"
