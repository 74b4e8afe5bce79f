"""A metric over time, drawn with braille dots."""

from collections.abc import Sequence
from statistics import median

from rich.text import Text
from textual.widget import Widget

from tinyprof_dashboard import numerals
from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.palette import ink
from tinyprof_dashboard.plot import Axis, axis_of, curve
from tinyprof_protocol.requests import Point

_LABEL_CELLS = 9


class PlotPanel(Widget):
    """A curve with its axes, or a line that says why there is none."""

    DEFAULT_CSS = "PlotPanel { width: 1fr; height: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._metric = ""
        self._points: Sequence[Point] = ()
        self._notice = ""
        self._now_ns = 0

    def show(self, metric: str, points: Sequence[Point], notice: str, now_ns: int) -> None:
        """Shows these points, oldest first; `notice` is one line beside them, or instead of them."""
        self._metric, self._points, self._notice, self._now_ns = metric, points, notice, now_ns
        self.refresh()

    def render(self) -> Text:
        """Title, curve, time axis."""
        size = self.content_size
        head = self._head()
        head.truncate(size.width, overflow="ellipsis")
        height, width = size.height - 2, size.width - _LABEL_CELLS - 2
        if len(self._points) < 2 or height < 2 or width < 8:
            return head.append("\n\n").append(self._why_empty(), ink("dim"))
        return head.append("\n").append_text(self._plot(width, height))

    def _why_empty(self) -> str:
        if self._notice:
            return self._notice
        return "a plot needs two runs at least" if len(self._points) < 2 else "no room for a plot"

    def _head(self) -> Text:
        head = Text(no_wrap=True)
        head.append(numerals.label(self._metric), ink("strong"))
        head.append(f" {numerals.unit(self._metric)}".rstrip(), ink("dim"))
        if self._points:
            values = [point.value for point in self._points]
            for what, value in (("min", min(values)), ("median", median(values)), ("max", max(values))):
                head.append(f"   {what} ", ink("faint")).append(numerals.amount(self._metric, value), ink("text"))
            head.append(f"   {numerals.some(len(values), 'run')}", ink("faint"))
            if self._notice:
                head.append(f"   {self._notice}", ink("warning"))
        return head

    def _plot(self, width: int, height: int) -> Text:
        places = [(float(point.time_ns), point.value) for point in self._points]
        up = axis_of([value for _, value in places])
        oldest, newest = places[0][0], max(time for time, _ in places)
        lines = curve(places, Axis(oldest, max(newest, oldest + 1)), up, width, height)
        labels = {0: up.high, height - 1: up.low}
        if height >= 5:
            labels[height // 2] = (up.high + up.low) / 2
        text = Text(no_wrap=True)
        for index, line in enumerate(lines):
            label = numerals.amount(self._metric, labels[index]) if index in labels else ""
            tick = "┤" if index in labels else "│"
            text.append(numerals.clip(label, _LABEL_CELLS, right=True), ink("dim"))
            text.append(f" {tick}", ink("faint")).append(line, ink("accent")).append("\n")
        return text.append_text(self._time_axis(oldest, newest, width))

    def _time_axis(self, oldest: float, newest: float, width: int) -> Text:
        start, end = (f"{numerals.age((self._now_ns - t) / SECOND_NS)} ago" for t in (oldest, newest))
        middle = "─" * max(0, width - len(start) - len(end) - 2)
        return Text(" " * (_LABEL_CELLS + 1) + f"└{start} {middle} {end}", ink("faint"), no_wrap=True)
