"""`tinyprof cache stats|list|warm|clear`: results that answer an equal request without a run."""

import datetime as dt
import threading
from typing import TYPE_CHECKING

import click

from tinyprof.options import broker_address, broker_option, json_option, to_seconds
from tinyprof.terminal import CheckFailed, ProgressLine, emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof.board_names import BoardRef
    from tinyprof.cache_warming import Warmed
    from tinyprof.fleet import Fleet
    from tinyprof.fleet_answers import FleetCache


@click.group("cache")
def command() -> None:
    """Shows, fills and empties the cache.

    A run that is asked for again is answered with the result that is known, while it is young enough and the board runs
    the same.
    """


@command.command("stats")
@broker_option
@json_option
def stats(broker: str | None, as_json: bool) -> None:
    """Shows how often it was the answer."""
    found = _ask(broker, "stats")
    if as_json:
        emit_json({"collectors": {name: reply.stats for name, reply in found.collectors.items()}, "gaps": found.gaps})
        return
    rows = []
    for name, reply in sorted(found.collectors.items()):
        one = reply.stats
        asked = one.hits + one.misses
        counts = (one.hits, one.misses, one.joined, one.inserted, one.evicted, one.expired)
        rate = f"{one.hits / asked:.0%}" if asked else "-"
        rows.append((name, f"{one.entries:,}", f"{one.size:,}", f"{one.ttl_s:g} s", rate, *(f"{n:,}" for n in counts)))
    head = ("collector", "entries", "size", "ttl", "hit rate", "hits", "misses", "joined", "inserted", "evicted",
            "expired")  # fmt: skip
    click.echo(table(head, rows, right="l" + "r" * (len(head) - 1)))
    _tell_gaps(found)


@command.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 500),
              help="At most so many of each collector.")  # fmt: skip
@broker_option
@json_option
def list_entries(broker: str | None, as_json: bool, limit: int) -> None:
    """Lists what is in it, newest first."""
    from tinyprof.durations import show_age

    found = _ask(broker, "list", limit)
    if as_json:
        emit_json({"collectors": found.collectors, "gaps": found.gaps})
        return
    rows = []
    for name, reply in sorted(found.collectors.items()):
        for item in reply.items:
            cached = item.cached
            when = dt.datetime.fromtimestamp(cached.time_ns / 1e9).astimezone()
            more = f" and {item.prompts - 1} more" if item.prompts > 1 else ""
            rows.append((
                name, f"{one_line(cached.node)}/{one_line(cached.board)}", one_line(item.platform),
                one_line(item.model), one_line(item.suite), f"{when:%Y-%m-%d %H:%M:%S}", show_age(cached.age_s),
                cached.verdict, f"{item.hits:,}", f"{one_line(item.prompt)[:40]}{more}",
            ))  # fmt: skip
    if rows:
        head = ("collector", "board", "platform", "model", "suite", "time", "age", "verdict", "hits", "prompt")
        click.echo(table(head, rows, right="llllllrlr"))
    click.echo(f"{sum(reply.total for reply in found.collectors.values()):,} in the cache", err=True)
    _tell_gaps(found)


@command.command("clear")
@broker_option
@json_option
def clear(broker: str | None, as_json: bool) -> None:
    """Empties it; every request makes a run then."""
    found = _ask(broker, "clear")
    cleared = sum(reply.cleared for reply in found.collectors.values())
    if as_json:
        each = {name: reply.cleared for name, reply in found.collectors.items()}
        emit_json({"cleared": cleared, "collectors": each, "gaps": found.gaps})
        return
    click.echo(f"{cleared:,} taken out")
    _tell_gaps(found)


@command.command("warm")
@click.argument("suite")
@click.option("--boards", metavar="LIST", help="These boards, with commas, instead of one of each kind.")
@click.option("--at-once", default=8, show_default=True, type=click.IntRange(1, 16), help="Runs asked for at a time.")
@click.option("--timeout", "within_s", default="10m", show_default=True, callback=to_seconds, metavar="DURATION",
              help="When each run must have ended.")  # fmt: skip
@broker_option
@json_option
def warm(suite: str, boards: str | None, at_once: int, within_s: float, broker: str | None, as_json: bool) -> int:
    """Makes a run of SUITE where none is known.

    On one board of each platform and model, the healthiest; what is known already is not run again. Exit 1 when a run
    failed.
    """
    from tinyprof import cache_warming
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet, ProgressLine() as line:
        chosen, left_out = _boards(fleet, boards)
        told = _Progress(line, len(chosen))
        found = cache_warming.warm(
            fleet, chosen, suite, at_once=at_once, within_s=within_s, on_progress=told.at, on_end=told.ended
        )
    everything = [*found, *left_out]
    if as_json:
        emit_json({"suite": suite, "boards": [_plain(one) for one in everything]})
    else:
        _print(everything, suite)
    return 1 if any(one.outcome == "failed" for one in everything) or not chosen else 0


def _boards(fleet: "Fleet", listed: str | None) -> "tuple[list[BoardRef], list[Warmed]]":
    from tinyprof.cache_warming import choose

    if listed is not None:
        names = [name.strip() for name in listed.split(",") if name.strip()]
        if not names:
            raise click.UsageError("--boards names no board")
        return list(dict.fromkeys(fleet.find(name) for name in names)), []
    chosen, left_out = choose(fleet.boards().boards)
    if not chosen and not left_out:
        raise CheckFailed("no agent has announced any board yet")
    return chosen, left_out


class _Progress:
    """How far all of it is, on one line; told from several threads."""

    def __init__(self, line: ProgressLine, total: int) -> None:
        self._line, self._total, self._done = line, total, 0
        self._lock = threading.Lock()

    def at(self, board: "BoardRef", what: str) -> None:
        with self._lock:
            self._line.show(f"{self._done} of {self._total} done; {board}: {what}")

    def ended(self, one: "Warmed") -> None:
        with self._lock:
            self._done += 1
            self._line.show(f"{self._done} of {self._total} done; {one.board}: {one.outcome}")


def _print(everything: "list[Warmed]", suite: str) -> None:
    click.echo(table(("board", "outcome", "verdict", "note"), [
        (str(one.board), one.outcome, one.verdict or "-", _words(one)) for one in everything
    ]))  # fmt: skip
    counts = {kind: sum(one.outcome == kind for one in everything) for kind in ("known", "ran", "failed", "skipped")}
    click.echo(f"{suite}: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count), err=True)


def _words(one: "Warmed") -> str:
    from tinyprof.durations import show_age

    if one.cached is not None:
        whose = f"{one_line(one.cached.node)}/{one_line(one.cached.board)}"
        own = "" if whose == str(one.board) else f" on {whose}"
        return f"{show_age(one.cached.age_s)} ago{own}"
    if one.kept is False:
        return "not kept: the collector's cache takes only better verdicts (cache.accept), or was full"
    return one_line(one.message)


def _plain(one: "Warmed") -> dict[str, object]:
    return {
        "node": one.board.node, "board": one.board.board, "outcome": one.outcome, "verdict": one.verdict,
        "message": one.message, "cached": one.cached, "kept": one.kept,
    }  # fmt: skip


def _ask(broker: str | None, action: str, limit: int = 100) -> "FleetCache":
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet:
        return fleet.cache(action, limit=limit)  # type: ignore[arg-type]


def _tell_gaps(found: "FleetCache") -> None:
    for gap in found.gaps:
        click.echo(f"incomplete: {gap}", err=True)
