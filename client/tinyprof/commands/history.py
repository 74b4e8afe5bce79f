"""`tinyprof history BOARD METRIC`: values of a metric over time."""

import datetime as dt
import shutil
from typing import TYPE_CHECKING

import click

from tinyprof.options import broker_address, broker_option, json_option, to_seconds
from tinyprof.terminal import emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_protocol.jobs import Point


@click.command("history")
@click.argument("board")
@click.argument("metric")
@click.option("--since", "since_s", default="24h", show_default=True, callback=to_seconds, metavar="DURATION",
              help="How far back.")  # fmt: skip
@click.option("--limit", default=500, show_default=True, type=click.IntRange(1, 5000), help="At most so many values.")
@click.option("--plot", is_flag=True, help="Draw the values instead of listing them.")
@broker_option
@json_option
def command(board: str, metric: str, since_s: float, limit: int, plot: bool, broker: str | None, as_json: bool) -> None:
    """Shows a metric of a board over time.

    The values of METRIC on BOARD, oldest first, with their intervals and verdicts.
    """
    from tinyprof.fleet import Fleet
    from tinyprof.metric_names import UnknownMetric, check_metric
    from tinyprof.plot import draw
    from tinyprof.terminal import WrongUse

    try:
        unit = check_metric(metric).unit
    except UnknownMetric as why:
        raise WrongUse(str(why)) from None
    with Fleet(broker_address(broker)) as fleet:
        reply = fleet.history(board, metric, since_s, limit)
    if as_json:
        emit_json(
            {"board": board, "metric": metric, "unit": unit, "points": reply.points, "truncated": reply.truncated}
        )
        return
    if not reply.points:
        click.echo(f"{board} has no {metric} within that time", err=True)
    elif plot:
        width = min(120, shutil.get_terminal_size().columns)
        click.echo(f"{metric}, {unit}")
        click.echo("\n".join(draw([(point.time_ns, point.value) for point in reply.points], width, 12)))
    else:
        rows = [_row(point) for point in reply.points]
        click.echo(table(("time", f"{metric} {unit}", "low", "high", "verdict"), rows, right="lrrr"))
    if reply.truncated:
        click.echo(f"older values are left out; ask for more than {limit} with --limit", err=True)


def _row(point: "Point") -> tuple[str, ...]:
    when = dt.datetime.fromtimestamp(point.time_ns / 1e9).astimezone()
    bounds = ["-" if number is None else f"{number:.6g}" for number in (point.low, point.high)]
    return (f"{when:%Y-%m-%d %H:%M:%S}", f"{point.value:.6g}", *bounds, one_line(point.verdict) or "-")
