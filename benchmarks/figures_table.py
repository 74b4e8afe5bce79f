"""Measured figures as lines for a person."""

from typing import Any


def table(measured: dict[str, Any], indent: str = "") -> str:
    """A line a figure; those of a part stand indented below its name."""
    lines = []
    for name, value in measured.items():
        lines.append(f"{indent}{name}:" if isinstance(value, dict) else f"{indent}{name:34} {value}")
        if isinstance(value, dict):
            lines.append(table(value, indent + "  "))
    return "\n".join(lines)
