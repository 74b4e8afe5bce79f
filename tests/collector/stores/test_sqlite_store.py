"""The embedded store: once each, durable, bounded, and readable from another thread."""

import sqlite3
import threading

import pytest
from msgspec import structs

from tinyprof_collector.board_history import history_of
from tinyprof_collector.ledger import StoreCount
from tinyprof_collector.stores.sqlite import DAY_NS, SqliteStore
from tinyprof_collector.stores.store import Refused, StoreFailed
from tinyprof_protocol.records import Figure, Sample
from tinyprof_protocol.series import series_of


@pytest.fixture
def store(tmp_path, make):
    store = SqliteStore(tmp_path / "store.sqlite", clock=lambda: make.now_ns, monotonic=lambda: 0.0, busy_timeout_ms=0)
    yield store
    store.close()


def results(make, seqs, **how):
    return [make.arrival(seq, make.record(seq, make.result(seq, **how))) for seq in seqs]


def test_each_record_is_written_once_and_said_to_be_there_after_that(store, make):
    assert store.write([make.arrival(seq) for seq in (1, 2, 3)]) == ["stored"] * 3
    assert store.write([make.arrival(seq) for seq in (2, 3, 4, 4)]) == ["held", "held", "stored", "held"]
    assert store.write([make.arrival(1), make.arrival(10**9)]) == ["held", "stored"]
    assert store.count(make.node, make.epoch()) == StoreCount(5)


def test_the_same_seq_of_another_epoch_or_node_is_another_record(store, make):
    arrivals = [make.arrival(1), make.arrival(1, epoch=make.epoch(2)), make.arrival(1, node="lab.other")]
    assert store.write(arrivals) == ["stored"] * 3
    assert store.count(make.node) == StoreCount(2)
    assert store.count("lab.other", make.epoch()) == StoreCount(1)
    assert store.count("lab.none") == StoreCount(0)


def test_the_file_is_durable_and_versioned(store, tmp_path):
    connection = store._connection
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreFailed, match="schema version 99"):
        SqliteStore(tmp_path / "store.sqlite")


def test_records_come_back_as_they_were_sent(store, make):
    arrivals = results(make, [1, 2, 3])
    store.write([arrivals[1], arrivals[0], arrivals[2]])
    with store.read() as reader:
        assert reader.runs(make.node, "alpha", 2) == [arrivals[2].record, arrivals[1].record]
        assert reader.runs(make.node, "beta") == []


def test_history_is_the_newest_points_oldest_first(store, make):
    for seq in (3, 1, 2):
        store.write(results(make, [seq], decode_tps=50.0 + seq, verdict="valid" if seq != 2 else "unstable"))
    readings = make.record(4, Sample({"temperature_c": 41.5}, board="alpha"))
    store.write([make.arrival(4, readings)])
    with store.read() as reader:
        points = reader.history(make.node, "alpha", "decode_tps", limit=2)
        assert [(point.value, point.low, point.high, point.verdict) for point in points] == [
            (52.0, 51.0, 53.0, "unstable"),
            (53.0, 52.0, 54.0, "valid"),
        ]
        assert points[1].run_id == (3).to_bytes(16, "big")
        since_ns = points[1].time_ns
        assert [point.value for point in reader.history(make.node, "alpha", "decode_tps", since_ns)] == [53.0]
        (temperature,) = reader.history(make.node, "alpha", "temperature_c")
        assert (temperature.value, temperature.time_ns, temperature.run_id) == (41.5, readings.time_ns, b"")
        assert reader.history(make.node, "alpha", "no_such_metric") == []
        assert reader.history("lab.none", "alpha", "decode_tps") == []


def test_results_come_in_pages_by_time_whole_and_of_one_board(store, make):
    sent = results(make, range(1, 8))
    other = make.arrival(8, make.record(8, make.result(8, board="beta")))
    sample = make.arrival(9)
    store.write([*reversed(sent), other, sample])
    with store.read() as reader:
        first = reader.results(make.node, "alpha", limit=3)
        rest = reader.results(make.node, "alpha", after_ns=first[-1].time_ns, limit=10)
        until = reader.results(make.node, "alpha", until_ns=first[1].time_ns)
        assert reader.results(make.node, "nobody") == []
    assert first + rest == [arrival.record for arrival in sent]
    assert until == first[:2]


