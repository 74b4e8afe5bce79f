"""`tinyprof profile`: one run, on a board of the fleet or on one of this machine without any broker."""

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tinyprof.options import board_argument, broker_address, broker_option, here_options, json_option, to_seconds
from tinyprof.terminal import CheckFailed, ProgressLine, WrongUse, emit_json, one_line

if TYPE_CHECKING:
    from tinyprof_agent.boards import BoardConfig
    from tinyprof_platforms.suites import Suite
    from tinyprof_protocol.jobs import CachedFrom
    from tinyprof_protocol.records import Result

_ONLY_WITH = {
    "baud": "port", "activations": "model", "priority": "fleet", "within_s": "fleet", "broker": "fleet",
    "use_cache": "fleet", "max_age_s": "fleet",
}  # fmt: skip


class _WithWhatShips(click.Command):
    """Its help ends with the models and suites that there are, which are read when it is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Names what ships."""
        from tinyprof_models.catalogue import shipped_models
        from tinyprof_platforms.suites import shipped_suites

        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(f"Models that ship: {', '.join(shipped_models())}.")
            formatter.write_text(f"Suites: {', '.join(shipped_suites())}.")


@click.command("profile", cls=_WithWhatShips)
@board_argument(required=False)
@here_options
@click.option("--suite", metavar="NAME|FILE.toml", help="What the run asks for; a file here only, in the fleet a name."
              "  [default: quick, with --target emulated]")  # fmt: skip
@click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="Instead of the suite's; may be repeated.")
@click.option("--tokens", type=click.IntRange(1, 4096), help="Tokens generated for each prompt.")
@click.option("--repeat", type=click.IntRange(1, 1000), help="Repetitions at least.")
@click.option("--priority", type=click.IntRange(-100, 100), default=0, help="In the fleet: before other jobs.")
@click.option("--timeout", "within_s", default="10m", show_default=True, callback=to_seconds, metavar="DURATION",
              help="In the fleet: when the run must have ended.")  # fmt: skip
@click.option("--no-cache", "use_cache", is_flag=True, flag_value=False, default=True,
              help="In the fleet: make a run even where an equal one is known.")  # fmt: skip
@click.option("--max-age", "max_age_s", callback=to_seconds, metavar="DURATION",
              help="In the fleet: take a known run only if it is younger.")  # fmt: skip
@broker_option
@json_option
def command(board: str | None, port: str | None, model: str | None, target: str | None, **options: Any) -> int:
    """Profiles one board.

    BOARD of the fleet, or with --port, --model or --target one on this machine, without any broker.
    Exit 1 when the run is invalid or has no result.
    """
    given = {"fleet": board, "port": port, "model": model, "target": target}
    chosen = [name for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise click.UsageError(
            "name one BOARD of the fleet, or give --port, --model or --target for one of this machine"
        )
    _refuse_what_has_no_effect(chosen[0])
    if options["suite"] is None:
        options["suite"] = "emulated" if target is not None else "quick"
    if board is not None:
        return _in_fleet(board, options)
    return _here(port, model, target, options)


def _refuse_what_has_no_effect(target: str) -> None:
    """An option that would be ignored is an error: whoever gives it believes that the figures rest on it."""
    context = click.get_current_context()
    for parameter in context.command.params:
        wanted = _ONLY_WITH.get(parameter.name or "", target)
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and wanted != target:
            place = "a BOARD of the fleet" if wanted == "fleet" else f"--{wanted}"
            raise click.UsageError(f"{parameter.opts[0]} has an effect with {place} only")


def _here(port: str | None, model: str | None, target: str | None, options: dict[str, Any]) -> int:
    from tinyprof.local_profile import emulated_board, host_board, profile_here, serial_board
    from tinyprof_agent.boards import BadBoard

    suite = _suite(options)
    board: BoardConfig
    if target is not None:
        board = emulated_board(target)
    elif port is not None:
        board = serial_board(port, options["baud"])
    else:
        board = host_board(str(model), options["activations"])
    with ProgressLine() as line:
        try:
            outcome = profile_here(
                board,
                options["suite"],
                suite,
                lambda step: line.show(_step(step.stage, step.repetition, step.repetitions, step.text)),
            )
        except BadBoard as why:
            # The board's name is this command's own: what is wrong with its options is all there is to say.
            raise WrongUse(str(why.__cause__ or why)) from None
    return _print(board.name, "finished", "", outcome.result, options["as_json"])


def _suite(options: dict[str, Any]) -> "Suite":
    from tinyprof_platforms.suites import SuiteError, adapt, find_suite

    try:
        options["suite"], suite = find_suite(options["suite"])
        return adapt(suite, prompts=options["prompts"], max_tokens=options["tokens"], repetitions=options["repeat"])
    except SuiteError as why:
        raise WrongUse(str(why)) from None


def _in_fleet(board: str, options: dict[str, Any]) -> int:
    from tinyprof.fleet import Fleet
    from tinyprof_protocol.records import Result

    with Fleet(broker_address(options["broker"])) as fleet, ProgressLine() as line:
        reply = fleet.profile(
            board,
            suite=options["suite"],
            prompts=options["prompts"],
            max_tokens=options["tokens"],
            repetitions=options["repeat"],
            priority=options["priority"],
            within_s=options["within_s"],
            use_cache=options["use_cache"],
            max_age_s=options["max_age_s"],
            on_update=lambda update: line.show(f"{board}: {update.state} {update.message}"),
            on_progress=lambda p: line.show(_step(p.stage, p.repetition, p.repetitions, p.text)),
        )
    result = reply.result.body if reply.result is not None else None
    result = result if isinstance(result, Result) else None
    if reply.joined is not None and not options["as_json"]:
        click.echo(f"shared the run of job {reply.joined.hex()}, which was under way", err=True)
    return _print(board, reply.state, reply.message, result, options["as_json"], reply.cached)


def _print(
    board: str, state: str, message: str, result: "Result | None", as_json: bool, cached: "CachedFrom | None" = None
) -> int:
    from tinyprof.result_view import show_cached, show_result

    if as_json:
        emit_json({"board": board, "state": state, "message": message, "cached": cached, "result": result})
    elif result is not None:
        click.echo("\n".join([*([] if cached is None else [show_cached(cached), ""]), *show_result(result)]))
    else:
        raise CheckFailed(f"{board}: the run was {state}{f': {one_line(message)}' if message else ''}")
    return 0 if result is not None and result.verdict != "invalid" else 1


def _step(stage: str, repetition: int, repetitions: int, text: str) -> str:
    count = f" {repetition}" if repetition else ""
    least = f" of {repetitions}" if 0 < repetition <= repetitions else ""
    return f"{stage}{count}{least} {text[-60:]}"
