"""Many rows to a step: the same rows as one by one, in fewer steps, with the same errors."""

import sqlite3

import pytest

from tinyprof_collector.stores.sqlite_rows import ROWS_OF_A_STEP, write_rows

INSERT = "INSERT INTO pairs VALUES (?, ?)"
ADD = "UPDATE pairs SET value = value + new.column2 FROM (VALUES (?, ?)) AS new WHERE id = new.column1"


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute("CREATE TABLE pairs (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
    return made


def read(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    return connection.execute("SELECT id, value FROM pairs ORDER BY id").fetchall()


@pytest.mark.parametrize("count", [0, 1, ROWS_OF_A_STEP - 1, ROWS_OF_A_STEP, ROWS_OF_A_STEP + 1, 3 * ROWS_OF_A_STEP])
def test_every_row_is_written_once(connection: sqlite3.Connection, count: int) -> None:
    rows = [(number, number * 10) for number in range(count)]
    write_rows(connection, INSERT, rows)
    assert read(connection) == rows
    write_rows(connection, ADD, [(number, 1) for number in range(count)])
    assert read(connection) == [(number, value + 1) for number, value in rows]


def test_it_takes_a_step_for_many(connection: sqlite3.Connection) -> None:
    steps: list[str] = []
    connection.set_trace_callback(steps.append)
    write_rows(connection, INSERT, [(number, 0) for number in range(3 * ROWS_OF_A_STEP + 2)])
    assert len(steps) == 3 + 2


def test_a_row_that_breaks_a_rule_is_an_integrity_error(connection: sqlite3.Connection) -> None:
    rows: list[tuple[int, int | None]] = [(number, 0) for number in range(2 * ROWS_OF_A_STEP)]
    rows[3] = (3, None)
    with pytest.raises(sqlite3.IntegrityError):
        write_rows(connection, INSERT, rows)
    assert read(connection) == [], "a step is written whole or not at all"
