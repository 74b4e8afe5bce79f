"""The lines above the table: where we are, what is down, and how the fleet is."""

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from tinyprof_dashboard.availability import HEALTHS
from tinyprof_dashboard.banners import MAX_SHOWN, Banner
from tinyprof_dashboard.events import LinkChanged
from tinyprof_dashboard.palette import SYMBOLS, ink
from tinyprof_protocol.presence import Health


def way(*places: str) -> Text:
    """The left of a head below the fleet: where one is, the last place marked."""
    text = Text("tinyprof ", ink("strong"), no_wrap=True).append("▸ fleet ▸ ", ink("dim"))
    text.append("".join(f"{place} ▸ " for place in places[:-1]), ink("dim"))
    return text.append(places[-1], ink("accent"))


def link_sign(link: LinkChanged, broker: str) -> Text:
    """The right of a head: the broker, and whether it is there, is not, or is still waited for."""
    role, mark = ("healthy", "●") if link.connected else ("critical", "✖") if link.error else ("dim", "…")
    return Text(f"{mark} ", ink(role), no_wrap=True).append(broker, ink("dim"))


class TopBar(Widget):
    """One line: the way here on the left, the state of things on the right."""

    DEFAULT_CSS = "TopBar { height: 1; background: $panel; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._left, self._right = Text(), Text()

    def show(self, left: Text, right: Text) -> None:
        """Shows these two."""
        if (left, right) != (self._left, self._right):
            self._left, self._right = left, right
            self.refresh()

    def render(self) -> Text:
        """The line; where there is no room for both, the right end goes first."""
        width = self.content_size.width
        room = width - self._left.cell_len - 2
        right = self._right if self._right.cell_len <= room else Text()
        line = self._left.copy()
        line.truncate(width, overflow="ellipsis")
        line.append(" " * max(0, width - line.cell_len - right.cell_len))
        return line.append_text(right)


class Banners(Static):
    """A line for each dependency that is down, and no line at all where nothing is."""

    DEFAULT_CSS = """
    Banners { height: auto; display: none; text-wrap: nowrap; text-overflow: ellipsis; }
    Banners.-some { display: block; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._shown: Sequence[Banner] = ()

    def show(self, found: Sequence[Banner]) -> None:
        """Shows the worst of these."""
        if list(found) == list(self._shown):
            return
        self._shown = list(found)
        self.set_class(bool(found), "-some")
        lines = [_banner_line(banner) for banner in found[:MAX_SHOWN]]
        if len(found) > MAX_SHOWN:
            lines.append(Text(f"   and {len(found) - MAX_SHOWN} more", ink("dim")))
        self.update(Text("\n").join(lines))


def _banner_line(banner: Banner) -> Text:
    background = "#33201a" if banner.level == "critical" else "#2d2818"
    line = Text(no_wrap=True, overflow="ellipsis", style=ink("text", background))
    line.append(f" {SYMBOLS[banner.level]} {banner.subject} ", ink(banner.level, background))
    return line.append(f" {banner.text} ")


class SummaryStrip(Widget):
    """How many boards are in each state, and their shares as a bar; a click on a state chooses it."""

    DEFAULT_CSS = "SummaryStrip { height: 3; padding: 1 1 0 1; }"

    class Picked(Message):
        """A state was clicked."""

        def __init__(self, health: Health) -> None:
            super().__init__()
            self.health: Health = health

    def __init__(self) -> None:
        super().__init__()
        self._counts: Mapping[Health, int] = {}
        self._chosen: frozenset[Health] = frozenset()

    def show(self, counts: Mapping[Health, int], chosen: frozenset[Health]) -> None:
        """Shows these counts; the chosen states are underlined."""
        if (dict(counts), chosen) != (dict(self._counts), self._chosen):
            self._counts, self._chosen = counts, chosen
            self.refresh()

    def render(self) -> Text:
        """Counts over shares."""
        line = Text(no_wrap=True)
        for health, label in self._labels():
            count = self._counts.get(health, 0)
            style = ink(health if count else "faint")
            line.append(label, style + _UNDERLINED if health in self._chosen else style).append("   ")
        line.rstrip()
        return line.append("\n").append_text(_shares(self._counts, self.content_size.width))

    def _labels(self) -> list[tuple[Health, str]]:
        return [(health, f"{SYMBOLS[health]} {self._counts.get(health, 0)} {health}") for health in HEALTHS]

    def on_click(self, event: events.Click) -> None:
        """Finds the state under the pointer."""
        place = event.get_content_offset(self)
        if place is None or place.y != 0:
            return
        left = 0
        for health, label in self._labels():
            if left <= place.x < left + len(label):
                self.post_message(self.Picked(health))
                return
            left += len(label) + 3


_UNDERLINED = ink("text").__class__(underline=True, bold=True)


def _shares(counts: Mapping[Health, int], width: int) -> Text:
    total = sum(counts.values())
    if total == 0 or width <= 0:
        return Text("─" * width, ink("faint"))
    present = [health for health in HEALTHS if counts.get(health)]
    cells = {health: max(1, counts[health] * width // total) for health in present}
    largest = max(present, key=lambda health: cells[health])
    cells[largest] = max(1, cells[largest] + width - sum(cells.values()))
    bar = Text(no_wrap=True)
    for health in present:
        bar.append(_STROKES[health] * cells[health], ink(health))
    bar.truncate(width)
    return bar


_STROKES: dict[Health, str] = {"healthy": "━", "warning": "╍", "critical": "═", "stale": "┄", "offline": "┈"}
