"""Two collectors split the fleet, real processes: one dies or freezes, the other takes over, the first wakes late."""

import json
import time
from collections import Counter

import pytest
from click.testing import CliRunner
from faults.stranger import Stranger
from roles import until
from several_site import ALL, HALVES, HIGH, LOW, STATUS_INTERVAL_S, SeveralSite, redis_in, several_site

from tinyprof.cli import tinyprof
from tinyprof.fleet import Fleet, FleetError
from tinyprof_protocol.names import partition_of

UNOWNED = "no live collector owns partition 00, 01, 02, 03, 04, 05, 06, 07"


@pytest.fixture
def redis(tmp_path):
    with redis_in(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def site(tmp_path, redis):
    with several_site(SeveralSite, tmp_path, redis) as made:
        yield made


def judge(site: SeveralSite) -> None:
    """Each record in the store once, under one row of the ledger, and nobody crashed over it."""
    ledger = site.judge()
    epochs = Counter((row.node, row.epoch) for row in ledger.rows)
    assert set(epochs.values()) == {1}
    assert sum(row.stored_on_word for row in ledger.rows) == 0
    assert sum(row.stored for row in ledger.rows) == site.stored_count()
    for role in site.roles:
        assert "Traceback" not in role.log.read_text(errors="replace"), role.name


def test_the_other_takes_over_the_partitions_of_one_that_was_killed(site):
    site.start_all()
    site.wait_until_all_flow()
    site.collectors["one"].kill()
    site.wait_until_owed_by("one", 100)
    with site.fleet() as fleet:
        assert fleet.status().gaps == [UNOWNED]
        assert not fleet.ledger().ok
    site.serve("two", ALL)
    site.wait_until_all_flow()
    with site.fleet() as fleet:
        assert fleet.status().gaps == []
        assert {row.node for row in fleet.ledger().rows} == {"lab.one", "lab.bench"}
    site.settle_all()
    judge(site)


def test_one_that_is_frozen_and_wakes_late_does_no_harm_and_leaves_what_was_taken(site, chance):
    site.start_all()
    one = site.collectors["one"]
    for _ in range(2):
        site.wait_until_all_flow()
        time.sleep(chance.uniform(0.0, 0.4))
        one.freeze()
        site.serve("two", ALL)
        site.wait_until_all_flow()
        one.thaw()
        status = site.until_says("one", "sees the newer claim", lambda status: not status.partitions)
        assert status.health == "critical"
        assert "collector two has claimed partitions 0-7 after this one and serves them" in status.reasons[0]
        site.wait_until_all_flow()
        # Back to halves: the first claims its own again and the second leaves them, until it is started anew itself.
        site.serve("one", LOW)
        site.until_says("two", "leaves them", lambda status: status.partitions == list(range(8, 16)))
        site.serve("two", HIGH)
    site.settle_all()
    judge(site)


def test_who_asks_goes_to_the_owner_and_is_told_of_the_one_that_is_frozen(site):
    site.start_all()
    site.wait_until_all_flow()
    with site.fleet() as fleet:
        assert set(fleet.status().collectors) == {"one", "two"}
        assert owner(fleet, "lab.one") == "one"
        site.collectors["one"].freeze()
        assert "collector one is silent" in fleet.status().gaps
        until(
            "three of its intervals are over", lambda: fleet.status().gaps == [UNOWNED], every_s=STATUS_INTERVAL_S / 4
        )
        with pytest.raises(FleetError, match=r"owns partition 03, that of lab\.one; live are two"):
            owner(fleet, "lab.one")
        assert owner(fleet, "lab.bench") == "two"
        site.serve("two", ALL)
        until("the taker is asked", lambda: owner(fleet, "lab.one") == "two")
        site.collectors["one"].thaw()
        until("both answer", lambda: set(fleet.status().collectors) == {"one", "two"} and not fleet.status().gaps)
        assert owner(fleet, "lab.one") == "two"
    site.settle_all()
    judge(site)


def owner(fleet: Fleet, node: str) -> str:
    """Which collector a request about a node goes to."""
    return fleet._channel.owner_of(partition_of(node), node)


def test_a_redis_that_is_killed_or_frozen_holds_everything_and_loses_nothing(site, redis, chance):
    site.start_all()
    where = f"redis redis://127.0.0.1:{redis.port}"
    for away, back in ((redis.kill, redis.start), (redis.freeze, redis.thaw)):
        site.wait_until_all_flow()
        time.sleep(chance.uniform(0.0, 0.4))
        away()
        site.wait_until_owed_by("one", 100)
        site.until_says("one", "is critical", lambda status: any(where in why for why in status.reasons))
        back()
    site.wait_until_all_flow()
    site.settle_all()
    judge(site)


def test_a_redis_that_has_forgotten_everything_is_filled_again_from_the_store(site, redis):
    site.start_all()
    site.wait_until_all_flow()
    redis.forget()
    redis.start()
    for name in site.collectors:
        site.collectors[name].wait_for("has lost what it kept")
    site.wait_until_all_flow()
    site.settle_all()
    judge(site)


def test_collectors_killed_at_random_moments_and_handed_over_each_time(site, chance):
    site.start_all()
    shares = {"one": LOW, "two": HIGH}
    for _ in range(3):
        site.wait_until_all_flow(20)
        dies, lives = chance.sample(["one", "two"], 2)
        time.sleep(chance.uniform(0.0, 0.4))
        site.collectors[dies].kill()
        site.serve(lives, ALL)
        site.wait_until_all_flow(20)
        site.serve(dies, shares[dies])
        site.serve(lives, shares[lives])
    site.settle_all()
    judge(site)


def test_the_check_asks_the_redis_too_and_shows_no_password(site, redis):
    config = site.folder / "collector-one.toml"
    config.write_text(config.read_text().replace("redis://127", "redis://nobody:not-to-be-shown@127"))
    said = CliRunner().invoke(tinyprof, ["collector", "check", "--config", str(config)])
    assert said.exit_code == 1
    assert "check the user and the password in state.url" in said.stderr
    assert "not-to-be-shown" not in said.output
    config.write_text(config.read_text().replace("nobody:not-to-be-shown@", ""))
    said = CliRunner().invoke(tinyprof, ["collector", "check", "--config", str(config)])
    assert (said.exit_code, said.stdout) == (0, "store influxdb: all is right\nstate redis: all is right\n")
    redis.kill()
    said = CliRunner().invoke(tinyprof, ["collector", "check", "--config", str(config), "--json"])
    assert said.exit_code == 1
    assert json.loads(said.stdout)["state"].startswith(f"redis redis://127.0.0.1:{redis.port}/0: ")


def test_what_one_has_in_quarantine_is_counted_by_who_serves_its_node_now(site, chance):
    for name, partitions in HALVES.items():
        site.serve(name, partitions)
    for agent in site.agents.values():
        site.start_agent("--count", "30", agent=agent)
    stranger = Stranger(site.broker.url, site.obligations)
    stranger.start()
    try:
        stranger.send_poison(chance)
        until("it is acknowledged", stranger.send_what_is_owed)
        site.collectors["two"].kill()
        site.serve("one", ALL)
        assert quarantined(site) == (stranger.poison, {"one": 0})
        stranger.send_poison(chance)  # which the other one's quarantine gets
        until("it is acknowledged", stranger.send_what_is_owed)
        site.serve("two", HIGH)
        site.until_says("one", "leaves what two has", lambda status: len(status.partitions) == 8)
        until("two knows all", lambda: quarantined(site) == (stranger.poison, {"one": 4, "two": 4}))
        site.serve("two", HIGH)
        assert quarantined(site) == (stranger.poison, {"one": 4, "two": 4})
    finally:
        stranger.stop()
    site.settle_all()
    site.judge(poison=stranger.poison)


def quarantined(site: SeveralSite) -> tuple[int, dict[str, int]]:
    """How many records the ledger calls quarantined, and how many each collector can list."""
    with site.fleet(3.0) as fleet:
        listed = fleet.quarantine("list").collectors
        rows = fleet.ledger().rows
    records = {name: sum(item.seq is not None for item in reply.items) for name, reply in listed.items()}
    return sum(row.quarantined for row in rows), records


def test_a_redis_that_is_full_holds_everything_and_loses_nothing(site, redis):
    site.start_all()
    site.wait_until_all_flow()
    with redis.client() as client:
        client.config_set("maxmemory", 1)
        site.wait_until_owed_by("one", 100)
        said = site.until_says("one", "is critical", lambda status: any("no room" in why for why in status.reasons))
        assert any("raise maxmemory" in why for why in said.reasons)
        site.collectors["one"].kill()
        client.config_set("maxmemory", 0)
    site.serve("one", LOW)
    site.wait_until_all_flow()
    site.settle_all()
    judge(site)


def test_two_that_claim_all_in_turn_while_redis_is_flushed_and_one_is_frozen_lose_nothing(site, redis, chance):
    site.start_all()
    site.wait_until_all_flow(10)
    for _ in range(3):
        frozen, lives = chance.sample(["one", "two"], 2)
        site.collectors[frozen].freeze()
        site.serve(lives, ALL)
        with redis.client() as client:
            client.flushall()
        site.collectors[frozen].thaw()
        time.sleep(chance.uniform(0.0, 0.4))
        site.collectors[lives].kill()
        site.serve(frozen, ALL)
        site.serve(lives, ALL)
        site.wait_until_all_flow(10)
    site.serve("one", LOW)
    site.serve("two", HIGH)
    site.settle_all()
    judge(site)
