"""`tinyprof suites`: what a run or a benchmark may ask for, and whether a file of one's own is right."""

from typing import TYPE_CHECKING

import click

from tinyprof.options import json_option
from tinyprof.terminal import WrongUse, emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_platforms.suites import Suite

HEAD = ("suite", "prompts", "tokens", "repetitions", "seconds", "at most", "warm-up", "runs")


@click.command("suites")
@click.argument("suite", required=False, metavar="[NAME|FILE.toml]")
@json_option
def command(suite: str | None, as_json: bool) -> None:
    """Lists the suites that ship, or shows one.

    With NAME, one that ships as the TOML file that it is; with FILE.toml, one of your own, checked.
    """
    from tinyprof_platforms.suites import SuiteError, find_suite, shipped_suites

    try:
        chosen = dict([find_suite(suite)]) if suite is not None else shipped_suites()
    except SuiteError as why:
        raise WrongUse(one_line(str(why))) from None
    if as_json:
        emit_json({"suites": chosen})
    elif suite is None:
        click.echo(table(HEAD, [_row(name, one) for name, one in chosen.items()], right="lrrrrrlr"))
    else:
        click.echo(_toml(next(iter(chosen.values()))))


def _row(name: str, suite: "Suite") -> tuple[str, ...]:
    counts = (len(suite.prompts), suite.max_tokens, suite.min_repetitions)
    times = (f"{suite.min_timed_s:g}", f"{suite.max_timed_s:g}")
    return (name, *map(str, counts), *times, "yes" if suite.warm_up else "no", str(suite.runs))


def _toml(suite: "Suite") -> str:
    """A file that gives the same suite: what JSON writes of texts, lists, numbers and booleans is TOML too."""
    import json

    import msgspec

    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in msgspec.to_builtins(suite).items())
