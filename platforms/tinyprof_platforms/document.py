"""The platform catalogue as a page: `python -m tinyprof_platforms.document > docs/platforms.md`."""

from collections.abc import Iterator

from tinyprof_platforms.catalogue import Platform, Platforms, shipped_platforms

_HEAD = """# Platforms

What is known of each platform before anything is measured, from `platforms/tinyprof_platforms/platforms.toml`. This
page is written from it (`python -m tinyprof_platforms.document > docs/platforms.md`), `tinyprof platforms` shows the
same, and `tinyprof fit` computes with it.

Every figure says where it is from: a document and its section; *derived* where we compute it from one; *estimate* where
no document says it. Rates are the most that one core can do, so that what follows from them are bounds and no promises:
the multiplications a clock count a multiplication and what unpacks its operands, not loads, loops and scales. RAM is
what one firmware may have in one piece; regions that it may not have are listed too.
"""

_FIGURES = (
    ("clock_hz", "clock, Hz"),
    ("weights_bytes_s", "reads of weights, bytes/s"),
    ("cache_bytes", "weights that can stay nearer to the core, bytes"),
    ("ram_bytes_s", "reads of RAM, bytes/s"),
    ("int8_macs_per_cycle", "int8 multiplications a clock"),
    ("float_macs_per_cycle", "float multiplications a clock"),
)


def markdown(platforms: Platforms) -> str:
    """The page."""
    return "\n".join([_HEAD, *(line for key, one in platforms.items() for line in _section(key, one))])


def _section(key: str, one: Platform) -> Iterator[str]:
    also = f", also {', '.join(f'`{alias}`' for alias in one.aliases)}" if one.aliases else ""
    yield f"## {one.title}\n"
    yield f"`{key}`{also}. {one.cpu}.\n"
    yield "| figure | value | source |\n|---|---:|---|"
    for region in one.ram:
        left = "" if region.usable else " (not for the firmware)"
        yield f"| RAM: {region.name}{left} | {region.bytes:,} | {region.source} |"
    if not one.has_system:
        yield f"| flash, {one.flash.where} | {one.flash.bytes:,} | {one.flash.source} |"
    for name, label in _FIGURES:
        figure = getattr(one, name)
        if figure is not None:
            yield f"| {label} | {figure.value:,.12g} | {figure.source} |"
    yield ""


if __name__ == "__main__":
    print(markdown(shipped_platforms()), end="")
