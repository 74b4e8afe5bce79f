"""What commands print: data on stdout, progress and errors on stderr."""

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TextIO

import click

DRAW_EVERY_S = 0.1


class CheckFailed(click.ClickException):
    """A check that a command was asked to make failed: one line on stderr, exit 1."""

    exit_code = 1


class WrongUse(click.ClickException):
    """An argument or a configuration that cannot be used: one line on stderr, exit 2."""

    exit_code = 2


def emit_json(value: object) -> None:
    """One JSON value on a line of stdout; structs become objects and bytes hexadecimal."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """A value of dicts, lists, numbers and text, from structs and bytes."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "__struct_fields__"):
        fields = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        tag = value.__struct_config__.tag
        return {value.__struct_config__.tag_field: tag, **fields} if tag else fields
    return value


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> str:
    """Aligned columns; `right` has an `r` at the place of each column to align on the right."""
    if not rows:
        return ""
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if right[index : index + 1] == "r" else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def one_line(text: str) -> str:
    """Text of any source as one printable line: control characters, which could drive a terminal, become spaces."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class ProgressLine:
    """One line on stderr that is written over; silent where stderr is no terminal.

    Drawn at most ten times a second: what is measured meanwhile must not wait for a terminal.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._drawn_s = float("-inf")
        self._shown = self._stream.isatty()
        self._drawn = False

    def show(self, text: str) -> None:
        """Replaces the line, unless the last one is too new."""
        now_s = self._clock()
        if not self._shown or now_s - self._drawn_s < DRAW_EVERY_S:
            return
        self._drawn_s = now_s
        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[2K" + one_line(text)[: max(10, width)])
        self._stream.flush()
        self._drawn = True

    def clear(self) -> None:
        """Takes the line away, before anything else is printed."""
        if self._drawn:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


class _CurrentStderr(logging.Handler):
    """Writes to what `sys.stderr` is at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


def set_up_logging(verbosity: int) -> None:
    """Logs errors to stderr. LOG_LEVEL says from which level on; -v and -vv go before it. Raises WrongUse."""
    wanted = os.environ.get("LOG_LEVEL", "").strip().upper()
    level = logging.getLevelNamesMapping().get(wanted) if wanted else None
    if wanted and level is None:
        raise WrongUse(f"LOG_LEVEL {wanted!r} is no level: write DEBUG, INFO, WARNING or ERROR")
    chosen = {0: level or logging.ERROR, 1: logging.INFO}.get(verbosity, logging.DEBUG)
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _CurrentStderr)]:
        root.removeHandler(old)
    handler = _CurrentStderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    root.setLevel(chosen)
