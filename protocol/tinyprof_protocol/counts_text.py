"""How counts of things are written for people, the same everywhere: `1 record`, `1,204 records`."""


def noun(count: int, what: str) -> str:
    """The singular `what` as it stands beside a count: `board`, `boards`; `entries`, `batches`."""
    if count == 1:
        return what
    if what.endswith("epoch"):
        return f"{what}s"
    if what.endswith("y") and what[-2:-1] not in "aeiou":
        return f"{what[:-1]}ies"
    return f"{what}es" if what.endswith(("ch", "sh", "s", "x")) else f"{what}s"


def some(count: int, what: str) -> str:
    """A count with its thousands apart, and the singular `what` as it stands beside it."""
    return f"{count:,} {noun(count, what)}"
