"""The influxdb store against real servers, InfluxDB 2.7 and 1.8: what it promises on each."""

import itertools
import logging
import threading
from pathlib import Path

import pytest
from influxd import Influxd
from influxd1 import Influxd1
from msgspec.structs import replace
from producing import BUILD, EPOCH, NODE, arrivals, now_ns, result_of

from tinyprof_collector.stores.influx.influxdb import InfluxStore
from tinyprof_collector.stores.store import Refused, StoreFailed
from tinyprof_collector.verification import held_runs, stored_runs
from tinyprof_protocol.records import Figure, Result
from tinyprof_protocol.requests import Point
from tinyprof_protocol.series import series_of

READS = 200


@pytest.fixture(scope="module", params=[Influxd, Influxd1], ids=["2.7", "1.8"])
def program(request):
    return request.param


@pytest.fixture(scope="module")
def server(program, tmp_path_factory: pytest.TempPathFactory):
    running = program(tmp_path_factory.mktemp("influxd")).start()
    yield running
    running.stop()


@pytest.fixture
def fresh(server):
    """The same server with nothing in it, that keeps for ever."""
    server.empty()
    return server


@pytest.fixture
def store(fresh):
    store = InfluxStore(fresh.config())
    yield store
    store.close()


def test_records_are_written_once_counted_and_come_back_as_they_were_sent(store):
    sent = arrivals(range(1, 201))
    assert store.check_at_start() is None
    assert store.write(sent) == ["stored"] * 200
    assert store.write(sent) == ["stored"] * 200
    assert store.count(NODE).held == store.count(NODE, EPOCH).held == 200
    assert store.count(NODE, EPOCH, 11, 20).held == 10
    assert store.count("lab.other").held == 0
    assert stored_runs([store], NODE, EPOCH) == [(1, 200)]
    runs = [one.record for one in sent if one.seq % 2]
    with store.read() as reader:
        assert reader.runs(NODE, "alpha", 5) == runs[-1:-6:-1]


def test_what_was_acknowledged_survives_a_kill_of_the_server(program, tmp_path: Path):
    running = program(tmp_path).start()
    store = InfluxStore(running.config(timeout_s=5.0))
    try:
        assert store.write(arrivals(range(1, 1001))) == ["stored"] * 1000
        running.kill()
        with pytest.raises(StoreFailed, match="no answer"):
            store.write(arrivals([1001]))
        assert "no answer" in (store.check() or "")
        running.start()
        assert store.write(arrivals([1001])) == ["stored"]
        assert store.check() is None
        assert stored_runs([store], NODE, EPOCH) == [(1, 1001)]
    finally:
        store.close()
        running.stop()


def test_what_the_server_shows_but_could_not_write_to_its_disk_is_written_again(program, tmp_path: Path):
    running = program(tmp_path).start()
    store = InfluxStore(running.config())
    new = InfluxStore(running.config())
    try:
        store.write(arrivals(range(1, 21)))
        running.fail_writes()
        for one in (store, new):
            # The first is told that it failed; to the other, which asks what is there, the server shows them all.
            with pytest.raises(StoreFailed, match="file too large"):
                one.write(arrivals(range(21, 421)))
        assert new.count(NODE).held == 420
        running.kill()
        running.start()
        assert new.count(NODE).held == 20
        assert new.write(arrivals(range(21, 421))) == ["held"] * 400
        assert new.count(NODE).held == 420
    finally:
        store.close()
        new.close()
        running.stop()


def test_what_is_read_while_it_is_written_is_whole_or_not_there(store):
    done = threading.Event()

    def body(seq: int) -> Result:
        figure = Figure(float(seq), seq - 1.0, seq + 1.0, 0.969, 6, estimated=True)
        return replace(result_of(seq), figures={"bound_pct": figure, "ttft_ms": figure})

    def write() -> None:
        for first in itertools.count(1, 20):
            if done.is_set():
                return
            store.write([one for seq in range(first, first + 20) for one in arrivals([seq], body=body(seq))])

    writer = threading.Thread(target=write)
    writer.start()
    runs: dict[bytes, Result] = {}
    points: list[Point] = []
    try:
        reader = store.read()
        for _ in range(READS):
            runs.update((record.body.run_id, record.body) for record in reader.runs(NODE, "alpha", 40))
            for metric in ("bound_pct", "ttft_ms"):
                points += reader.history(NODE, "alpha", metric, limit=40)
    finally:
        done.set()
        writer.join()
    assert len(runs) > READS
    assert len(points) > READS
    assert all(run == body(int.from_bytes(run_id)) for run_id, run in runs.items())
    for point in points:
        seq = int.from_bytes(point.run_id)
        assert (point.value, point.low, point.high, point.verdict) == (seq, seq - 1, seq + 1, "valid")


@pytest.mark.parametrize("wrong_part", ["secret", "bucket"])
def test_a_wrong_setting_holds_all_is_named_in_a_line_and_shows_no_secret(fresh, caplog, wrong_part):
    caplog.set_level(logging.DEBUG)
    changed = fresh.wrong_secret if wrong_part == "secret" else {"bucket": "nowhere"}
    words = "is not accepted" if wrong_part == "secret" else "there is no bucket 'nowhere'"
    config = fresh.config(**changed)
    store = InfluxStore(config)
    wrong = store.check_at_start()
    assert wrong is not None
    assert words in wrong
    with pytest.raises(StoreFailed, match=words) as raised:
        store.write(arrivals([1]))
    shown = [wrong, str(raised.value), repr(raised.value), repr(config), repr(store._server), str(store.check())]
    assert not [line for line in [*shown, caplog.text] if fresh.secret in line]
    assert "\n" not in wrong
    store.close()


