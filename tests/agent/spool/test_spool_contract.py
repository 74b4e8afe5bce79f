"""What the spool promises its callers, one promise a test."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from set_clock import SetClock

from tinyprof_agent.spool import JobRow, RecordTooLarge, Spool, SpoolError, SpoolLocked
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.presence import EpochOwed
from tinyprof_protocol.records import Body, Event, Record, Sample


def sample(value: float = 1.0) -> Sample:
    return Sample({"load_1m": value}, board="b")


def bodies_of(spool: Spool, epoch: bytes, first: int = 1, last: int = 10**6) -> dict[int, Body]:
    piece = spool.take(epoch, first, last, max_records=10**6, max_bytes=10**9)
    assert piece is not None
    return {entry.seq: unpack(entry.data, Record).body for entry in piece.records}


def test_seqs_begin_at_one_and_have_no_holes_within_an_epoch(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock())
    assert spool.record([sample(), sample()]) == [1, 2]
    assert spool.record([sample()]) == [3]
    spool.close()


def test_each_start_begins_an_epoch_and_the_left_over_goes_out_under_its_old_one(tmp_path: Path) -> None:
    clock = SetClock()
    names = iter([b"a" * 16, b"b" * 16])
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda _: next(names))
    spool.record([Event("one"), Event("two")])
    before = spool.take(b"a" * 16, 1, 2)
    spool.close()
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda _: next(names))
    assert spool.owed() == [EpochOwed(b"a" * 16, 1, 2, 0.0), EpochOwed(b"b" * 16, 1, 0)]
    assert spool.take(b"a" * 16, 1, 2) == before
    assert spool.record([Event("three")]) == [1]
    spool.close()


def test_the_file_is_in_wal_mode(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock())
    spool.record([sample()])
    with sqlite3.connect(tmp_path / "s.db") as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    spool.close()


def test_a_clock_that_steps_back_by_over_a_second_begins_an_epoch(tmp_path: Path) -> None:
    clock = SetClock()
    spool = Spool.open(tmp_path / "s.db", clock)
    spool.record([sample()])
    clock.step_s(-0.9)
    assert spool.record([sample()]) == [2]
    clock.step_s(-1.1)
    assert spool.record([sample()]) == [1]
    assert len(spool.owed()) == 2
    clock.pass_s(60)
    clock.step_s(-30)
    assert spool.record([sample()]) == [1]
    assert spool.stats().counters["clock_steps"] == 2
    spool.close()


def test_an_acknowledgement_lets_records_go_and_raises_the_base(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock(), urandom=lambda n: b"e" * n)
    spool.record([sample(i) for i in range(10)])
    assert spool.acknowledge(b"e" * 16, 2, [(5, 6)]).records == 4
    assert spool.owed() == [EpochOwed(b"e" * 16, 3, 10, 0.0)]
    assert sorted(bodies_of(spool, b"e" * 16)) == [3, 4, 7, 8, 9, 10]
    spool.acknowledge(b"e" * 16, 10)
    assert spool.owed() == [EpochOwed(b"e" * 16, 11, 10)]
    assert (spool.stats().records, spool.stats().bytes) == (0, 0)
    assert spool.record([sample()]) == [11]
    spool.close()


def test_what_was_never_made_is_ignored_and_counted(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock(), urandom=lambda n: b"e" * n)
    spool.record([sample()])
    assert spool.acknowledge(b"x" * 16, 5).strange == 1
    assert spool.acknowledge(b"e" * 16, 0, [(2, 5)]).strange == 4
    assert spool.owed() == [EpochOwed(b"e" * 16, 1, 1, 0.0)]
    assert spool.stats().counters["strange_acks"] == 2
    assert spool.record([sample()]) == [2]
    spool.close()


def test_each_epoch_tells_the_age_of_its_oldest_record(tmp_path: Path) -> None:
    clock = SetClock()
    names = iter([b"a" * 16, b"b" * 16])
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda _: next(names))
    spool.record([sample()])
    clock.pass_s(40)
    spool.record([sample()])
    spool.close()
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda _: next(names))
    clock.pass_s(2)
    spool.record([sample()])
    clock.pass_s(5)
    assert [owed.oldest_s for owed in spool.owed()] == [47.0, 5.0]
    assert spool.stats().oldest_s == 47.0
    spool.acknowledge(b"a" * 16, 1)
    assert [owed.oldest_s for owed in spool.owed()] == [7.0, 5.0]
    spool.acknowledge(b"a" * 16, 2)
    assert [owed.oldest_s for owed in spool.owed() if owed.epoch == b"b" * 16] == [5.0]
    spool.acknowledge(b"b" * 16, 1)
    assert {owed.oldest_s for owed in spool.owed()} == {None}
    assert spool.stats().oldest_s == 0.0
    spool.close()


def test_a_body_over_32_kib_is_refused_and_nothing_of_its_call_is_kept(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock())
    with pytest.raises(RecordTooLarge, match="over 32768"):
        spool.record([sample(), Event("x" * 40_000)])
    assert spool.record([sample()]) == [1]
    spool.close()


def test_when_full_samples_go_first_and_are_owed_as_evicted(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock(), cap_bytes=20_000, urandom=lambda n: b"e" * n)
    spool.record([Event("kept", message="m" * 200)])
    for value in range(200):
        spool.record([sample(value)])
    assert spool.stats().bytes <= 20_000
    piece = spool.take(b"e" * 16, 1, 300)
    assert piece is not None
    assert piece.records[0].seq == 1
    (gone,) = piece.evicted
    assert (gone.first, gone.cause) == (2, "cap")
    assert gone.last + 1 == piece.records[1].seq
    assert piece.base == 1
    assert spool.acknowledge(b"e" * 16, gone.last).evicted == gone.last - 1
    assert spool.stats().counters["evicted_samples"] == gone.last - 1
    spool.close()


def test_a_second_process_is_told_who_holds_the_spool(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom tinyprof_agent.clock import host_clock\n"
        "from tinyprof_agent.spool import Spool\n"
        "Spool.open(Path(sys.argv[1]), host_clock('always'))\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "s.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with pytest.raises(SpoolLocked, match=f"held by process {child.pid}"):
            Spool.open(tmp_path / "s.db", SetClock())
        child.kill()
    Spool.open(tmp_path / "s.db", SetClock()).close()


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match="cannot make"):
        Spool.open(tmp_path / "file" / "s.db", SetClock())


def test_a_spool_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Spool.open(tmp_path / "s.db", SetClock()).close()
    with sqlite3.connect(tmp_path / "s.db") as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(SpoolError, match="version 99"):
        Spool.open(tmp_path / "s.db", SetClock())
    assert [path.name for path in tmp_path.glob("*unsalvaged*")] == []


def test_threads_share_commits_and_every_record_gets_one_seq(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock(), urandom=lambda n: b"e" * n)
    seqs: dict[int, list[list[int]]] = {}

    def work(number: int) -> None:
        seqs[number] = [spool.record([sample(number), sample(number)]) for _ in range(50)]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [seq for calls in seqs.values() for call in calls for seq in call]
    assert sorted(given) == list(range(1, 801))
    assert all(call[1] == call[0] + 1 for calls in seqs.values() for call in calls)
    kept = bodies_of(spool, b"e" * 16)
    assert all(kept[seq] == sample(number) for number, calls in seqs.items() for call in calls for seq in call)
    spool.close()


def test_times_strictly_rise_and_end_in_the_epochs_digits(tmp_path: Path) -> None:
    clock = SetClock()
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda n: (123).to_bytes(n, "big"))
    spool.record([sample(), sample()])
    clock.step_s(-0.5)
    spool.record([sample()])
    piece = spool.take((123).to_bytes(16, "big"), 1, 9)
    assert piece is not None
    times = [unpack(entry.data, Record).time_ns for entry in piece.records]
    assert times == sorted(set(times))
    assert {time % 1000 for time in times} == {123}
    spool.close()


def test_without_a_clock_nothing_is_sent_until_times_are_fixed_once(tmp_path: Path) -> None:
    clock = SetClock(wall_ns=None)
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda n: b"e" * n)
    spool.record([sample(1)])
    clock.boottime_ns += 10**9
    spool.record([sample(2)])
    assert spool.views()[0].sendable == 0
    assert spool.stamp() == 0
    assert bodies_of(spool, b"e" * 16) == {}
    clock.wall_ns, clock.source = 5_000 * 10**9, "estimated"
    assert spool.stamp() == 2
    piece = spool.take(b"e" * 16, 1, 2)
    assert piece is not None
    records = [unpack(entry.data, Record) for entry in piece.records]
    assert [record.time for record in records] == ["estimated", "estimated"]
    assert [record.time_ns // 1000 for record in records] == [4_999_000_000, 5_000_000_000]
    clock.wall_ns = 9_000 * 10**9
    assert spool.stamp() == 0
    assert spool.take(b"e" * 16, 1, 2) == piece
    spool.close()


def test_records_of_an_earlier_boot_lie_in_order_before_this_one(tmp_path: Path) -> None:
    for boot in (b"1" * 16, b"2" * 16):
        clock = SetClock(wall_ns=None, boot=boot, boottime_ns=50 * 10**9)
        spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda n, boot=boot: boot)
        spool.record([sample()])
        clock.boottime_ns += 10 * 10**9
        spool.record([sample()])
        spool.close()
    clock = SetClock(wall_ns=1_000_000 * 10**9, boottime_ns=100 * 10**9, boot=b"3" * 16)
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda n: b"3" * n)
    assert spool.stamp() == 4
    times = []
    for epoch in (b"1" * 16, b"2" * 16):
        piece = spool.take(epoch, 1, 2)
        assert piece is not None
        records = [unpack(entry.data, Record) for entry in piece.records]
        assert {record.time for record in records} == {"estimated"}
        times += [record.time_ns for record in records]
    assert times == sorted(times)
    assert times[-1] < (1_000_000 - 100) * 10**9
    assert abs((times[1] - times[0]) - 10 * 10**9) < 1000
    spool.close()


def test_a_jobs_state_and_its_records_are_one_transaction(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock())
    row = JobRow(b"j" * 16, 99, "finished", 1, b"job")
    with pytest.raises(RecordTooLarge):
        spool.record([Event("finished"), Event("x" * 40_000)], jobs=[row])
    assert spool.jobs() == []
    spool.record([Event("finished"), sample()], jobs=[row])
    spool.close()
    spool = Spool.open(tmp_path / "s.db", SetClock())
    assert spool.jobs() == [row]
    spool.forget_jobs(100)
    assert spool.jobs() == []
    spool.close()


def test_the_status_lists_the_newest_and_the_63_oldest_of_many_epochs(tmp_path: Path) -> None:
    clock = SetClock()
    for number in range(70):
        spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda n, number=number: bytes([number]) * n)
        spool.record([sample()])
        spool.close()
    spool = Spool.open(tmp_path / "s.db", clock, urandom=lambda n: b"z" * n)
    owed = spool.owed()
    assert [epoch.epoch[0] for epoch in owed] == [*range(63), ord("z")]
    assert len(spool.views()) == 71
    spool.close()


def test_a_settled_epoch_stays_listed_with_its_base_above_its_head(tmp_path: Path) -> None:
    """A collector that has lost its state would else take what it acknowledged before for missing."""
    names = iter([b"a" * 16, b"b" * 16, b"c" * 16])
    for last in (False, False, True):
        spool = Spool.open(tmp_path / "s.db", SetClock(), urandom=lambda _: next(names))
        if not last:
            spool.record([sample(), sample()])
            spool.acknowledge(b"b" * 16, 0, [(2, 2)])
            spool.close()
    spool.acknowledge(b"a" * 16, 2)
    spool.acknowledge(b"b" * 16, 1)
    assert spool.owed() == [EpochOwed(b"a" * 16, 3, 2), EpochOwed(b"b" * 16, 3, 2), EpochOwed(b"c" * 16, 1, 0)]
    spool.close()