def test_latest_says_what_is_known_of_each_board(store, make):
    store.write(results(make, [1, 2], decode_tps=40.0) + results(make, [3], decode_tps=30.0, verdict="invalid"))
    store.write(results(make, [4], board="beta"))
    sample = make.record(5, Sample({"temperature_c": 41.5}, board="alpha"))
    store.write([make.arrival(5, sample), make.arrival(6, make.event(6))])
    with store.read() as reader:
        alpha, beta = reader.latest()
        assert [board.board for board in reader.latest("lab.none")] == []
    assert (alpha.board, alpha.results, alpha.valid, alpha.unstable, alpha.invalid) == ("alpha", 3, 2, 0, 1)
    assert (alpha.sample, alpha.result.body.run_id) == (sample, bytes(15) + b"\x03")
    assert [(run.verdict, run.decode_tps) for run in alpha.newest] == [
        ("valid", 40.0),
        ("valid", 40.0),
        ("invalid", 30.0),
    ]
    assert alpha.newest[-1].time_ns == alpha.result.time_ns
    assert (beta.board, beta.results, beta.sample) == ("beta", 1, None)


def other_suite(make, seq, job_id=None, decode_tps=9.0):
    body = make.result(seq, decode_tps=decode_tps)
    return make.arrival(seq, make.record(seq, structs.replace(body, suite="standard", job_id=job_id)))


def test_runs_of_other_series_are_kept_apart_and_counted(store, make):
    store.write(results(make, [1, 2]))
    store.write([other_suite(make, seq, b"j" * 16) for seq in (3, 4, 5)])
    reading = make.record(6, Sample({"decode_tps": 1.0}, board="alpha"))
    store.write([make.arrival(6, reading)])
    quick, standard = (series_of(body) for body in (make.result(1), other_suite(make, 1).record.body))
    with store.read() as reader:
        board = (make.node, "alpha")
        assert reader.shown_series(*board) == quick
        assert reader.shown_series(make.node, "none") == ""
        of_all = reader.history(*board, "decode_tps")
        assert [point.series for point in of_all] == [quick, quick, standard, standard, standard, ""]
        assert [p.value for p in reader.history(*board, "decode_tps", series=quick)] == [50.0, 50.0, 1.0]
        assert [p.value for p in reader.history(*board, "decode_tps", limit=2, series=standard)] == [9.0, 1.0]
        assert reader.others(*board, "decode_tps", quick) == 3
        assert reader.others(*board, "decode_tps", quick, of_all[3].time_ns) == 2
        assert reader.others(*board, "temperature_c", quick) == 0
        described = reader.describe(*board, [standard, "0" * 16, quick])
        assert [(one.series, one.suite, one.prompt, one.max_tokens) for one in described] == [
            (standard, "standard", "Once upon a time", 64),
            (quick, "quick", "Once upon a time", 64),
        ]


def test_what_stands_for_a_board_is_its_newest_scheduled_series(store, make):
    store.write([other_suite(make, 1, b"j" * 16), other_suite(make, 2, b"j" * 16)])
    with store.read() as reader:
        (latest,) = reader.latest()
        assert (latest.result.body.suite, latest.scheduled_ns, len(latest.newest)) == ("standard", None, 2)
        store.write(results(make, [3]))
        store.write([other_suite(make, 4, b"j" * 16)])
        (latest,) = reader.latest()
    assert (latest.result.body.suite, latest.scheduled_ns) == ("quick", latest.result.time_ns)
    assert [run.decode_tps for run in latest.newest] == [50.0]
    assert latest.results == 4
    history = history_of(latest, make.now_ns)
    assert (history.series, history.shown().result) == (series_of(latest.result.body), latest.result.body)