def test_a_line_of_a_wrong_type_is_to_blame_alone(store, fresh):
    """Events have no metric: their neighbours, whose field has another type now, are refused."""
    fresh.write(f'tinyprof_result decode_tps="text",x="any" {now_ns()}')
    sent = [*arrivals([2, 4, 6]), *arrivals([7]), *arrivals([8])]
    answers = store.write(sent)
    assert answers[:3] == ["stored"] * 3
    assert answers[4] == "stored"
    assert isinstance(answers[3], Refused)
    assert "field type conflict" in answers[3].reason
    assert store.count(NODE, EPOCH).held == 4


def test_what_is_kept_no_more_is_expired(fresh):
    fresh.keep_for(hours=2)
    store = InfluxStore(fresh.config())
    answers = store.write([*arrivals([1], age_s=4 * 3600), *arrivals([2, 3])])
    assert answers == ["expired", "stored", "stored"]
    store.close()


def test_a_retention_shortened_meanwhile_is_the_servers_own_word(fresh):
    fresh.keep_for(hours=30 * 24)
    store = InfluxStore(fresh.config())
    assert store.write(arrivals([1])) == ["stored"]
    fresh.keep_for(hours=2)
    answers = store.write([*arrivals(range(2, 40), age_s=4 * 3600), *arrivals(range(40, 60))])
    assert answers == ["expired"] * 38 + ["stored"] * 20
    assert store._poster.counts["lines_blamed"] == 0
    store.close()


def test_history_and_what_stands_for_a_board(store):
    sent = arrivals(range(1, 11))
    store.write(sent)
    shown = series_of(result_of(1))
    with store.read() as reader:
        points = reader.history(NODE, "alpha", "decode_tps")
        assert [point.value for point in points] == [50.0 + seq for seq in (1, 3, 5, 7, 9)]
        assert points[0].verdict == "valid"
        assert points[0].run_id == (1).to_bytes(16, "big")
        assert (points[0].low, points[0].high, points[0].series) == (50.0, 52.0, shown)
        assert [point.value for point in reader.history(NODE, "alpha", "decode_tps", limit=2)] == [57.0, 59.0]
        assert reader.history(NODE, "alpha", "decode_tps", since_ns=sent[4].record.time_ns) == points[2:]
        assert reader.history(NODE, "alpha", "decode_tps", series="0" * 16) == []
        assert reader.others(NODE, "alpha", "decode_tps", "0" * 16) == 5
        assert [point.value for point in reader.history(NODE, "alpha", "temperature_c")] == [40.0 + n for n in (4, 8)]
        assert reader.shown_series(NODE, "alpha") == shown
        assert [one.series for one in reader.describe(NODE, "alpha", ["0" * 16, shown])] == [shown]
        [board] = reader.latest()
    assert (board.node, board.board, board.results, board.valid) == (NODE, "alpha", 5, 5)
    assert board.result == sent[8].record
    assert board.sample == sent[7].record
    assert [run.decode_tps for run in board.newest] == [51.0, 53.0, 55.0, 57.0, 59.0]


def test_a_record_that_is_sent_again_overwrites_itself(store, fresh):
    store.write(arrivals([1, 2, 3]))
    again = InfluxStore(fresh.config())
    assert again.write(arrivals([2, 3, 4])) == ["held", "held", "stored"]
    assert store.write(arrivals([1, 2, 3, 4])) == ["stored"] * 4
    again.close()
    assert store.count(NODE, EPOCH).held == 4


def test_extreme_values_and_texts_are_taken(store):
    from tinyprof_protocol.records import Event, Sample

    text = '\t\r\n"\\ ,=\U0001f600\x7f\x00\\'
    values = {"temperature_c": 5e-324, "load_1m": -1e308, "memory_available_bytes": float(2**62)}
    sent = [*arrivals([2], body=Sample(values, "alpha")), *arrivals([4], body=Event(text, message=text, board="alpha"))]
    sent += arrivals([5], body=replace(result_of(5), build=replace(BUILD, model=text, platform=" \\", engine="=,")))
    assert store.write(sent) == ["stored"] * 3
    assert store.write(sent) == ["stored"] * 3
    assert store.count(NODE, EPOCH).held == 3
    with store.read() as reader:
        assert reader.runs(NODE, "alpha") == [sent[2].record]


def test_gaps_are_found(store):
    store.write(arrivals([1, 2, 5, 9]))
    assert held_runs([store], NODE, EPOCH, 1, 10) == [(1, 2), (5, 5), (9, 9)]


def test_an_agent_whose_lines_are_refused_has_its_turns_and_the_others_go_on(fresh):
    now_s = [100.0]
    store = InfluxStore(fresh.config(), monotonic=lambda: now_s[0])
    fresh.write(f'tinyprof_result decode_tps="text",x="any" {now_ns()}')
    assert isinstance(store.write(arrivals([1]))[0], Refused)
    assert store.write([*arrivals([3]), *arrivals([2], node="lab.other")]) == ["later", "stored"]
    now_s[0] += 3
    assert isinstance(store.write(arrivals([3]))[0], Refused)
    now_s[0] += 5
    assert store.write(arrivals([4])) == ["stored"]
    assert store.write(arrivals([6])) == ["stored"]
    assert store.write(arrivals([8])) == ["stored"]
    assert len(store._suspects) == 0
    store.close()


def test_results_come_in_pages_by_time(store):
    sent = arrivals(range(1, 11))
    store.write(sent)
    with store.read() as reader:
        first = reader.results(NODE, "alpha", limit=3)
        rest = reader.results(NODE, "alpha", after_ns=first[-1].time_ns, limit=10)
        until = reader.results(NODE, "alpha", until_ns=first[1].time_ns)
    assert first + rest == [one.record for one in sent[::2]]
    assert until == first[:2]
