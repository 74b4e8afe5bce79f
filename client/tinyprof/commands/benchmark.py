"""`tinyprof benchmark`: a suite on several boards side by side, and a results file that can be judged later."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tinyprof.options import broker_address, broker_option, here_options, json_option, to_seconds
from tinyprof.terminal import WrongUse, emit_json, one_line

if TYPE_CHECKING:
    from tinyprof.benchmarking.making import Making
    from tinyprof.benchmarking.results_file import Results

_ONLY_WITH = {"baud": "port", "activations": "model"}
_FLEET_ONLY = ("boards", "platform", "label", "site", "priority", "within_s", "broker")


@click.command("benchmark")
@click.option("--boards", metavar="B,...", help="These boards of the fleet.  [default: all that fit]")
@click.option("--platform", metavar="NAME", help="Boards of this platform only.")
@click.option("--label", metavar="WORD", help="Boards with this label only.")
@click.option("--site", metavar="NAME", help="Boards of this site only.")
@here_options
@click.option(
    "--suite", metavar="NAME|FILE.toml", help="What a run asks for.  [default: standard; emulated boards: emulated]"
)
@click.option("--repeat-runs", type=click.IntRange(1, 1000), metavar="N",
              help="Runs on each board, one after the other.  [default: what the suite says]")  # fmt: skip
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="In the fleet: before other jobs.")
@click.option("--timeout", "within_s", default="15m", show_default=True, callback=to_seconds, metavar="DURATION",
              help="In the fleet: when each run must have begun.")  # fmt: skip
@click.option("--output", required=True, type=click.Path(path_type=Path, dir_okay=False), metavar="results.json",
              help="Where the results go; a file that is there is replaced.")  # fmt: skip
@broker_option
@json_option
def command(output: Path, as_json: bool, **options: Any) -> int:
    """Measures boards side by side.

    Boards of the fleet, or with --port, --model or --target one of this machine. Ctrl-C ends it and keeps what there
    is. Exit 1 when a run is invalid or has no result.
    """
    from tinyprof.benchmarking.summary import as_json as plain
    from tinyprof.benchmarking.summary import as_text

    where = _where(options)
    _refuse_what_has_no_effect(where)
    _check_output(output)
    results, interrupted = _in_fleet(options, output) if where == "fleet" else _here(where, options, output)
    output = _keep(output, results)
    if as_json:
        emit_json(plain(results, str(output)))
    else:
        click.echo(as_text(results))
        click.echo(f"written to {output}", err=True)
    if interrupted:
        return 130
    return 0 if results.complete and _none_invalid(results) else 1


def _check_output(output: Path) -> None:
    """Raises WrongUse before anything is measured where the file could not be written at the end."""
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=output.parent):
            return
    except OSError as why:
        raise WrongUse(f"{output}: cannot be written: {why.strerror}") from None


def _keep(output: Path, results: "Results") -> Path:
    """Writes the file; where that fails after all, one in the folder for temporary files. Where it is."""
    import tempfile

    from tinyprof.benchmarking.results_file import write_results

    try:
        write_results(output, results)
    except OSError as why:
        click.echo(f"{output}: cannot be written: {why.strerror}", err=True)
        output = Path(tempfile.mkdtemp(prefix="tinyprof-")) / output.name
        write_results(output, results)
    return output


def _where(options: dict[str, Any]) -> str:
    given = [name for name in ("port", "model", "target") if options[name] is not None]
    if len(given) > 1:
        raise click.UsageError("give one of --port, --model and --target")
    return given[0] if given else "fleet"


def _refuse_what_has_no_effect(where: str) -> None:
    """An option that would be ignored is an error: whoever gives it believes that the figures rest on it."""
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        wanted = "fleet" if name in _FLEET_ONLY else _ONLY_WITH.get(name, where)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and wanted != where:
            place = "boards of the fleet" if wanted == "fleet" else f"--{wanted}"
            raise click.UsageError(f"{parameter.opts[0]} has an effect with {place} only")


def _in_fleet(options: dict[str, Any], output: Path) -> "tuple[Results, bool]":
    from tinyprof.benchmarking.fleet_runs import FleetRuns, plan_fleet
    from tinyprof.benchmarking.making import Making
    from tinyprof.benchmarking.progress_feed import ProgressFeed
    from tinyprof.benchmarking.selection import Wanted, parse_suite
    from tinyprof.fleet import Fleet
    from tinyprof_platforms.suites import SuiteError

    names = tuple(name.strip() for name in (options["boards"] or "").split(",") if name.strip())
    wanted = Wanted(names, options["platform"] or "", options["label"] or "", options["site"] or "")
    try:
        asked = parse_suite(options["suite"])
    except SuiteError as why:
        raise WrongUse(one_line(str(why))) from None
    address = broker_address(options["broker"])
    with Fleet(address) as fleet:
        planned = plan_fleet(fleet, wanted, asked, options["repeat_runs"])
        for line in planned.left_out:
            click.echo(f"left out: {one_line(line)}", err=True)
        nodes = {plan.board.partition("/")[0] for plan in planned.plans}
        with ProgressFeed(address, nodes, f"progress-{os.urandom(8).hex()}") as feed:
            runs = FleetRuns(fleet, feed, options["within_s"], options["priority"])
            return _make(Making(planned.plans, runs, planned.suites, planned.agents, time.time_ns), output)


def _here(where: str, options: dict[str, Any], output: Path) -> "tuple[Results, bool]":
    from tinyprof.benchmarking.local_runs import LocalRuns
    from tinyprof.benchmarking.making import Making
    from tinyprof.benchmarking.running import BoardPlan
    from tinyprof.benchmarking.selection import DEFAULT_SUITE, EMULATED_SUITE
    from tinyprof.local_profile import emulated_board, host_board, serial_board
    from tinyprof_agent.boards import BadBoard, make_driver
    from tinyprof_platforms.suites import SuiteError, find_suite

    if where == "target":
        board = emulated_board(options["target"])
    elif where == "port":
        board = serial_board(options["port"], options["baud"])
    else:
        board = host_board(options["model"], options["activations"])
    try:
        name, suite = find_suite(options["suite"] or (EMULATED_SUITE if where == "target" else DEFAULT_SUITE))
        make_driver(board, time.monotonic_ns).close()
    except SuiteError as why:
        raise WrongUse(one_line(str(why))) from None
    except BadBoard as why:
        raise WrongUse(str(why.__cause__ or why)) from None
    plan = BoardPlan(board.name, name, options["repeat_runs"] or suite.runs, board.driver)
    return _make(Making([plan], LocalRuns(board, suite), {name: suite}, [], time.time_ns), output)


def _make(making: "Making", output: Path) -> "tuple[Results, bool]":
    """Makes the runs while it shows where they are; the first Ctrl-C ends them, a second one does not wait for that."""
    from tinyprof.benchmarking.display import BoardLines

    lines = BoardLines()
    said = making.follow(lines, output, say=lambda line: click.echo(line, err=True))
    return making.results(), said


def _none_invalid(results: "Results") -> bool:
    return all(one.verdict != "invalid" for board in results.boards for one in board.results)
