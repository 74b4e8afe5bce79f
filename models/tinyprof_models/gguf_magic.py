"""Whether a file can be a GGUF at all, told without numpy and without reading more than its first bytes."""

from pathlib import Path
from typing import Final

MAGIC: Final = b"GGUF"
"""The first bytes of every GGUF file (ggml, docs/gguf.md)."""


def why_no_gguf(path: Path) -> str | None:
    """What speaks against a GGUF file, in one line that names the file; None where its first bytes are right.

    Raises OSError where it cannot be read.
    """
    with path.open("rb") as file:
        begins = file.read(len(MAGIC))
    return None if begins == MAGIC else f"{path}: is cut short or no GGUF file: it does not begin with 'GGUF'"
