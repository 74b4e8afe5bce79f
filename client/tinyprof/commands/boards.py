"""`tinyprof boards`: every board that the collectors know, with its last run, and how one is forgotten."""

import time
from typing import TYPE_CHECKING

import click

from tinyprof.default_command import DefaultCommand
from tinyprof.durations import show_age
from tinyprof.options import board_argument, broker_address, broker_option, json_option
from tinyprof.terminal import emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_protocol.presence import BoardSummary

HEAD = ("board", "platform", "model", "health", "state", "verdict", "TTFT ms", "decode tokens/s", "runs", "age")


@click.group("boards", cls=DefaultCommand)
def command() -> None:
    """The boards of the fleet.

    Without a command it lists them.
    """


@command.command("list")
@broker_option
@json_option
def list_boards(broker: str | None, as_json: bool) -> None:
    """Lists the boards of the fleet.

    With the figures of their last runs; what is not healthy says why on stderr.
    """
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet:
        found = fleet.boards()
    if as_json:
        emit_json({"boards": found.boards, "gaps": found.gaps})
        return
    now_ns = time.time_ns()
    if found.boards:
        click.echo(table(HEAD, [_row(board, now_ns) for board in found.boards], right="llllllrrrr"))
    else:
        click.echo("no board has been announced yet: start an agent with 'tinyprof agent run'", err=True)
    for board in found.boards:
        for reason in board.reasons:
            click.echo(f"{board.node}/{board.board}: {one_line(reason)}", err=True)
    for gap in found.gaps:
        click.echo(f"incomplete: {gap}", err=True)


@command.command("forget")
@board_argument()
@broker_option
@json_option
def forget_board(board: str, broker: str | None, as_json: bool) -> None:
    """Takes a board out of the list.

    For one that is gone for good. What was measured on it stays in the store, and it comes back with its next word.
    """
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet:
        ref = fleet.find(board)
        forgotten = fleet.forget(str(ref))
    if as_json:
        emit_json({"board": str(ref), "forgotten": forgotten})
    elif forgotten:
        click.echo(f"{ref} is forgotten; it comes back if its agent still has it")
    else:
        click.echo(f"{ref} had been forgotten already")


def _row(board: "BoardSummary", now_ns: int) -> tuple[str, ...]:
    age = "-" if board.last_result_ns is None else show_age((now_ns - board.last_result_ns) / 1e9)
    return (
        f"{board.node}/{board.board}",
        one_line(board.platform) + (" (emulated)" if board.emulated else "") or "-",
        one_line(board.model) or "-",
        board.health,
        board.state,
        board.verdict or "-",
        _figure(board, "ttft_ms"),
        _figure(board, "decode_tps"),
        str(board.results),
        age,
    )


def _figure(board: "BoardSummary", metric: str) -> str:
    from tinyprof_protocol.figures_text import amount

    figure = board.figures.get(metric)
    if figure is None:
        return "-"
    return f"{'~' if figure.estimated else ''}{amount(metric, figure.value)}"
