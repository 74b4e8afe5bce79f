"""What goes wrong with a fleet: it could not be asked, or what it was to be asked can never be."""

from typing import get_type_hints


class FleetError(RuntimeError):
    """The fleet could not be asked; the message is one line that says what to do."""


class BadArgument(FleetError, ValueError):
    """An argument that cannot be used, whatever the fleet is like; the line names it and what may be given."""


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Nothing where `value` is None or within `low` and `high`, inclusive. Raises BadArgument."""
    if value is not None and not low <= value <= high:
        raise BadArgument(f"{name} {value} is out of range: from {low:,} to {high:,}")


def check_limit(request: type, name: str, value: int) -> None:
    """Nothing where a request of the type may have such a `limit`. Raises BadArgument, with the argument's `name`."""
    (bounds,) = get_type_hints(request, include_extras=True)["limit"].__metadata__
    check_range(name, value, bounds.ge, bounds.le)
