"""Plots out of characters: a sparkline of blocks, and a curve of braille dots."""

from collections.abc import Sequence
from dataclasses import dataclass

_BLOCKS = "▁▂▃▄▅▆▇█"
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
DOTS_ACROSS, DOTS_DOWN = 2, 4
_LEAST_SPAN = 0.2
_FARTHEST, _NEAREST = 1e150, 1e-150


def spark(values: Sequence[float], width: int) -> str:
    """The newest `width` values as blocks, right-aligned.

    Their range is at least a fifth of the greatest value, so that noise stays calm, at half height.
    """
    shown = [_tame(value) for value in values[-width:]] if width > 0 else []
    if not shown:
        return " " * max(width, 0)
    low, high = min(shown), max(shown)
    span = max(high - low, abs(high) * _LEAST_SPAN)
    if span == 0:
        return (_BLOCKS[0] * len(shown)).rjust(width)
    low = (low + high - span) / 2
    axis = Axis(low, low + span)
    return "".join(_BLOCKS[axis.at(value, len(_BLOCKS))] for value in shown).rjust(width)


@dataclass(frozen=True, slots=True)
class Axis:
    """The range that a plot shows; `high` is greater than `low`."""

    low: float
    high: float

    def at(self, value: float, steps: int) -> int:
        """The step, 0 to `steps` - 1, that `value` falls on."""
        span = self.high - self.low
        place = (_tame(value) - self.low) / span * (steps - 1) if span > 0 else 0.0
        return min(steps - 1, max(0, round(place)))


def axis_of(values: Sequence[float], *, margin: float = 0.05) -> Axis:
    """An axis that holds all `values`; one that do not differ lie in the middle."""
    low, high = _tame(min(values)), _tame(max(values))
    pad = (high - low) * margin or abs(high) * 0.1 or 1.0
    return Axis(low - pad, high + pad)


def _tame(value: float) -> float:
    """Far enough from the ends of what a float holds that differences and ratios stay finite, and zero where tiny."""
    return max(-_FARTHEST, min(_FARTHEST, value)) if abs(value) > _NEAREST else 0.0


def curve(points: Sequence[tuple[float, float]], across: Axis, up: Axis, width: int, height: int) -> list[str]:
    """The points joined by lines, as `height` strings of `width` braille characters, the top one first."""
    columns, rows = width * DOTS_ACROSS, height * DOTS_DOWN
    cells = [[0] * width for _ in range(height)]
    before: tuple[int, int] | None = None
    for x, y in points:
        here = across.at(x, columns), rows - 1 - up.at(y, rows)
        for column, row in _line(before or here, here):
            cells[row // DOTS_DOWN][column // DOTS_ACROSS] |= _DOTS[column % DOTS_ACROSS][row % DOTS_DOWN]
        before = here
    return ["".join(chr(_BRAILLE + cell) if cell else " " for cell in line) for line in cells]


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    (x0, y0), (x1, y1) = start, end
    steps = max(abs(x1 - x0), abs(y1 - y0))
    if steps == 0:
        return [end]
    return [(round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps)) for i in range(steps + 1)]
