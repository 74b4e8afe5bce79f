"""`tinyprof history BOARD METRIC`: values of a metric over time."""

import datetime as dt
import shutil
from typing import TYPE_CHECKING

import click

from tinyprof.options import board_argument, broker_address, broker_option, json_option, metric_argument, to_seconds
from tinyprof.terminal import emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_protocol.requests import HistoryReply, Point
    from tinyprof_protocol.series import SeriesSeen

PROMPT_CHARACTERS = 24


@click.command("history")
@board_argument()
@metric_argument()
@click.option("--since", "since_s", default="24h", show_default=True, callback=to_seconds, metavar="DURATION",
              help="How far back.")  # fmt: skip
@click.option("--limit", default=500, show_default=True, type=click.IntRange(1, 5000), help="At most so many values.")
@click.option("--plot", is_flag=True, help="Draw the values instead of listing them.")
@click.option("--all", "every", is_flag=True, help="Runs of all suites, prompts and builds, and which each was.")
@broker_option
@json_option
def command(
    board: str, metric: str, since_s: float, limit: int, plot: bool, every: bool, broker: str | None, as_json: bool
) -> None:
    """Shows a metric of a board over time.

    The values of METRIC on BOARD, oldest first, with their intervals and verdicts. Only runs that can be compared: of
    the build, suite and prompts of the newest scheduled run.
    """
    from tinyprof.fleet import Fleet
    from tinyprof.metric_names import UnknownMetric, check_metric
    from tinyprof.plot import draw
    from tinyprof.terminal import WrongUse
    from tinyprof_protocol.series import ALL_SERIES

    try:
        unit = check_metric(metric).unit
    except UnknownMetric as why:
        raise WrongUse(str(why)) from None
    if plot and every:
        raise WrongUse("--plot draws one line and --all has runs that cannot be compared: leave one of them out")
    with Fleet(broker_address(broker)) as fleet:
        reply = fleet.history(board, metric, since_s, limit, series=ALL_SERIES if every else "")
    if as_json:
        emit_json(
            {
                "board": board, "metric": metric, "unit": unit, "points": reply.points, "truncated": reply.truncated,
                "series": reply.series, "others": reply.others, "described": reply.described,
                "estimated": are_estimated(reply, metric),
            }
        )  # fmt: skip
        return
    if not reply.points:
        click.echo(f"{board} has no {metric} within that time", err=True)
    elif plot:
        width = min(120, shutil.get_terminal_size().columns)
        click.echo(f"{metric}, {unit}{', estimated' if are_estimated(reply, metric) else ''}")
        click.echo("\n".join(draw([(point.time_ns, point.value) for point in reply.points], width, 12)))
    else:
        estimated = are_estimated(reply, metric)
        click.echo(_listing(reply, f"{'~' if estimated else ''}{metric} {unit}", every=every))
        if estimated:
            click.echo("~ estimated, from low to high: an emulator counts instructions, not time", err=True)
    _tell_left_out(reply, limit)


def _tell_left_out(reply: "HistoryReply", limit: int) -> None:
    from tinyprof_protocol.counts_text import some

    if reply.others:
        verb = "is" if reply.others == 1 else "are"
        click.echo(
            f"{some(reply.others, 'run')} of other suites, prompts or builds {verb} left out: --all shows them",
            err=True,
        )
    if reply.truncated:
        click.echo(f"older values are left out; ask for more than {limit} with --limit", err=True)


def are_estimated(reply: "HistoryReply", metric: str) -> bool:
    """Whether a board's values of a metric are estimates and not measured, as its newest runs say."""
    from tinyprof_protocol.records import Result

    results = [record.body for record in reply.runs if isinstance(record.body, Result)]
    return any(result.figures[metric].estimated for result in results if metric in result.figures)


def _listing(reply: "HistoryReply", title: str, *, every: bool) -> str:
    head: tuple[str, ...] = ("time", title, "low", "high", "verdict")
    rows = [_row(point) for point in reply.points]
    if every:
        described = {one.series: one for one in reply.described}
        head = (*head, "series", "suite", "prompts")
        rows = [
            (*row, point.series[:8] or "-", *_asked(described.get(point.series)))
            for row, point in zip(rows, reply.points, strict=True)
        ]
    return table(head, rows, right="lrrr")


def _asked(seen: "SeriesSeen | None") -> tuple[str, str]:
    """The suite and the prompts of a run, short."""
    from tinyprof_protocol.counts_text import some

    if seen is None:
        return "-", "-"
    first = one_line(seen.prompt)
    short = first if len(first) <= PROMPT_CHARACTERS else first[: PROMPT_CHARACTERS - 1] + "…"
    more = f" +{seen.prompts - 1}" if seen.prompts > 1 else ""
    return one_line(seen.suite) or "-", f'"{short}"{more}, {some(seen.max_tokens, "token")}'


def _row(point: "Point") -> tuple[str, ...]:
    when = dt.datetime.fromtimestamp(point.time_ns / 1e9).astimezone()
    bounds = ["-" if number is None else f"{number:.6g}" for number in (point.low, point.high)]
    return (f"{when:%Y-%m-%d %H:%M:%S}", f"{point.value:.6g}", *bounds, one_line(point.verdict) or "-")
