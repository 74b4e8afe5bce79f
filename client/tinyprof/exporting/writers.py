"""Rows as bytes of a format, as they come: no writer holds more than a batch of them."""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Final, Protocol

from tinyprof.exporting.rows import Column, Value

BATCH_ROWS: Final = 1000
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")


class MissingPackage(RuntimeError):
    """A format that needs a package which is not installed; the message says what to install."""


class Writer(Protocol):
    """Takes rows; what was taken is all in the stream after `close`."""

    def write(self, rows: Sequence[Mapping[str, Value]]) -> None:
        """Takes rows. Raises OSError."""

    def close(self) -> None:
        """Writes what is left and the format's end; the stream stays open. Raises OSError."""


class CsvWriter:
    """CSV (RFC 4180, UTF-8) with a line of names; what is not known is empty."""

    def __init__(self, stream: BinaryIO, columns: Sequence[Column]) -> None:
        self._stream = stream
        self._names = [column.name for column in columns]
        self._text = io.StringIO()
        self._csv = csv.writer(self._text)
        self._csv.writerow(self._names)

    def write(self, rows: Sequence[Mapping[str, Value]]) -> None:
        """Takes rows. Raises OSError."""
        self._csv.writerows([_cell(row.get(name)) for name in self._names] for row in rows)
        self.close()

    def close(self) -> None:
        """Writes what is left. Raises OSError."""
        self._stream.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()


class JsonLinesWriter:
    """A JSON object a line; what is not known is left out."""

    def __init__(self, stream: BinaryIO, _columns: Sequence[Column]) -> None:
        self._stream = stream

    def write(self, rows: Sequence[Mapping[str, Value]]) -> None:
        """Takes rows. Raises OSError."""
        lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        self._stream.write("".join(lines).encode())

    def close(self) -> None:
        """Nothing is left."""


class ParquetWriter:
    """Apache Parquet, a row group for each thousand rows."""

    def __init__(self, stream: BinaryIO, columns: Sequence[Column]) -> None:
        """Raises MissingPackage."""
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ModuleNotFoundError:
            raise MissingPackage("parquet needs the package pyarrow: pip install 'tinyprof[parquet]'") from None
        self._pyarrow: Any = pa
        kinds = {
            "text": pa.string(),
            "int": pa.int64(),
            "float": pa.float64(),
            "bool": pa.bool_(),
            "time": pa.timestamp("us", tz="UTC"),
        }
        self._times = [column.name for column in columns if column.kind == "time"]
        self._schema = pa.schema([(column.name, kinds[column.kind]) for column in columns])
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._waiting: list[dict[str, Any]] = []

    def write(self, rows: Sequence[Mapping[str, Value]]) -> None:
        """Takes rows. Raises OSError."""
        for row in rows:
            times = {name: dt.datetime.fromisoformat(str(row[name])) for name in self._times if name in row}
            self._waiting.append({**row, **times})
        if len(self._waiting) >= BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        """Writes what is left and the footer. Raises OSError."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._pyarrow.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting.clear()


WRITERS: Final[dict[str, Callable[[BinaryIO, Sequence[Column]], Writer]]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}


def _cell(value: Value) -> Value:
    """What a spreadsheet would take for a formula gets an apostrophe in front: names come from anybody's firmware."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
