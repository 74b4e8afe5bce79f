"""Partitions on the command line: `0-7`, `3`, `0-3,8-11`."""

import click


def partitions_given(
    _ctx: click.Context | None, _parameter: click.Parameter | None, text: str | None
) -> list[int] | None:
    """The partitions that numbers and ranges, separated by commas, name. Raises click.BadParameter."""
    from tinyprof_protocol.names import PARTITIONS

    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = [first, last] if dash else [first]
        if not all(number.isascii() and number.isdecimal() and int(number) < PARTITIONS for number in numbers):
            raise click.BadParameter(
                f"{part!r} is no partition and no range of them, such as 0-7 of 0-{PARTITIONS - 1}"
            )
        if int(numbers[-1]) < int(first):
            raise click.BadParameter(f"{part!r} is turned round")
        found |= set(range(int(first), int(numbers[-1]) + 1))
    return sorted(found)
