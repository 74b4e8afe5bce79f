"""`tinyprof jobs`: the jobs that the collectors know, and how they are cancelled."""

import time
from typing import TYPE_CHECKING

import click

from tinyprof.default_command import DefaultCommand
from tinyprof.durations import show_age
from tinyprof.options import broker_address, broker_option, json_option
from tinyprof.terminal import WrongUse, emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_protocol.jobs import JobView

HEAD = ("job", "board", "state", "suite", "prompt", "priority", "age", "took", "note")
MAX_PROMPT, MAX_NOTE = 30, 60


@click.group("jobs", cls=DefaultCommand)
def command() -> None:
    """Jobs: runs that clients asked for.

    Without a command it lists them.
    """


@command.command("list")
@click.option("--open", "open_only", is_flag=True, help="Only jobs that wait or run.")
@click.option("--board", metavar="BOARD", help="Only those of this board.")
@click.option("--limit", type=click.IntRange(1, 20_000), default=100, show_default=True,
              help="At most so many of each collector.")  # fmt: skip
@broker_option
@json_option
def list_jobs(open_only: bool, board: str | None, limit: int, broker: str | None, as_json: bool) -> None:
    """Lists jobs.

    Those that have not ended come first, in the order that they were asked for; then the others, newest first.
    """
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet:
        found = fleet.jobs(open_only=open_only, board=board, limit=limit)
    if as_json:
        emit_json({"jobs": found.jobs, "gaps": found.gaps})
        return
    if found.jobs:
        now_ns = time.time_ns()
        click.echo(table(HEAD, [_row(view, now_ns) for view in found.jobs], right="lllllrrrl"))
    else:
        click.echo("no job is known; 'tinyprof profile BOARD' asks for one", err=True)
    for gap in found.gaps:
        click.echo(f"incomplete: {gap}", err=True)


@command.command("cancel")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--board", metavar="BOARD", help="All that have not ended of this board.")
@broker_option
@json_option
def cancel_jobs(ids: tuple[str, ...], board: str | None, broker: str | None, as_json: bool) -> int:
    """Cancels jobs.

    By their ids, or all of a board. A run that others wait for too goes on for them. Exit 1 when there was none to
    cancel.
    """
    from tinyprof.fleet import Fleet
    from tinyprof.fleet_jobs import bytes_of
    from tinyprof_protocol.counts_text import some

    for job_id in ids:
        bytes_of(job_id)
    if not ids and board is None:
        raise WrongUse(
            "name jobs by their ids, or a board with --board; 'tinyprof jobs list --open' shows what there is"
        )
    with Fleet(broker_address(broker)) as fleet:
        cancelled = fleet.cancel_jobs(ids, board=board)
    if as_json:
        emit_json({"cancelled": cancelled})
    else:
        click.echo(f"{some(cancelled, 'job')} told to end")
    return 0 if cancelled else 1


def _row(view: "JobView", now_ns: int) -> tuple[str, ...]:
    job = view.job
    prompt = one_line(job.prompts[0])[:MAX_PROMPT] if job.prompts else "-"
    more = f" +{len(job.prompts) - 1}" if len(job.prompts) > 1 else ""
    where = "" if view.where is None or view.started_ns or view.ended_ns else " (or another)"
    return (
        job.id.hex(),
        f"{job.node}/{job.board}{where}",
        view.state,
        one_line(job.suite),
        prompt + more,
        str(job.priority),
        show_age((now_ns - view.asked_ns) / 1e9),
        _took(view),
        _note(view),
    )


def _took(view: "JobView") -> str:
    if view.started_ns is None or view.ended_ns is None:
        return "-"
    return f"{(view.ended_ns - view.started_ns) / 1e9:.1f} s"


def _note(view: "JobView") -> str:
    notes = [one_line(view.message)] if view.message else []
    if view.joined is not None:
        notes.insert(0, f"joined to {view.joined.hex()}")
    if view.ahead:
        notes.append(f"{view.ahead} before it")
    return "; ".join(notes)[:MAX_NOTE]
