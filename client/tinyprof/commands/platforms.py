"""`tinyprof platforms [NAME]`: what is known of boards before anything is measured."""

from typing import TYPE_CHECKING, Any

import click

from tinyprof.options import json_option
from tinyprof.terminal import WrongUse, emit_json, table

if TYPE_CHECKING:
    from tinyprof_platforms.catalogue import Figure, Platform

HEAD = ("platform", "cpu", "clock MHz", "RAM KiB", "flash KiB", "where", "weights MB/s", "int8 MAC/clock")
FIGURES = (
    ("clock_hz", "clock, Hz"),
    ("weights_bytes_s", "weights, bytes/s"),
    ("cache_bytes", "cache of weights, bytes"),
    ("ram_bytes_s", "RAM, bytes/s"),
    ("int8_macs_per_cycle", "int8 MACs a clock"),
    ("float_macs_per_cycle", "float MACs a clock"),
)


@click.command("platforms")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """Lists the platforms that are known.

    With NAME, one of them with each figure's source; `host` is this machine.
    """
    from tinyprof_platforms.catalogue import CatalogueError, find_platform, read_host, shipped_platforms

    platforms = {**shipped_platforms(), "host": read_host()}
    if name is not None:
        try:
            key, one = (name, platforms[name]) if name in platforms else find_platform(name)
        except CatalogueError as why:
            raise WrongUse(str(why)) from None
        platforms = {key: one}
    if as_json:
        emit_json({"platforms": {key: _as_json(one) for key, one in platforms.items()}})
    elif name is not None:
        click.echo("\n".join(_described(key, one)))
    else:
        click.echo(table(HEAD, [_row(key, one) for key, one in platforms.items()], right="llrrrlrr"))


def _as_json(one: "Platform") -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(one)
    return plain | {"ram_bytes": one.ram_bytes}


def _row(key: str, one: "Platform") -> tuple[str, ...]:
    flash = f"{one.flash.bytes // 1024:,}" if one.flash.bytes else "-"
    return (
        key,
        one.cpu,
        _scaled(one.clock_hz, 1e6),
        f"{one.ram_bytes // 1024:,}",
        flash,
        one.flash.where if one.flash.bytes else "-",
        _scaled(one.weights_bytes_s, 1e6),
        _scaled(one.int8_macs_per_cycle, 1),
    )


def _scaled(figure: "Figure | None", unit: float) -> str:
    return "-" if figure is None else f"{figure.value / unit:,.4g}" if unit == 1 else f"{figure.value / unit:,.0f}"


def _described(key: str, one: "Platform") -> list[str]:
    rows = [(f"RAM: {region.name}", f"{region.bytes:,}", _use(region.usable, region.source)) for region in one.ram]
    if one.flash.bytes:
        rows.append((f"flash, {one.flash.where}", f"{one.flash.bytes:,}", one.flash.source))
    for name, label in FIGURES:
        figure = getattr(one, name)
        rows.append((label, "-", "not known") if figure is None else (label, f"{figure.value:,.12g}", figure.source))
    also = f" (also {', '.join(one.aliases)})" if one.aliases else ""
    return [f"{key}{also}: {one.title}, {one.cpu}", "", table(("figure", "value", "source"), rows, right="lrl")]


def _use(usable: bool, source: str) -> str:
    return source if usable else f"not for the firmware; {source}"
