"""`tinyprof dashboard`: the fleet on the screen."""

from pathlib import Path
from typing import Literal, get_args

import click

from tinyprof.options import broker_address, broker_option, json_option, to_seconds
from tinyprof.terminal import CheckFailed

ScreenName = Literal["fleet", "pipeline", "jobs"]


@click.command("dashboard")
@click.option("--once", is_flag=True, help="Print the fleet once and end.")
@click.option("--screenshot", type=click.Path(dir_okay=False, path_type=Path), help="Write the screen as SVG and end.")
@click.option("--timeout", "timeout_s", default="5s", show_default=True, callback=to_seconds, metavar="DURATION",
              help="How long --once, --json and --screenshot wait for the fleet.")  # fmt: skip
@click.option("--screen", type=click.Choice(get_args(ScreenName)), default="fleet", show_default=True,
              help="Every board, where every record is and where the flow is stuck, or the jobs.")  # fmt: skip
@broker_option
@json_option
def command(
    broker: str | None, as_json: bool, once: bool, screenshot: Path | None, timeout_s: float, screen: ScreenName
) -> int:
    """Shows the whole fleet on the screen."""
    address = broker_address(broker)
    try:
        from tinyprof_dashboard.entry import run
    except ModuleNotFoundError as why:
        if (why.name or "").startswith("tinyprof"):
            raise
        raise CheckFailed(f"the dashboard needs the package {why.name}: pip install 'tinyprof[dashboard]'") from None
    return int(run(address, once=once, as_json=as_json, screenshot=screenshot, timeout_s=timeout_s, screen=screen))
