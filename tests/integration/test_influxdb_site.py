"""A whole site on a real InfluxDB: collector and database are killed, and each record is there once."""

import time

import pytest
from conservation import Site
from influx_site import InfluxSite
from influxd import TOKEN, Influxd
from roles import until

import tinyprof


@pytest.fixture
def database(tmp_path):
    folder = tmp_path / "influxd"
    folder.mkdir()
    running = Influxd(folder).start()
    yield running
    running.stop()


@pytest.fixture
def make(tmp_path, broker, database):
    sites: list[InfluxSite] = []

    def made(**more: str) -> InfluxSite:
        sites.append(InfluxSite(tmp_path, broker, database, **more))
        return sites[-1]

    yield made
    for site in sites:
        for role in site.roles:
            role.kill()


def test_database_and_collector_killed_at_random_moments(make, database, chance):
    site = make()
    site.start_collector()
    site.start_agent()
    for _ in range(3):
        site.wait_until_stored(20)
        time.sleep(chance.uniform(0.0, 0.4))
        database.kill()
        time.sleep(chance.uniform(0.0, 0.4))
        database.start()
        site.wait_until_stored(20)
        time.sleep(chance.uniform(0.0, 0.4))
        site.collector.kill()
        site.start_collector()
    site.agent.stop()
    site.settle()
    site.judge()


def test_a_collector_that_starts_without_its_database_says_so_and_goes_on_when_it_comes(make, database):
    site = make()
    database.kill()
    site.start_collector()
    site.collector.wait_for("nothing can be stored yet: store influxdb")
    site.start_agent("--count", "30")
    site.agent.wait_for("produced all")
    with tinyprof.connect(site.broker.url) as fleet:

        def says_why() -> bool:
            [reply] = fleet.status().collectors.values()
            return reply.collector.health == "critical" and any("no answer" in why for why in reply.collector.reasons)

        until("the collector is critical and says why", says_why)
    database.start()
    until("it is stored", lambda: site.stored_count() >= 30)
    site.agent.stop()
    site.settle()
    site.judge()


def test_a_wrong_token_for_a_while_loses_nothing_and_shows_nothing(make):
    site = make()
    site.token.write_text("wrong-secret")
    site.start_collector()
    site.collector.wait_for("the token (or user and password) is not accepted")
    site.start_agent("--count", "30")
    site.agent.wait_for("produced all")
    site.token.write_text(TOKEN)
    until("it is stored", lambda: site.stored_count() >= 30)
    site.agent.stop()
    site.settle()
    site.judge()
    assert TOKEN not in site.collector.log.read_text()
    assert "wrong-secret" not in site.collector.log.read_text()


def test_both_stores_have_it_all_though_the_database_was_away(make, database):
    site = make(use='"sqlite", "influxdb"')
    site.start_collector()
    site.start_agent()
    site.wait_until_stored(20)
    database.kill()
    site.wait_until_owed(50)
    site.collector.kill()
    site.start_collector()
    database.start()
    site.wait_until_stored(50)
    site.agent.stop()
    site.settle()
    ledger = site.judge()
    assert Site.stored_count(site) == site.stored_count() == sum(row.stored for row in ledger.rows)
