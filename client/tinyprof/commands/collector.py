"""`tinyprof collector run`: the collector as a service."""

import os
from pathlib import Path

import click

from tinyprof.options import service_broker_option
from tinyprof.terminal import CheckFailed, WrongUse


@click.group("collector")
def command() -> None:
    """The collector, as a service.

    It takes the agents' records to the stores and answers clients.
    """


@command.command("run")
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration, TOML.  [default: none]")
@service_broker_option
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Goes before the configuration.")
@click.pass_context
def run_collector(ctx: click.Context, path: Path | None, broker: str | None, state_dir: Path | None) -> int:
    """Runs a collector.

    Until it is told to stop, by SIGTERM or Ctrl-C.
    """
    from tinyprof_collector.config import load_config
    from tinyprof_protocol.configuration import BadConfig

    environment = dict(os.environ)
    if ctx.obj:
        environment["TINYPROF_LOG_LEVEL"] = "info" if ctx.obj == 1 else "debug"
    if broker is not None:
        environment["TINYPROF_BROKER"] = broker
    if state_dir is not None:
        environment["TINYPROF_STATE_DIR"] = str(state_dir)
    try:
        config = load_config(path, environment)
    except BadConfig as why:
        raise WrongUse(str(why)) from None
    try:
        from tinyprof_collector.service import run
    except ModuleNotFoundError as why:
        if (why.name or "").startswith("tinyprof"):
            raise
        raise CheckFailed(f"the collector needs the package {why.name}: pip install 'tinyprof[collector]'") from None
    return run(config) or 0
