"""A table of the screen as plain text, as wide as its contents."""

from collections.abc import Sequence
from typing import TypeVar

from tinyprof_dashboard import numerals
from tinyprof_dashboard.columns import Column, Moment

R = TypeVar("R")


def plain_columns(columns: Sequence[Column[R]], rows: Sequence[R], moment: Moment) -> list[str]:
    """The titles and a line for each row."""
    cells = [[numerals.printable(column.cell(row, moment).text) for column in columns] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(len(line[place]) for line in [titles, *cells]) for place in range(len(columns))]
    return [
        "  ".join(
            numerals.clip(cell, width, right=column.right)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in [titles, *cells]
    ]
