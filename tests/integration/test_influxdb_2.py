"""The influxdb store against a real InfluxDB 2.7: what the others are not asked for."""

import pytest
from influxd import BUCKET, ORG, Influxd
from producing import arrivals, result_of

from tinyprof_collector.stores.influx.influxdb import InfluxStore
from tinyprof_collector.stores.influx.provision import set_up
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_collector.stores.store import StoreFailed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    running = Influxd(tmp_path_factory.mktemp("influxd")).start()
    yield running
    running.stop()


@pytest.fixture
def fresh(server: Influxd):
    """The same server with an empty bucket, without retention."""
    server.empty()
    return server


@pytest.fixture
def store(fresh: Influxd):
    store = InfluxStore(fresh.config())
    yield store
    store.close()


def test_an_organisation_that_is_not_there_is_named(fresh):
    store = InfluxStore(fresh.config(org="nobody"))
    assert "no organisation 'nobody'" in str(store.check_at_start())
    with pytest.raises(StoreFailed, match="no organisation 'nobody'"):
        store.write(arrivals([1]))
    store.close()


def test_setup_makes_what_is_missing_and_leaves_what_is_there(fresh):
    bucket = fresh.bucket()["id"]
    fresh.request("DELETE", f"/api/v2/buckets/{bucket}")
    server = InfluxServer(fresh.config())
    first = set_up(server, 30.0)
    again = set_up(server, 30.0)
    assert [line.split(": ")[1].split(",")[0] for line in first[1:]] == ["made", "made", "there", "made"]
    assert [line.split(": ")[1].split(",")[0] for line in again[1:]] == ["there"] * 4
    assert fresh.bucket()["retentionRules"][0]["everySeconds"] == 30 * 86400
    assert set_up(server, 7.0)[1] == "bucket tinyprof: now keeps 7 days"


def test_the_hourly_medians_are_those_of_valid_runs(fresh, store):
    from tinyprof_collector.stores.influx.downsampling import flux_script

    set_up(InfluxServer(fresh.config()), 0.0)
    invalid = result_of(99, decode_tps=1.0, verdict="invalid")
    store.write([*arrivals([1, 3, 5]), *arrivals([99], body=invalid)])
    fresh.flux(flux_script(BUCKET, ORG))
    values = fresh.flux(
        f'from(bucket: "{BUCKET}_hourly") |> range(start: -2d)'
        ' |> filter(fn: (r) => r._field == "decode_tps") |> keep(columns: ["_value"])'
    )
    assert sorted({line.split(",")[-1] for line in values.split() if line.startswith(",_result")}) == ["53"]
