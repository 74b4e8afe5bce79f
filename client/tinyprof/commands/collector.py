"""`tinyprof collector`: the collector as a service, and the database that it writes to."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from tinyprof.options import json_option, service_broker_option
from tinyprof.partition_list import partitions_given
from tinyprof.terminal import CheckFailed, WrongUse, emit_json

if TYPE_CHECKING:
    from tinyprof_collector.config import Config

T = TypeVar("T")


@click.group("collector")
def command() -> None:
    """The collector, as a service.

    It takes the agents' records to the stores and answers clients.
    """


@command.command("run")
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration, TOML.  [default: none]")
@service_broker_option
@click.option("--state-dir", type=click.Path(file_okay=False, path_type=Path), help="Goes before the configuration.")
@click.option(
    "--partitions", callback=partitions_given, metavar="0-15", help="Which to serve; goes before the configuration."
)
@click.pass_context
def run_collector(
    ctx: click.Context, path: Path | None, broker: str | None, state_dir: Path | None, partitions: list[int] | None
) -> int:
    """Runs a collector.

    Until it is told to stop, by SIGTERM or Ctrl-C.
    """
    environment = dict(os.environ)
    if ctx.obj:
        environment["TINYPROF_LOG_LEVEL"] = "info" if ctx.obj == 1 else "debug"
    if broker is not None:
        environment["TINYPROF_BROKER"] = broker
    if state_dir is not None:
        environment["TINYPROF_STATE_DIR"] = str(state_dir)
    if partitions is not None:
        environment["TINYPROF_PARTITIONS"] = ",".join(map(str, partitions))
    config = _configuration(path, environment)

    def imported() -> "Callable[[Config], int]":
        from tinyprof_collector.service import run

        return run

    return _with_packages(imported)(config) or 0


@command.command("check")
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration, TOML.  [default: none]")
@json_option
def check_collector(path: Path | None, as_json: bool) -> int:
    """Says whether the stores can be used.

    Asks an InfluxDB whether it takes lines and answers questions: that its address, bucket and token are right. Asks a
    Redis whether it can keep the state.
    """
    config = _configuration(path, os.environ)
    wrong: dict[str, str | None] = {}
    if "influxdb" in config.store.use:

        def checked() -> str | None:
            from tinyprof_collector.stores.influx.influxdb import InfluxStore
            from tinyprof_collector.stores.store import StoreFailed

            try:
                store = InfluxStore(config.store.influxdb, config.id)
                found = store.check_at_start()
                store.close()
            except StoreFailed as why:
                return str(why)
            return found

        wrong["influxdb"] = _with_packages(checked)
    if "sqlite" in config.store.use:
        wrong["sqlite"] = None
    state = _with_packages(lambda: _state_is_wrong(config))
    if as_json:
        emit_json({"stores": {name: why or "" for name, why in wrong.items()}, "state": state or ""})
        return 1 if any(wrong.values()) or state else 0
    for name, why in wrong.items():
        click.echo(why or f"store {name}: all is right", err=why is not None)
    if config.state.use == "redis":
        click.echo(state or "state redis: all is right", err=state is not None)
    return 1 if any(wrong.values()) or state else 0


def _state_is_wrong(config: "Config") -> str | None:
    """Why a Redis cannot keep the state; a file is only opened when it is needed."""
    if config.state.use != "redis":
        return None
    from tinyprof_collector.redis_link import CannotUseRedis, RedisLink
    from tinyprof_collector.state.redis import RedisState
    from tinyprof_collector.state.state import StateFailed

    try:
        link = RedisLink(config.state)
    except CannotUseRedis as why:
        return str(why)
    state = RedisState(link, config.id, config.partitions)
    try:
        state.check_server()
    except StateFailed as why:
        return str(why)
    finally:
        state.close()
    return None


@command.command("setup")
@click.option("--config", "path", type=click.Path(path_type=Path), help="The configuration, TOML.  [default: none]")
@json_option
def set_up_collector(path: Path | None, as_json: bool) -> None:
    """Makes what an InfluxDB needs.

    Bucket with its retention, hourly medians and the name for InfluxQL, as far as its version has them.
    """
    config = _configuration(path, os.environ)
    if not config.store.influxdb.url:
        raise WrongUse("there is no InfluxDB in this configuration: set store.influxdb.url")

    def done() -> list[str]:
        from tinyprof_collector.stores.influx.provision import set_up
        from tinyprof_collector.stores.influx.server import InfluxServer
        from tinyprof_collector.stores.store import StoreFailed

        try:
            return set_up(InfluxServer(config.store.influxdb), config.store.influxdb.retention_days)
        except StoreFailed as why:
            raise CheckFailed(str(why)) from None

    lines = _with_packages(done)
    if as_json:
        emit_json({"done": lines})
    else:
        click.echo("\n".join(lines))


def _configuration(path: Path | None, environment: Mapping[str, str]) -> "Config":
    from tinyprof_collector.config import load_config
    from tinyprof_protocol.configuration import BadConfig

    try:
        return load_config(path, environment)
    except BadConfig as why:
        raise WrongUse(str(why)) from None


def _with_packages(work: Callable[[], T]) -> T:
    """Does work that needs the packages of a collector. Raises CheckFailed where one is not there."""
    try:
        return work()
    except ModuleNotFoundError as why:
        if (why.name or "").startswith("tinyprof"):
            raise
        raise CheckFailed(f"the collector needs the package {why.name}: pip install 'tinyprof[collector]'") from None
