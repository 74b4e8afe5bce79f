"""The cache with the real roles: an agent that vouches for its board, a collector that is killed, the command line."""

import json
from collections.abc import Callable
from typing import Any

from brokers import Broker
from click.testing import CliRunner
from conservation import NODE, Site

from tinyprof.cli import tinyprof
from tinyprof.fleet import Fleet
from tinyprof_protocol.broker_address import parse_broker

BOARD = """
[[boards]]
name = "host"
driver = "host"
every_s = 0.0
sample_every_s = 0.0
[boards.options]
model = "{model}"
"""
NOISY = '[cache]\naccept = "unstable"\n'
"""On a busy machine runs are unstable, and still they are runs."""


def call(site: Site, *arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(tinyprof, [*arguments, "--json", "--broker", site.broker.url])
    assert done.exit_code == 0, (done.output, site.collector.tail(), site.agent.tail())
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def runs(site: Site) -> int:
    with Fleet(parse_broker(site.broker.url)) as fleet:
        return sum(board.results for board in fleet.boards().boards)


def wait_for_board(site: Site, model: str) -> None:
    from roles import until

    def open_now() -> bool:
        with Fleet(parse_broker(site.broker.url)) as fleet:
            agents = [view for reply in fleet.status().collectors.values() for view in reply.agents]
        return any(board.build and board.model == model for view in agents for board in view.status.boards)

    until(f"{model} is open", open_now, every_s=0.2)


def test_a_run_answers_again_over_a_kill_and_until_the_model_changes(
    broker: Broker, make_site: Callable[..., Site]
) -> None:
    site = make_site(broker, agent_toml=BOARD.format(model="stories260k-q8_0"), collector_toml=NOISY)
    site.start_collector()
    site.start_agent("--count", "1")
    wait_for_board(site, "stories260k-q8_0")

    first = call(site, "profile", "host", "--tokens", "8")
    assert (first["state"], first["cached"]) == ("finished", None)
    again = call(site, "profile", "host", "--tokens", "8")
    assert again["result"]["run_id"] == first["result"]["run_id"]
    assert again["cached"]["board"] == "host"
    assert again["cached"]["verdict"] == first["result"]["verdict"]
    assert runs(site) == 1

    site.collector.stop()
    site.start_collector()
    wait_for_board(site, "stories260k-q8_0")
    kept = call(site, "profile", "host", "--tokens", "8")
    assert kept["result"]["run_id"] == first["result"]["run_id"]

    past = call(site, "profile", "host", "--tokens", "8", "--no-cache")
    assert (past["cached"], past["result"]["run_id"] != first["result"]["run_id"]) == (None, True)

    site.agent.stop()
    config = site.folder / "agent.toml"
    config.write_text(config.read_text().replace("stories260k-q8_0", "stories260k-q4_0"))
    site.start_agent("--count", "1")
    wait_for_board(site, "stories260k-q4_0")
    other = call(site, "profile", "host", "--tokens", "8")
    assert (other["cached"], other["result"]["build"]["model"]) == (None, "stories260k-q4_0")
    assert runs(site) == 3

    warmed = [call(site, "cache", "warm", "quick", "--boards", f"{NODE}/host") for _ in range(2)]
    assert [one["boards"][0]["outcome"] for one in warmed] == ["ran", "known"]
    assert warmed[0]["boards"][0]["kept"] is True
    assert call(site, "cache", "clear")["cleared"] == 3
    assert call(site, "cache", "stats")["collectors"]["main"]["entries"] == 0
