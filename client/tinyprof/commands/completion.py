"""`tinyprof completion SHELL`: the script that teaches a shell to complete tinyprof."""

import click

from tinyprof.options import json_option
from tinyprof.terminal import emit_json

VARIABLE = "_TINYPROF_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def command(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Prints the script for a shell's completion.

    Commands, options, metrics, and the boards that the broker knows of: put what it prints where SHELL reads it.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "tinyprof", VARIABLE).source()
    if as_json:
        emit_json({"shell": shell, "script": script})
    else:
        click.echo(script, nl=not script.endswith("\n"))
