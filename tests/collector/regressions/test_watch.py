"""What is watched: which runs belong together, what stands, and what outlives the collector."""

from pathlib import Path

import pytest
from msgspec import structs

from tinyprof_collector.config import RegressionsConfig
from tinyprof_collector.regressions.kept import MAX_OWED, WatchFile
from tinyprof_collector.regressions.thread import MAX_LOOKED_AT, MAX_WAITING, RegressionThread
from tinyprof_collector.regressions.watch import DAY_NS, Change, Watch
from tinyprof_collector.regressions.watched import WATCHED, line_of
from tinyprof_collector.stores.store import Arrival, StoreFailed
from tinyprof_protocol.codec import pack
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Result

BUILD = Build(
    "stm32f405", "tinyprof-c", "1", "tiny", "0" * 64, "Q4_0", "q8_0", "int8", 256, "device", firmware_build="a"
)
S = 10**9


def result(decode_tps: float, verdict="valid", figures=None, **build) -> Result:
    return Result(
        bytes(16), "b1", structs.replace(BUILD, **build), "quick", ["One day"], 16, verdict, [], "match",
        ClockReport("checked"), figures or {"decode_tps": Figure(decode_tps)}, [], Conditions(), 1.0,
    )  # fmt: skip


def record(seq: int, body: Result) -> Record:
    return Record(seq * S, "clock", bytes(16), seq, body)


def feed(watch: Watch, *runs: Result, first: int = 1, node: str = "lab.pi") -> list[Change]:
    return [
        change
        for seq, run in enumerate(runs, first)
        for change in watch.take(node, record(seq, run), (first + 500) * S)
    ]


def level(tps: float, n: int = 30, **build) -> list[Result]:
    return [result(tps + k % 3 * tps / 500, **build) for k in range(n)]


@pytest.fixture
def watch() -> Watch:
    return Watch(RegressionsConfig())


def test_all_that_is_watched_is_a_metric_with_a_direction():
    assert [name for name in WATCHED if METRICS[name].better == "neither"] == []


def test_a_slower_board_is_found_with_the_build_that_it_came_with(watch):
    [change] = feed(watch, *level(100), *level(80, 6, firmware_build="b"))
    one = change.regression
    assert (change.kind, one.metric, one.worse, one.node, one.board, one.suite) == (
        "found", "decode_tps", True, "lab.pi", "b1", "quick",
    )  # fmt: skip
    assert one.change == pytest.approx(-0.2, abs=0.01)
    assert one.since_ns == 31 * S
    assert one.new_build.endswith("b")
    assert watch.standing() == [one]


def test_a_change_within_one_build_names_none(watch):
    [change] = feed(watch, *level(100), *level(80, 6))
    assert change.regression.new_build == ""


def test_a_quicker_board_is_told_and_does_not_stand(watch):
    [change] = feed(watch, *level(100), *level(130, 6))
    assert not change.regression.worse
    assert watch.standing() == []


def test_it_ends_when_the_level_is_back(watch):
    found, ended = feed(watch, *level(100), *level(80), *level(101, 10))
    assert (found.kind, ended.kind, ended.why) == ("found", "ended", "its level is back")
    assert ended.regression == found.regression
    assert watch.standing() == []


def test_a_change_on_top_is_held_against_the_level_before_the_first(watch):
    first, ended, second = feed(watch, *level(100), *level(80), *level(60, 10))
    assert [one.kind for one in (first, ended, second)] == ["found", "ended", "found"]
    assert second.regression.before == first.regression.before
    assert second.regression.change == pytest.approx(-0.4, abs=0.01)


def test_a_half_recovery_stands_on(watch):
    changes = feed(watch, *level(100), *level(60), *level(80, 10))
    assert [change.kind for change in changes] == ["found", "ended", "found"]
    assert watch.standing()[0].change == pytest.approx(-0.2, abs=0.01)


def test_what_has_stood_for_long_is_the_new_normal(watch):
    [found] = feed(watch, *level(100), *level(80, 6))
    told_ns = found.regression.found_ns
    assert watch.tick(told_ns + 7 * DAY_NS) == []
    [ended] = watch.tick(told_ns + 7 * DAY_NS + 1)
    assert (ended.kind, ended.why) == ("ended", "it has stood for 7 days")
    assert watch.standing() == []


@pytest.mark.parametrize(
    "other",
    [
        {"model_sha256": "1" * 64}, {"quantisation": "Q8_0"}, {"kv_cache": "f16"}, {"activations": "float32"},
        {"ctx": 128}, {"platform": "stm32f746"}, {"timing": "client"}, {"streamed": True}, {"engine": "llama.cpp"},
    ],
)  # fmt: skip
def test_runs_that_cannot_be_compared_are_lines_of_their_own(watch, other):
    assert line_of(result(1.0, **other)) != line_of(result(1.0))
    assert feed(watch, *level(100), *level(50, 10, **other)) == []


