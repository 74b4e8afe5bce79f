"""A file that is there whole or not at all: it is written beside its place and put there at the end."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def output_file(path: Path | None) -> Iterator[BinaryIO]:
    """A stream for the file; stdout for None. What goes wrong, or an interrupt, leaves the old file as it was.

    Raises OSError, also where the last bytes cannot be written.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.is_dir():
        raise IsADirectoryError(21, "is a directory: name a file in it", str(path))
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _opened(beside, path) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _opened(beside: Path, path: Path) -> BinaryIO:
    try:
        return beside.open("wb")
    except OSError as why:
        raise OSError(why.errno, why.strerror, str(path)) from None
