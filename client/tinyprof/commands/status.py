"""`tinyprof status`: collectors, agents, boards by health, and the ledger."""

from typing import TYPE_CHECKING

import click

from tinyprof.fleet_health import as_bad_as, worst_of
from tinyprof.options import broker_address, broker_option, json_option, node_option
from tinyprof.terminal import CheckFailed, emit_json, one_line

if TYPE_CHECKING:
    from tinyprof.fleet_answers import FleetLedger, FleetStatus


@click.command("status")
@click.option("--verify", is_flag=True, help="Ask the stores themselves what they hold; exit 1 unless all adds up.")
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "stale", "critical"]),
    help="Exit 1 when a collector, an agent or a board is in this state or worse (offline counts as critical).",
)
@node_option("The ledger of one agent alone.")
@broker_option
@json_option
def command(broker: str | None, as_json: bool, verify: bool, fail_on: str | None, node: str | None) -> int:
    """Shows the fleet's health and ledger.

    Collectors, agents, boards by health, and where every record is.
    """
    from tinyprof.fleet import Fleet

    with Fleet(broker_address(broker)) as fleet:
        status = fleet.status()
        ledger = fleet.ledger(verify=verify, node=node)
    if node is not None and not ledger.rows and not ledger.gaps and node not in _agents_of(status):
        raise CheckFailed(f"no agent is called {node!r}; 'tinyprof status' lists those that there are")
    worst = worst_of(status)
    if as_json:
        emit_json(
            {
                "collectors": status.collectors,
                "health": worst,
                "ledger": {
                    "rows": ledger.rows,
                    "ok": ledger.ok,
                    "problems": ledger.problems,
                    "agents": ledger.agents,
                },
                "gaps": [*status.gaps, *(gap for gap in ledger.gaps if gap not in status.gaps)],
            }
        )
    else:
        _print(status, ledger, verify)
    failed = (verify and not ledger.ok) or (fail_on is not None and (as_bad_as(worst, fail_on) or bool(status.gaps)))
    return 1 if failed else 0


def _agents_of(status: "FleetStatus") -> set[str]:
    return {view.status.node for reply in status.collectors.values() for view in reply.agents}


def _print(status: "FleetStatus", ledger: "FleetLedger", verify: bool) -> None:
    from tinyprof.status_view import agents_table, caches, collectors_table, regressions

    click.echo(collectors_table(status))
    agents = agents_table(status, ledger)
    if agents:
        click.echo(f"\n{agents}")
    counts: dict[str, int] = {}
    for reply in status.collectors.values():
        for health, count in reply.boards_by_health.items():
            counts[health] = counts.get(health, 0) + count
    shown = ", ".join(f"{count:,} {one_line(health)}" for health, count in sorted(counts.items()) if count)
    click.echo("\n".join(["", f"boards: {shown or 'none yet'}", *regressions(status), *caches(status), ""]))
    _print_ledger(ledger, verify)
    replies = sorted(status.collectors.items())
    reasons = [(name, reason) for name, reply in replies for reason in reply.collector.reasons]
    reasons += [(view.status.node, reason) for _, reply in replies for view in reply.agents for reason in view.reasons]
    for name, reason in reasons:
        click.echo(f"{name}: {one_line(reason)}", err=True)
    for gap in status.gaps:
        click.echo(f"incomplete: {gap}", err=True)


def _print_ledger(ledger: "FleetLedger", verify: bool) -> None:
    from tinyprof.status_view import causes, ledger_table

    if not ledger.rows:
        click.echo("ledger: no agent has made a record yet")
        return
    click.echo(ledger_table(ledger, verify=verify))
    word = "adds up" if ledger.ok else "does not add up"
    click.echo(f"ledger: {word}{', by the stores themselves' if verify else ''}")
    for line in [*(one_line(problem) for problem in ledger.problems), *causes(ledger)]:
        click.echo(f"ledger: {line}", err=True)
