"""Rows into SQLite, many to a step.

Python lets go of its interpreter lock for each step of a statement. With one row to a step, a thread that waits for
that lock is woken for each row and mostly finds it taken again, which costs more than the row.
"""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

ROWS_OF_A_STEP = 64


def write_rows(connection: sqlite3.Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """As `executemany`, for a statement with one row of VALUES, `(?, ?)`, in it. Raises what `executemany` raises."""
    whole = len(rows) - len(rows) % ROWS_OF_A_STEP
    for at in range(0, whole, ROWS_OF_A_STEP):
        values = tuple(chain.from_iterable(rows[at : at + ROWS_OF_A_STEP]))
        connection.execute(_for_many(statement, len(rows[0])), values)
    if whole < len(rows):
        connection.executemany(statement, rows[whole:])


@lru_cache(maxsize=16)
def _for_many(statement: str, columns: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.replace(row, ", ".join([row] * ROWS_OF_A_STEP))
