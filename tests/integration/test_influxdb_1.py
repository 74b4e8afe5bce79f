"""The influxdb store against a real InfluxDB 1.8: its users, its answers, its retention policies."""

import logging
from pathlib import Path

import pytest
from influxd1 import DATABASE, PASSWORD, Influxd1
from producing import EPOCH, NODE, arrivals, now_ns, result_of

from tinyprof_collector.stores.influx.influxdb import InfluxStore
from tinyprof_collector.stores.influx.provision import set_up
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_collector.stores.store import Refused, StoreFailed
from tinyprof_collector.verification import stored_runs
from tinyprof_protocol.series import series_of


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    running = Influxd1(tmp_path_factory.mktemp("influxd1")).start()
    yield running
    running.stop()


@pytest.fixture
def fresh(server: Influxd1):
    """The same server with an empty database."""
    server.query(f"DROP DATABASE {DATABASE}")
    server.query(f"CREATE DATABASE {DATABASE}")
    return server


@pytest.fixture
def store(fresh: Influxd1):
    store = InfluxStore(fresh.config())
    yield store
    store.close()


def test_records_are_written_once_counted_and_come_back_as_they_were_sent(store):
    sent = arrivals(range(1, 201))
    assert store.check_at_start() is None
    assert store.write(sent) == ["stored"] * 200
    assert store.write(sent) == ["stored"] * 200
    assert store.count(NODE).held == store.count(NODE, EPOCH).held == 200
    assert stored_runs([store], NODE, EPOCH) == [(1, 200)]
    runs = [one.record for one in sent if one.seq % 2]
    with store.read() as reader:
        assert reader.runs(NODE, "alpha", 5) == runs[-1:-6:-1]


def test_posts_that_are_packed_are_taken(fresh):
    store = InfluxStore(fresh.config(gzip="on"))
    assert store.write(arrivals(range(1, 101))) == ["stored"] * 100
    assert store.count(NODE, EPOCH).held == 100
    store.close()


def test_a_line_of_a_wrong_type_is_to_blame_alone(store, fresh):
    fresh.write(f'tinyprof_result decode_tps="text",x="any" {now_ns()}')
    answers = store.write([*arrivals([2, 4, 6]), *arrivals([7]), *arrivals([8])])
    assert [*answers[:3], answers[4]] == ["stored"] * 4
    assert isinstance(answers[3], Refused)
    assert "field type conflict" in answers[3].reason
    assert store.count(NODE, EPOCH).held == 4


def test_what_the_policy_keeps_no_more_is_expired(fresh):
    fresh.query(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION 2h SHARD DURATION 1h")
    store = InfluxStore(fresh.config())
    assert store.write([*arrivals([1], age_s=4 * 3600), *arrivals([2, 3])]) == ["expired", "stored", "stored"]
    store.close()


def test_a_policy_shortened_meanwhile_is_the_servers_own_word(store, fresh):
    fresh.query(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION 30d SHARD DURATION 1h")
    assert store.write(arrivals([1])) == ["stored"]
    fresh.query(f"ALTER RETENTION POLICY autogen ON {DATABASE} DURATION 2h SHARD DURATION 1h")
    answers = store.write([*arrivals(range(2, 20), age_s=4 * 3600), *arrivals(range(20, 40))])
    assert answers == ["expired"] * 18 + ["stored"] * 20


def test_what_was_acknowledged_survives_a_kill_of_the_server(tmp_path: Path):
    running = Influxd1(tmp_path).start()
    store = InfluxStore(running.config(timeout_s=5.0))
    try:
        assert store.write(arrivals(range(1, 1001))) == ["stored"] * 1000
        running.kill()
        with pytest.raises(StoreFailed, match="no answer"):
            store.write(arrivals([1001]))
        running.start()
        assert store.write(arrivals([1001])) == ["stored"]
        assert stored_runs([store], NODE, EPOCH) == [(1, 1001)]
    finally:
        store.close()
        running.stop()


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"password": "wrong-" + PASSWORD}, "is not accepted"), ({"bucket": "nowhere"}, "there is no bucket 'nowhere'")],
)
def test_a_wrong_setting_holds_all_and_is_named_in_a_line_without_the_password(fresh, caplog, changed, words):
    caplog.set_level(logging.DEBUG)
    store = InfluxStore(fresh.config(**changed))
    wrong = store.check_at_start()
    assert wrong is not None
    assert words in wrong
    with pytest.raises(StoreFailed, match=words):
        store.write(arrivals([1]))
    assert not [line for line in (wrong, caplog.text, repr(store._server), str(store.check())) if PASSWORD in line]
    store.close()


def test_history_and_what_stands_for_a_board(store):
    sent = arrivals(range(1, 11))
    store.write(sent)
    shown = series_of(result_of(1))
    with store.read() as reader:
        points = reader.history(NODE, "alpha", "decode_tps")
        assert [point.value for point in points] == [50.0 + seq for seq in (1, 3, 5, 7, 9)]
        assert reader.history(NODE, "alpha", "decode_tps", series="0" * 16) == []
        assert [point.value for point in reader.history(NODE, "alpha", "temperature_c")] == [40.0 + n for n in (4, 8)]
        assert reader.shown_series(NODE, "alpha") == shown
        [board] = reader.latest()
    assert (board.node, board.board, board.results, board.valid) == (NODE, "alpha", 5, 5)
    assert (board.result, board.sample) == (sent[8].record, sent[7].record)


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