@pytest.mark.parametrize("other", [{"firmware_build": "b"}, {"firmware": "f"}, {"engine_build": "2"}])
def test_a_new_build_is_the_same_line(other):
    assert line_of(result(1.0, **other)) == line_of(result(1.0))


def test_invalid_runs_are_not_looked_at_and_unstable_ones_where_it_is_asked(watch):
    runs = [structs.replace(run, verdict="unstable") for run in (*level(100), *level(80, 6))]
    assert feed(watch, *runs) == []
    assert len(feed(Watch(RegressionsConfig(accept="unstable")), *runs)) == 1
    assert feed(watch, *(structs.replace(run, verdict="invalid") for run in runs)) == []
    assert watch.counts["watch_runs"] == 0


def test_an_emulators_counts_change_with_one_run_and_its_estimates_are_not_looked_at(watch):
    def run(count: float) -> Result:
        figures = {"instructions_per_token": Figure(count), "decode_tps": Figure(count, estimated=True)}
        return result(0, figures=figures, emulated=True)

    [change] = feed(watch, run(1e6), run(1e6), run(1.01e6))
    assert (change.regression.metric, change.regression.worse) == ("instructions_per_token", True)
    [ended] = feed(watch, run(1e6), first=10)
    assert ended.kind == "ended"


def test_only_the_metrics_that_are_named_are_watched():
    figures = [{"decode_tps": Figure(v), "ttft_ms": Figure(v)} for v in [100.0 + k % 3 for k in range(30)] + [50.0] * 6]
    changes = feed(Watch(RegressionsConfig(metrics=["ttft_ms"])), *(result(0, figures=one) for one in figures))
    assert [change.regression.metric for change in changes] == ["ttft_ms"]


# ---- what outlives the collector, and the thread


class Shelf:
    """A store that shows changes; it can be away."""

    def __init__(self) -> None:
        self.away = False
        self.kept: list[tuple[str, str, int]] = []

    def keep_regressions(self, found) -> int:
        if self.away:
            raise StoreFailed("away")
        self.kept += [(one.board, one.metric, one.since_ns) for one in found]
        return 0


class Bench:
    """A thread's rounds, made by hand, on a file."""

    def __init__(self, path: Path, shelf: Shelf) -> None:
        self.now_s = 1000.0
        self.told: list[Change] = []
        self.file = WatchFile(path)
        self.thread = RegressionThread(
            Watch(RegressionsConfig()), self.file, [shelf], self.told.append, lambda: 10**15, lambda: self.now_s
        )

    def feed(self, *runs: Result, first: int = 1) -> None:
        self.thread.stored(
            Arrival("lab.pi", bytes(16), seq, b"", record(seq, run)) for seq, run in enumerate(runs, first)
        )
        self.now_s += 100
        self.thread.round()


def test_levels_and_what_stands_outlive_the_collector_and_nothing_is_told_twice(tmp_path):
    shelf = Shelf()
    bench = Bench(tmp_path / "r.sqlite", shelf)
    bench.feed(*level(100), *level(80, 3))
    assert bench.told == []
    bench.file.close()
    again = Bench(tmp_path / "r.sqlite", shelf)
    again.feed(*level(80, 6), first=34)
    assert [change.kind for change in again.told] == ["found"]
    standing = again.thread.standing()
    assert again.thread.of(("lab.pi", "b1")) == standing
    again.file.close()
    third = Bench(tmp_path / "r.sqlite", shelf)
    assert third.thread.standing() == standing
    third.feed(*level(80, 6), first=40)
    assert third.told == []
    assert shelf.kept == [("b1", "decode_tps", 31 * S)]
    third.file.close()


def test_a_change_waits_for_a_store_that_is_away(tmp_path):
    shelf = Shelf()
    shelf.away = True
    bench = Bench(tmp_path / "r.sqlite", shelf)
    bench.feed(*level(100), *level(80, 6))
    assert [change.kind for change in bench.told] == ["found"]
    bench.file.close()
    shelf.away = False
    again = Bench(tmp_path / "r.sqlite", shelf)
    again.feed()
    assert shelf.kept == [("b1", "decode_tps", 31 * S)]
    again.feed()
    assert len(shelf.kept) == 1
    again.file.close()


def test_a_board_that_is_forgotten_is_watched_anew(tmp_path):
    bench = Bench(tmp_path / "r.sqlite", Shelf())
    bench.feed(*level(100), *level(80, 6))
    bench.thread.forget(("lab.pi", "b1"))
    bench.feed()
    assert bench.thread.standing() == []
    bench.file.close()
    assert Bench(tmp_path / "r.sqlite", Shelf()).thread.standing() == []


def test_a_record_that_cannot_be_looked_at_takes_no_change_with_it(tmp_path):
    bench = Bench(tmp_path / "r.sqlite", Shelf())
    bench.thread.stored(
        Arrival("lab.pi", bytes(16), seq, b"", record(seq, run)) for seq, run in enumerate(level(100) + level(80, 6), 1)
    )
    bench.thread.stored([Arrival("lab.pi", bytes(16), 99, b"no record", None)])
    bench.feed()
    assert [change.kind for change in bench.told] == ["found"]
    assert bench.thread.counters()["watch_errors"] == 1
    bench.file.close()


