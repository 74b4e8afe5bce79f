"""What a sample configuration shows of a key: its value, and whether the line is commented out."""

import re
import tomllib
from pathlib import Path
from typing import Any


def shown(path: Path) -> dict[str, tuple[Any, bool]]:
    """From each key, such as `store.sqlite.path`, to its value and whether it is set; the first showing counts."""
    found: dict[str, tuple[Any, bool]] = {}
    table = ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[+([\w.]+)\]+", line):
            table = header[1] + "."
        elif key := re.fullmatch(r"(# )?(\w+) = (.+)", line):
            found.setdefault(table + key[2], (tomllib.loads(f"value = {key[3]}")["value"], key[1] is None))
    return found
