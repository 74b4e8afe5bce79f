"""What a check found."""

from typing import Literal

from msgspec import Struct

State = Literal["ok", "warning", "failed", "skipped"]


class Finding(Struct, frozen=True):
    """One check: what was looked at, how it is, and in a line what was seen and what to do."""

    what: str
    state: State
    line: str
