"""Faults that a test may ask a soft board for; none unless asked."""

from typing import Literal, get_args

FaultName = Literal[
    "reset-mid-run", "hang", "bad-crc", "lose-group", "lose-end", "babble", "noise", "wrong-version", "gone"
]


class FaultError(ValueError):
    """A fault that there is not; the text is one line."""


class Faults:
    """How often each fault is still to happen."""

    def __init__(self, left: dict[FaultName, int] | None = None) -> None:
        self._left = dict(left or {})

    def take(self, name: FaultName) -> bool:
        """Whether the fault happens now; counts it down."""
        left = self._left.get(name, 0)
        if left:
            self._left[name] = left - 1
        return left > 0


def parse_fault(text: str) -> tuple[FaultName, int]:
    """`name` or `name:count` as it stands on a command line. Raises FaultError."""
    wanted, _, count = text.partition(":")
    if count and not count.isdecimal():
        raise FaultError(f"{text!r}: the count of a fault is a number")
    for name in get_args(FaultName):
        if name == wanted:
            return name, int(count or 1)
    raise FaultError(f"there is no fault {wanted!r}; there are {', '.join(get_args(FaultName))}")