def test_a_series_is_found_within_the_index(store, make):
    store.write(results(make, [1]))
    plan = (
        "EXPLAIN QUERY PLAN SELECT series FROM records WHERE board_id = 1 AND kind = 0 AND NOT asked ORDER BY time_ns"
    )
    assert "COVERING INDEX records_by_board" in store._connection.execute(plan).fetchone()[3]


def test_a_reader_in_another_thread_sees_what_was_committed(store, make):
    store.write(results(make, [1]))
    seen = []

    def look():
        with store.read() as reader:
            seen.append(len(reader.runs(make.node, "alpha")))
            store_is_free.wait(60)
            seen.append(len(reader.runs(make.node, "alpha")))

    store_is_free = threading.Event()
    thread = threading.Thread(target=look)
    thread.start()
    store.write(results(make, [2]))
    store_is_free.set()
    thread.join(60)
    assert seen[0] in (1, 2)
    assert seen[1] == 2


def test_a_reader_cannot_write(store):
    with store.read() as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM records")


def test_records_outside_the_retention_are_expired_and_not_written(store, make):
    old = make.record(1, age_s=31 * 24 * 3600.0)
    assert store.write([make.arrival(1, old), make.arrival(2)]) == ["expired", "stored"]
    assert store.count(make.node, make.epoch()) == StoreCount(1)


def test_what_becomes_too_old_is_deleted_and_counted(tmp_path, make):
    now = [make.now_ns, 0.0]
    store = SqliteStore(tmp_path / "s.sqlite", clock=lambda: now[0], monotonic=lambda: now[1], retention_days=10)
    store.write([*results(make, range(1, 51)), make.arrival(51, make.event(51))])
    now[0] += 11 * DAY_NS
    fresh = structs.replace(make.record(60), time_ns=now[0])
    store.write([make.arrival(60, fresh)])
    assert store.count(make.node, make.epoch()) == StoreCount(52), "not due yet"
    now[1] += 61.0
    store.write([])
    assert store.count(make.node, make.epoch()) == StoreCount(1, 51)
    assert store._connection.execute("SELECT COUNT(*) FROM figures").fetchone() == (1,)
    assert store.write([make.arrival(60, fresh), make.arrival(1)]) == ["held", "expired"]
    store.close()


def test_a_locked_file_takes_nothing_and_says_so(store, tmp_path, make):
    lock = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreFailed, match="locked"):
        store.write([make.arrival(1)])
    assert "locked" in store.check()
    lock.execute("ROLLBACK")
    lock.close()
    assert store.write([make.arrival(1)]) == ["stored"]
    assert store.check() is None


def test_a_full_file_takes_nothing_and_loses_nothing(tmp_path, make):
    store = SqliteStore(tmp_path / "store.sqlite", clock=lambda: make.now_ns, max_bytes=120 * 1024)
    written = 0
    try:
        while written < 10_000:
            assert store.write(results(make, range(written + 1, written + 51))) == ["stored"] * 50
            written += 50
    except StoreFailed as why:
        assert "full" in str(why)  # noqa: PT017  (the one write that fails is not known beforehand)
    assert 0 < written < 10_000
    assert "full" in store.check()
    assert store.count(make.node, make.epoch()) == StoreCount(written)
    store.close()
    store = SqliteStore(tmp_path / "store.sqlite", clock=lambda: make.now_ns)
    assert store.write(results(make, range(written - 1, written + 3))) == ["held"] * 2 + ["stored"] * 2
    store.close()


def test_a_record_that_breaks_a_rule_is_refused_and_its_neighbours_are_written(store, make):
    bad = make.result(2)
    bad = structs.replace(bad, figures={"ttft_ms": Figure(float("nan"))})
    arrivals = [make.arrival(1), make.arrival(2, make.record(2, bad)), make.arrival(3)]
    answers = store.write(arrivals)
    assert (answers[0], answers[2]) == ("stored", "stored")
    assert isinstance(answers[1], Refused)
    assert "NOT NULL" in answers[1].reason
    assert store.count(make.node, make.epoch()) == StoreCount(2)
    assert store.write([make.arrival(4)]) == ["stored"], "ids given in what was rolled back must not be used again"


