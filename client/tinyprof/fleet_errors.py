"""What goes wrong with a fleet: it could not be asked, or what it was to be asked can never be."""


class FleetError(RuntimeError):
    """The fleet could not be asked; the message is one line that says what to do."""


class BadArgument(FleetError, ValueError):
    """An argument that cannot be used, whatever the fleet is like; the line names it and what may be given."""


def check_range(name: str, value: float | None, low: float, high: float) -> None:
    """Nothing where `value` is None or within `low` and `high`, inclusive. Raises BadArgument."""
    if value is not None and not low <= value <= high:
        raise BadArgument(f"{name} {value} is out of range: from {low:,} to {high:,}")
