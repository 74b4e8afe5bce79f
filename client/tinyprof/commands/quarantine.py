"""`tinyprof quarantine list|show|replay`: messages and records that could not be taken."""

import datetime as dt
from typing import TYPE_CHECKING

import click

from tinyprof.options import broker_address, broker_option, json_option, node_option
from tinyprof.terminal import CheckFailed, emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof.fleet_answers import FleetQuarantine

ITEM_NUMBER = click.IntRange(0)
ITEM_NUMBER.name = "item number"
collector_option = click.option("--collector", metavar="ID", help="Ask this collector alone.")


@click.group("quarantine")
def command() -> None:
    """Shows what could not be taken.

    Nothing that arrives is thrown away in silence: it can be listed, shown and replayed.
    """


@command.command("list")
@node_option("Of one agent alone.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500), help="At most so many items.")
@collector_option
@broker_option
@json_option
def list_items(broker: str | None, as_json: bool, collector: str | None, node: str | None, limit: int) -> None:
    """Lists what is kept, with the reasons."""
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet:
        found = fleet.quarantine("list", node=node, collector=collector, limit=limit)
    replies = found.collectors
    if as_json:
        emit_json({"collectors": replies, "gaps": found.gaps})
        return
    rows = []
    for name, reply in sorted(replies.items()):
        for item in reply.items:
            when = dt.datetime.fromtimestamp(item.time_ns / 1e9).astimezone()
            where = one_line(item.node) or "-"
            seq = "message" if item.seq is None else str(item.seq)
            sizes = (str(item.size_bytes), str(item.repeats))
            rows.append((name, str(item.item), f"{when:%Y-%m-%d %H:%M:%S}", where, seq, *sizes, one_line(item.reason)))
    if rows:
        head = ("collector", "item", "time", "node", "seq", "bytes", "seen", "reason")
        click.echo(table(head, rows, right="lrllrrrl"))
    total = sum(reply.total for reply in replies.values())
    discarded = sum(reply.discarded for reply in replies.values())
    click.echo(f"{total} in quarantine, {discarded} discarded for want of room", err=True)
    _tell_gaps(found)


@command.command("show")
@click.argument("item", type=ITEM_NUMBER)
@collector_option
@broker_option
@json_option
def show(item: int, broker: str | None, as_json: bool, collector: str | None) -> int:
    """Shows one item with its bytes."""
    from tinyprof.fleet import Fleet
    from tinyprof_protocol.counts_text import some

    with Fleet(broker_address(broker)) as fleet:
        replies = fleet.quarantine("show", item=item, collector=collector).collectors
    found = [one for reply in replies.values() for one in reply.items]
    if not found:
        raise _not_there(item)
    if as_json:
        emit_json(found[0])
        return 0
    one = found[0]
    about = f"{one_line(one.topic)}, {some(one.size_bytes, 'byte')}, seen {one.repeats}x"
    click.echo(f"item {one.item}: {one_line(one.reason)}\n{about}")
    data = one.data or b""
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        click.echo(f"{offset:06x}  {row.hex(' '):<47}  {text}")
    return 0


@command.command("replay")
@click.argument("item", type=ITEM_NUMBER, required=False)
@node_option("Everything of one agent.")
@click.option("--all", "everything", is_flag=True, help="Everything that is kept.")
@collector_option
@broker_option
@json_option
def replay(
    item: int | None, node: str | None, everything: bool, broker: str | None, as_json: bool, collector: str | None
) -> int:
    """Judges items anew.

    ITEM, or with --node or --all many: what can be taken now goes to the stores.
    """
    from tinyprof.fleet import Fleet

    if sum((item is not None, node is not None, everything)) != 1:
        raise click.UsageError("name one ITEM, or give --node or --all")
    with Fleet(broker_address(broker)) as fleet:
        found = fleet.quarantine("replay", item=item, node=node, collector=collector)
    replies = found.collectors
    replayed = sum(reply.replayed for reply in replies.values())
    stored = sum(reply.stored for reply in replies.values())
    if item is not None and not replayed:
        raise _not_there(item)
    if as_json:
        emit_json({"replayed": replayed, "stored": stored, "collectors": replies, "gaps": found.gaps})
    else:
        click.echo(f"{replayed} replayed, {stored} stored, {replayed - stored} back in quarantine")
        for reply in replies.values():
            for one in reply.items:
                click.echo(f"item {one.item}: {one_line(one.reason)}", err=True)
        _tell_gaps(found)
    return 0 if stored == replayed and not found.gaps else 1


def _tell_gaps(found: "FleetQuarantine") -> None:
    for gap in found.gaps:
        click.echo(f"incomplete: {gap}", err=True)


def _not_there(item: int) -> CheckFailed:
    return CheckFailed(f"no item {item} is in quarantine; list them with 'tinyprof quarantine list'")
