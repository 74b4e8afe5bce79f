"""The `tinyprof` command: finds its commands in `tinyprof.commands` and turns what goes wrong into one line.

Exit 0: success, 1: a check failed or the work could not be done, 2: wrong use, 130: interrupted.
"""

import difflib
import importlib
import logging
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from tinyprof import __version__, commands
from tinyprof.terminal import one_line, set_up_logging

log = logging.getLogger(__name__)

EXIT_FAILED, EXIT_WRONG_USE, EXIT_INTERRUPTED = 1, 2, 130


class Commands(click.Group):
    """A group whose commands are the files of `tinyprof.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of all commands, from the names of their files."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command of that name; None where there is none."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"tinyprof.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that `args` begin with. Raises UsageError, with the nearest name where there is one near."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no such command {args[0]!r}{hint}", ctx) from None

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Runs a command; with `standalone_mode` ends the process with its exit code."""
        extra["complete_var"] = complete_var
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
        except Exception as why:  # noqa: BLE001  (the last line of defence: whatever it is becomes one line)
            _end(why)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def _end(why: Exception) -> NoReturn:
    if isinstance(why, click.Abort):
        sys.exit(EXIT_INTERRUPTED)
    if isinstance(why, click.exceptions.NoArgsIsHelpError):
        why.show()
        sys.exit(EXIT_WRONG_USE)
    log.debug("where it went wrong", exc_info=why)
    click.echo(f"tinyprof: {_line(why)}", err=True)
    sys.exit(_exit_code(why))


def _exit_code(why: Exception) -> int:
    from tinyprof.fleet_errors import BadArgument

    if isinstance(why, click.ClickException):
        return why.exit_code
    return EXIT_WRONG_USE if isinstance(why, BadArgument) else EXIT_FAILED


def _line(why: Exception) -> str:
    """What went wrong and what to do, in one line."""
    if isinstance(why, click.UsageError):
        asked = why.ctx.command_path if why.ctx is not None else "tinyprof"
        return one_line(f"{why.format_message().rstrip('.')} (see '{asked} --help')")
    if isinstance(why, click.ClickException):
        return one_line(why.format_message())
    if isinstance(why, OSError) and why.strerror:
        return one_line(f"{why.filename}: {why.strerror}" if why.filename else why.strerror)
    if type(why).__module__.partition(".")[0].startswith("tinyprof"):
        return one_line(str(why))
    return one_line(f"unexpected {type(why).__name__}: {why} (tinyprof -vv shows where)")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "--version", message="tinyprof %(version)s")
@click.option("-v", "--verbose", count=True, help="Say more on stderr; -vv also where an error came from.")
@click.pass_context
def tinyprof(ctx: click.Context, verbose: int) -> None:
    """Profiles tiny language models on edge boards, all the time and across sites."""
    ctx.obj = verbose
    set_up_logging(verbose)


def main() -> None:
    """The console script."""
    tinyprof.main(prog_name="tinyprof")
