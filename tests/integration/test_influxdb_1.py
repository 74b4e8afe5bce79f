"""The influxdb store against a real InfluxDB 1.8: what the others are not asked for."""

import pytest
from influxd1 import DATABASE, Influxd1
from producing import EPOCH, NODE, arrivals, now_ns, result_of

from tinyprof_collector.stores.influx.influxdb import InfluxStore
from tinyprof_collector.stores.influx.provision import set_up
from tinyprof_collector.stores.influx.server import InfluxServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    running = Influxd1(tmp_path_factory.mktemp("influxd1")).start()
    yield running
    running.stop()


@pytest.fixture
def fresh(server: Influxd1):
    """The same server with an empty database."""
    server.empty()
    return server


@pytest.fixture
def store(fresh: Influxd1):
    store = InfluxStore(fresh.config())
    yield store
    store.close()


def test_posts_that_are_packed_are_taken(fresh):
    store = InfluxStore(fresh.config(gzip="on"))
    assert store.write(arrivals(range(1, 101))) == ["stored"] * 100
    assert store.count(NODE, EPOCH).held == 100
    store.close()


def test_setup_makes_policies_and_the_query_that_keeps_hourly_medians(fresh):
    fresh.query(f"DROP DATABASE {DATABASE}")
    server = InfluxServer(fresh.config())
    first = set_up(server, 30.0)
    assert first[0] == "InfluxDB 1.8.10"
    assert set_up(server, 30.0) == first
    [policies] = fresh.query(f"SHOW RETENTION POLICIES ON {DATABASE}")
    kept = {row[0]: row[1] for row in policies["values"]}
    assert kept == {"autogen": "720h0m0s", "for_ever": "0s"}
    [made] = [one for one in fresh.query("SHOW CONTINUOUS QUERIES") if one["name"] == DATABASE]
    assert [row[0] for row in made["values"]] == ["tinyprof_hourly"]


def test_the_hourly_medians_are_those_of_valid_runs(fresh, store):
    from tinyprof_collector.stores.influx.downsampling import continuous_query

    set_up(InfluxServer(fresh.config()), 0.0)
    store.write([*arrivals([1, 3, 5]), *arrivals([99], body=result_of(99, decode_tps=1.0, verdict="invalid"))])
    # The server runs it at each full hour only; here its own words are run now, over the hours in question.
    query = continuous_query(DATABASE).partition("BEGIN ")[2].removesuffix(" END")
    times = f" AND time > {now_ns() - 3600 * 10**9} AND time < {now_ns() + 3600 * 10**9} GROUP BY"
    fresh.query(times.join(query.split(" GROUP BY")))
    [series] = fresh.query('SELECT decode_tps FROM "for_ever"."tinyprof_hourly"')
    assert [row[1] for row in series["values"] if row[1] is not None] == [53.0]
