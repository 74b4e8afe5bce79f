"""Options that several commands share, each declared once."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tinyprof.durations import BadDuration, parse_duration
from tinyprof.terminal import WrongUse

Command = TypeVar("Command", bound=Callable[..., Any])


def to_seconds(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """The callback of an option that takes a duration. Raises BadParameter."""
    if value is None:
        return None
    try:
        return parse_duration(value)
    except BadDuration as why:
        raise click.BadParameter(str(why)) from None


def here_options(command: Command) -> Command:
    """What names a board without a broker: on a port, this machine itself, or a target in its emulator."""
    for option in (
        click.option(
            "--activations",
            type=click.Choice(["float32", "int8"]),
            default="float32",
            show_default=True,
            help="With --model: how the engine keeps activations.",
        ),
        click.option("--baud", default=115_200, show_default=True, help="With --port: the speed of the line."),
        click.option(
            "--target", metavar="TARGET", help="A folder of firmware/targets, in its emulator; no broker needed."
        ),
        click.option(
            "--model", metavar="NAME|FILE", help="A model on this machine itself: a shipped one's name or a GGUF."
        ),
        click.option("--port", metavar="PORT", help="A board on a serial port of this machine; no broker needed."),
    ):
        command = option(command)
    return command


def node_option(text: str) -> Callable[[Command], Command]:
    """`--node`, the agent that a command is about; `text` says what for."""
    return click.option("--node", metavar="SITE.AGENT", callback=_checked_node, help=text)


def _checked_node(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    from tinyprof_protocol.names import BadName, split_node

    try:
        if value is not None:
            split_node(value)
    except BadName as why:
        raise click.BadParameter(str(why)) from None
    return value


def board_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """`BOARD`, which a shell completes from what the broker keeps of the fleet."""
    return click.argument("board", required=required, shell_complete=_boards)


def metric_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """`METRIC`, which a shell completes."""
    return click.argument("metric", required=required, shell_complete=_metrics)


def _boards(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from tinyprof.completion import boards_like

    return boards_like(incomplete, ctx.params.get("broker"))


def _metrics(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    from tinyprof.completion import metrics_like

    return metrics_like(incomplete)


def broker_option(command: Command) -> Command:
    """`--broker`, or TINYPROF_BROKER."""
    return click.option(
        "--broker",
        envvar="TINYPROF_BROKER",
        metavar="URL",
        help="The MQTT broker: mqtt://[user:password@]host[:port], or mqtts:// for TLS.  "
        "[default: $TINYPROF_BROKER, else the local one]",
    )(command)


def service_broker_option(command: Command) -> Command:
    """`--broker` of a service, which has a configuration for it too."""
    return click.option(
        "--broker",
        metavar="URL",
        callback=_checked_broker,
        help="The MQTT broker; goes before TINYPROF_BROKER and the configuration.",
    )(command)


def _checked_broker(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """What is wrong with the option is said of it, not of the configuration that it becomes a part of."""
    from tinyprof_protocol.broker_address import BadAddress, parse_broker

    try:
        if value is not None:
            parse_broker(value)
    except BadAddress as why:
        raise click.BadParameter(str(why)) from None
    return value


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout, for programs.")(command)


def broker_address(option: str | None) -> Any:
    """The broker to use, a BrokerAddress. Raises WrongUse."""
    from tinyprof_protocol.broker_address import BadAddress, broker_from

    try:
        return broker_from(option)
    except BadAddress as why:
        raise WrongUse(str(why)) from None
