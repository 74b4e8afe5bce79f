"""A badge for a README: an SVG, or the JSON that shields.io draws one from. Pure; nothing is asked of the network."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

from tinyprof.formats.markdown import figure_text, worst_verdict
from tinyprof.terminal import one_line
from tinyprof_protocol.figures_text import unit
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Result

_COLOURS: Final = {"valid": "#2e7d32", "unstable": "#8a6d00", "invalid": "#b71c1c", "no run": "#616161"}
"""White text on each has a contrast of 4.5 or more."""
_CHARACTER: Final = 6.6
"""The mean width of a character of 11 px Verdana; the text is told to fill what is set aside for it."""
_PADDING: Final = 12


def badge_text(board: str, metric: str, runs: Sequence[Result]) -> tuple[str, str, str]:
    """What a badge says of a metric on a board: label, message and colour."""
    verdict = worst_verdict(runs)
    value = figure_text([one for one in runs if one.verdict != "invalid"], metric)
    message = f"{value} {unit(metric)}".strip() if value else verdict
    return one_line(f"{board} {METRICS[metric].label}"), message, _COLOURS[verdict]


def badge_endpoint(label: str, message: str, colour: str) -> dict[str, Any]:
    """The JSON of an endpoint badge of shields.io (schema version 1)."""
    return {"schemaVersion": 1, "label": label, "message": message, "color": colour}


def badge_svg(label: str, message: str, colour: str) -> str:
    """A flat badge as SVG, as wide as its text."""
    left, right = _width(label), _width(message)
    title = escape(f"{label}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{escape(colour)}"/></g>'
        '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(label, left / 2, left)}{_text(message, left + right / 2, right)}</g></svg>\n"
    )


def _width(text: str) -> int:
    return round(len(text) * _CHARACTER) + _PADDING


def _text(text: str, middle: float, width: int) -> str:
    return f'<text x="{middle:g}" y="14" textLength="{width - _PADDING}">{escape(text)}</text>'