def test_names_first_seen_in_what_a_broken_file_did_not_take_are_found_again(store, make):
    def broken(action: int, what: str | None, *_: object) -> int:
        refused = (sqlite3.SQLITE_TRANSACTION, "COMMIT"), (sqlite3.SQLITE_READ, "metrics")
        return sqlite3.SQLITE_DENY if (action, what) in refused and breaks.is_set() else sqlite3.SQLITE_OK

    breaks = threading.Event()
    store._connection.set_authorizer(broken)
    one = structs.replace(make.result(1, board="gamma"), figures={"odd_metric": Figure(7.0)})
    arrival = make.arrival(1, make.record(1, one), node="lab.new")
    store._known_metrics({"odd_metric": 7.0})  # the last time that `metrics` can be read
    store._connection.execute("DELETE FROM metrics")
    breaks.set()
    with pytest.raises(StoreFailed):
        store.write([arrival])
    breaks.clear()
    assert store.write([arrival]) == ["stored"]
    with store.read() as reader:
        assert [point.value for point in reader.history("lab.new", "gamma", "odd_metric")] == [7.0]


def test_names_first_seen_in_what_was_rolled_back_are_found_again(store, make):
    bad = structs.replace(make.result(1, board="gamma"), figures={"odd_metric": Figure(float("nan"))})
    assert isinstance(store.write([make.arrival(1, make.record(1, bad), node="lab.new")])[0], Refused)
    good = structs.replace(bad, figures={"odd_metric": Figure(7.0)})
    assert store.write([make.arrival(1, make.record(1, good), node="lab.new")]) == ["stored"]
    with store.read() as reader:
        assert [point.value for point in reader.history("lab.new", "gamma", "odd_metric")] == [7.0]


def test_a_file_that_is_no_database_is_an_error_and_stays(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreFailed, match="not a database"):
        SqliteStore(path)
    assert path.read_bytes() == b"no database" * 1000


def test_a_retention_that_cannot_delete_says_so_and_holds_no_record(tmp_path, make):
    now = [make.now_ns, 0.0]
    path = tmp_path / "s.sqlite"
    store = SqliteStore(path, clock=lambda: now[0], monotonic=lambda: now[1], retention_days=10)
    assert store.write([make.arrival(1)]) == ["stored"]
    with sqlite3.connect(path) as other:
        other.execute("CREATE TRIGGER stuck BEFORE DELETE ON records BEGIN SELECT RAISE(FAIL, 'no room'); END")
    now[:] = [make.now_ns + 11 * DAY_NS, 100.0]
    young = make.record(2, age_s=-11 * 24 * 3600.0)
    assert store.write([make.arrival(2, young)]) == ["stored"]
    assert "past its retention cannot be deleted: no room" in (store.check() or "")
    with sqlite3.connect(path) as other:
        other.execute("DROP TRIGGER stuck")
    now[1] = 200.0
    assert store.write([make.arrival(3, structs.replace(young, time_ns=young.time_ns + 1000))]) == ["stored"]
    assert store.check() is None
    assert store.count(make.node) == StoreCount(2, 1)
    store.close()


def test_a_clock_that_runs_ahead_of_all_records_deletes_nothing_and_expires_nothing(tmp_path, make):
    now_ns = [make.now_ns]
    store = SqliteStore(tmp_path / "store.sqlite", clock=lambda: now_ns[0], monotonic=lambda: 0.0)
    store.write([make.arrival(seq) for seq in range(1, 11)])
    now_ns[0] += 365 * DAY_NS
    assert store.tidy() == 0
    assert store.write([make.arrival(11)]) == ["stored"]
    store.close()
    again = SqliteStore(tmp_path / "store.sqlite", clock=lambda: now_ns[0], monotonic=lambda: 0.0)
    assert again.tidy() == 0
    later = make.record(12)
    assert again.write([make.arrival(12, structs.replace(later, time_ns=now_ns[0]))]) == ["stored"]
    again.tidy()
    assert again.count(make.node, make.epoch()) == StoreCount(1, 11), "the records' own time has gone on as well"
    again.close()
