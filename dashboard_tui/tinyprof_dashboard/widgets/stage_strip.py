"""The stages from board to store, side by side, with an arrow from each to the next."""

from collections.abc import Sequence

from rich.text import Text
from textual.widget import Widget

from tinyprof_dashboard.numerals import clip
from tinyprof_dashboard.palette import SYMBOLS, ink
from tinyprof_dashboard.pipeline.stages import Stage, Verdict
from tinyprof_dashboard.pipeline.words import verdict_lines

ARROWS = (" ──▶  ", " ──✖  ")
SHORT_ARROWS = (" ▶ ", " ✖ ")
"""As it flows, and where it is stuck."""
NARROW = 100
STAGE_LINES = 4


class StageStrip(Widget):
    """Four lines of stages and two that say where the flow is stuck."""

    DEFAULT_CSS = "StageStrip { height: 8; padding: 1 1 1 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._stages: Sequence[Stage] = ()
        self._verdict = Verdict("stale", None, "")

    def show(self, stages: Sequence[Stage], verdict: Verdict) -> None:
        """Shows these."""
        if (stages, verdict) != (self._stages, self._verdict):
            self._stages, self._verdict = stages, verdict
            self.refresh()

    def render(self) -> Text:
        """Names, states, what each holds; then the verdict."""
        width = self.content_size.width
        arrows = ARROWS if width >= NARROW else SHORT_ARROWS
        cell = max(8, (width - len(arrows[0]) * (len(self._stages) - 1)) // max(1, len(self._stages)))
        lines = [Text(no_wrap=True) for _ in range(STAGE_LINES)]
        for place, stage in enumerate(self._stages):
            stuck = stage.name == self._verdict.stage
            if place:
                # What is stuck at the agents does not leave them; what is stuck further on does not come in there.
                broken = self._verdict.stage == "agents" and self._stages[place - 1].name == "agents"
                broken = broken or (stuck and stage.name != "agents")
                self._between(lines, arrows[broken], stuck=broken)
            lines[0].append(clip(stage.name, cell), ink(stage.health if stuck else "dim"))
            lines[1].append(clip(f"{SYMBOLS[stage.health]} {stage.word}", cell), ink(stage.health))
            for line, text in zip(lines[2:], (*stage.lines, "", "")[:2], strict=True):
                line.append(clip(text, cell), ink("text"))
        told = verdict_lines(self._verdict, width, max(1, self.content_size.height - STAGE_LINES))
        return Text("\n", no_wrap=True).join([*lines, *told])

    def _between(self, lines: Sequence[Text], arrow: str, *, stuck: bool) -> None:
        for place, line in enumerate(lines):
            if place == 1:
                line.append(arrow, ink(self._verdict.level if stuck else "faint"))
            else:
                line.append(" " * len(arrow))
