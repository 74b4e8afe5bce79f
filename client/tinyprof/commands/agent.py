"""`tinyprof agent`: the agent as a service, its first configuration, and what is wrong with it."""

import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tinyprof.options import json_option, service_broker_option
from tinyprof.terminal import CheckFailed, WrongUse, emit_json, one_line

if TYPE_CHECKING:
    from tinyprof_agent.config import AgentConfig
    from tinyprof_agent.doctor.findings import Finding


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
    config = _configuration(ctx, path, broker, state_dir)
    from tinyprof_agent.service import run

    return run(config) or 0


@command.command("init")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), default="agent.toml", show_default=True,
              metavar="FILE", help="Where the configuration goes.")  # fmt: skip
@click.option("--site", default="local", show_default=True, metavar="NAME", help="The site's name.")
@click.option("--agent", metavar="NAME", help="The agent's name.  [default: that of this machine]")
@service_broker_option
@json_option
def init_agent(output: Path, site: str, agent: str | None, broker: str | None, as_json: bool) -> None:
    """Writes a first configuration.

    For this machine and the boards at its serial ports, which it lists and does not open. A file that is there stays.
    """
    from tinyprof_agent.first_config import board_names, config_text, find_ports
    from tinyprof_agent.identity import default_agent_name
    from tinyprof_protocol.broker_address import DEFAULT_URL
    from tinyprof_protocol.names import BadName, node_name

    try:
        node = node_name(site, agent or default_agent_name())
    except BadName as why:
        raise WrongUse(str(why)) from None
    ports = find_ports()
    sample = (resources.files("tinyprof_agent") / "agent.sample.toml").read_text(encoding="utf-8")
    url = broker or os.environ.get("TINYPROF_BROKER") or DEFAULT_URL
    text = config_text(sample, site, agent or default_agent_name(), url, ports)
    try:
        # An address may have a password in it.
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if "@" in url else 0o644)
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise CheckFailed(f"{output} is there already and stays as it is: name another one with --output") from None
    named = list(zip(board_names(ports), ports, strict=True))
    if as_json:
        shown = [{"name": name, "port": port.path, "about": port.about(), "used": port.is_usb} for name, port in named]
        emit_json({"output": str(output), "node": node, "ports": shown})
        return
    for name, port in named:
        click.echo(f"{name if port.is_usb else '-'}: {one_line(port.about())}")
    if not ports:
        click.echo("no serial port was found: plug a board in, or add its port by hand", err=True)
    click.echo(f"{node}: {output} is written; 'tinyprof agent doctor --config {output}' checks it", err=True)


@command.command("doctor")
@click.option(
    "--config", "path", type=click.Path(path_type=Path), help="The configuration, TOML.  [default: agent.toml]"
)
@click.option("--no-boards", is_flag=True, help="Open no board.")
@service_broker_option
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Goes before the configuration.")
@json_option
@click.pass_context
def examine_agent(
    ctx: click.Context, path: Path | None, no_boards: bool, broker: str | None, state_dir: Path | None, as_json: bool
) -> int:
    """Says what is wrong with an agent.

    Configuration, state directory, spool, clock, broker, files and boards, a line each with what to do. A running agent
    is left alone: what it holds is not looked at.
    """
    from tinyprof_agent.doctor.examination import examine

    if path is None and not Path("agent.toml").exists():
        raise WrongUse("there is no agent.toml here: 'tinyprof agent init' writes one, or name yours with --config")
    config = _configuration(ctx, path or Path("agent.toml"), broker, state_dir)
    found: list[Finding] = []
    for finding in examine(config, boards=not no_boards):
        found.append(finding)
        if not as_json:
            click.echo(f"{finding.state:8} {one_line(finding.what)}: {one_line(finding.line)}")
    failed = any(finding.state == "failed" for finding in found)
    if as_json:
        emit_json({"node": config.node, "ok": not failed, "findings": found})
    return 1 if failed else 0


def _configuration(ctx: click.Context, path: Path, broker: str | None, state_dir: Path | None) -> "AgentConfig":
    """The configuration of a file, with the options over it. Raises WrongUse."""
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
        return load_config(path, environment)
    except BadConfig as why:
        raise WrongUse(str(why)) from None
