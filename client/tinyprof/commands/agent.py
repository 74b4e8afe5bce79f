"""`tinyprof agent run`: the agent as a service."""

import os
from importlib import resources
from pathlib import Path

import click

from tinyprof.options import service_broker_option
from tinyprof.terminal import WrongUse


@click.group("agent")
def command() -> None:
    """The agent, as a service.

    It runs profiling jobs on the boards next to it.
    """


@command.command("run")
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration, TOML.  [required]")
@service_broker_option
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Goes before the configuration.")
@click.pass_context
def run_agent(ctx: click.Context, path: Path | None, broker: str | None, state_dir: Path | None) -> int:
    """Runs an agent.

    Until it is told to stop, by SIGTERM or Ctrl-C.
    """
    if path is None:
        sample = resources.files("tinyprof_agent") / "agent.sample.toml"
        raise click.UsageError(f"give the agent's configuration with --config FILE; a sample to start from is {sample}")
    from tinyprof_agent.config import load_config
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
    from tinyprof_agent.service import run

    return run(config) or 0