def test_what_there_is_no_room_for_is_counted(tmp_path):
    bench = Bench(tmp_path / "r.sqlite", Shelf())
    bench.feed(*level(100, MAX_WAITING + 7))
    assert bench.thread.counters()["watch_over_bound"] == 7
    assert bench.thread.counters()["watch_runs"] == MAX_LOOKED_AT
    for _ in range(1, MAX_WAITING // MAX_LOOKED_AT):
        bench.thread.round()
    assert bench.thread.counters()["watch_runs"] == MAX_WAITING
    bench.file.close()


def test_a_file_that_is_none_is_set_aside(tmp_path):
    path = tmp_path / "r.sqlite"
    path.write_bytes(b"no database" * 1000)
    bench = Bench(path, Shelf())
    bench.feed(*level(100), *level(80, 6))
    assert len(bench.told) == 1
    assert path.with_name("r.sqlite.corrupt-1").exists()
    bench.file.close()


def test_a_change_reaches_the_store_though_the_file_cannot_be_opened(tmp_path, caplog):
    (tmp_path / "r.sqlite").mkdir()
    shelf = Shelf()
    shelf.away = True
    bench = Bench(tmp_path / "r.sqlite", shelf)
    assert "what is watched will not outlive this collector" in caplog.text
    bench.feed(*level(100), *level(80, 6))
    assert [change.kind for change in bench.told] == ["found"]
    shelf.away = False
    bench.feed()
    bench.feed()
    assert shelf.kept == [("b1", "decode_tps", 31 * S)]
    assert bench.thread.counters()["watch_unkept"] == 1
    bench.file.close()


def test_what_a_store_is_owed_is_bounded(tmp_path, watch):
    [change] = feed(watch, *level(100), *level(80, 6))
    kept = WatchFile(tmp_path / "r.sqlite")
    kept.keep({}, [structs.replace(change.regression, since_ns=n) for n in range(MAX_OWED + 5)])
    kept.bound()
    assert [one.since_ns for _, one in kept.owed()] == list(range(5, MAX_OWED + 5))
    assert kept.dropped == 5
    kept.close()


def test_a_change_that_a_full_disk_did_not_take_reaches_the_store_in_the_end(tmp_path):
    shelf = Shelf()
    bench = Bench(tmp_path / "r.sqlite", shelf)
    bench.feed(*level(100))
    full = bench.file._connection
    full.execute("CREATE TRIGGER full BEFORE INSERT ON lines BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    bench.feed(*level(80, 6), first=31)
    assert [change.kind for change in bench.told] == ["found"]
    assert (shelf.kept, bench.file.errors) == ([], 1)
    full.execute("DROP TRIGGER full")
    bench.feed()
    assert shelf.kept == [("b1", "decode_tps", 31 * S)]
    bench.feed()
    assert len(shelf.kept) == 1
    bench.file.close()


def test_what_a_disk_that_stays_full_does_not_take_is_bounded(tmp_path, watch):
    [change] = feed(watch, *level(100), *level(80, 6))
    bench = Bench(tmp_path / "r.sqlite", Shelf())
    full = bench.file._connection
    full.execute("CREATE TRIGGER full BEFORE INSERT ON owed BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    for _ in range(MAX_OWED + 5):
        bench.thread._keep([change], 0.0)
    assert len(bench.thread._unkept) == MAX_OWED
    assert bench.thread.counters()["regressions_unstored"] == 5
    bench.file.close()


@pytest.mark.parametrize("image", [b"rubbish", 7, "text", None, pack(([], [], {})), pack(
    {"levels": {"decode_tps": [[2**64 - 1], [1.0]]}, "builds": [], "standing": {}})])  # fmt: skip
def test_a_row_of_rubbish_is_left_out(tmp_path, image):
    bench = Bench(tmp_path / "r.sqlite", Shelf())
    bench.feed(*level(100))
    rows = bench.file._connection
    rows.execute("CREATE TABLE other AS SELECT * FROM lines")
    rows.execute("DROP TABLE lines")
    rows.execute("ALTER TABLE other RENAME TO lines")
    rows.execute("UPDATE lines SET image = ?", (image,))
    bench.file.close()
    again = Bench(tmp_path / "r.sqlite", Shelf())
    assert again.file.lines() == {}
    again.file.close()


def test_runs_from_a_time_to_come_do_not_make_it_blind(watch):
    feed(watch, *level(100))
    for seq, run in enumerate(level(100, 20), 10**6):
        assert watch.take("lab.pi", record(seq, run), 600 * S) == []
    assert watch.counts["watch_runs_ahead"] == 20
    assert [change.kind for change in feed(watch, *level(50, 6), first=31)] == ["found"]
