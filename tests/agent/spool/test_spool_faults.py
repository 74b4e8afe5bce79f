"""A spool whose file was cut, overwritten, copied or has no room: it opens, keeps what can be read, reuses nothing."""

import itertools
import os
import resource
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from set_clock import SetClock

from tinyprof_agent.clock import epoch_digits
from tinyprof_agent.spool import Spool, SpoolError
from tinyprof_agent.spool.salvage import set_aside
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Event, Record, Sample

EPOCH = b"e" * 16
PAGE = 4096


def names(first: bytes = EPOCH) -> "itertools.chain[bytes]":
    return itertools.chain([first], (os.urandom(16) for _ in itertools.count()))


def open_spool(folder: Path, epoch: bytes = EPOCH, **options: int) -> Spool:
    epochs = names(epoch)
    return Spool.open(folder / "s.db", SetClock(), urandom=lambda _: next(epochs), **options)


def event(number: int, size: int = 200) -> Event:
    return Event(f"event-{number}", message="m" * size)


def held(spool: Spool, epoch: bytes = EPOCH) -> dict[int, str]:
    piece = spool.take(epoch, 1, 10**6, max_records=10**6, max_bytes=10**9)
    if piece is None:
        return {}
    records = {entry.seq: unpack(entry.data, Record).body for entry in piece.records}
    return {seq: body.name for seq, body in records.items() if isinstance(body, Event)}


def given_up(spool: Spool, epoch: bytes = EPOCH) -> dict[int, str]:
    piece = spool.take(epoch, 1, 10**6, max_records=10**6, max_bytes=10**9)
    gone = piece.evicted if piece is not None else []
    return {seq: each.cause for each in gone for seq in range(each.first, each.last + 1)}


def image_of(folder: Path, copy: Path) -> Path:
    copy.mkdir()
    for name in ("s.db", "s.db-wal"):
        if (folder / name).exists():
            shutil.copy(folder / name, copy / name)
    return copy


@pytest.mark.parametrize("within", [0, 7, 24, 1000])
def test_a_log_cut_at_or_within_any_frame_opens_and_reuses_nothing(tmp_path: Path, within: int) -> None:
    spool = open_spool(tmp_path)
    for number in range(1, 31):
        spool.record([event(number)])
    image = image_of(tmp_path, tmp_path / "image")
    spool.close()
    frame = struct.unpack(">I", (image / "s.db-wal").read_bytes()[8:12])[0] + 24
    frames = ((image / "s.db-wal").stat().st_size - 32) // frame
    heads = []
    for count in range(frames):
        copy = image_of(image, tmp_path / f"cut-{count}")
        os.truncate(copy / "s.db-wal", 32 + count * frame + within)
        spool = open_spool(copy, os.urandom(16))
        kept = held(spool)
        assert kept == {number: f"event-{number}" for number in range(1, len(kept) + 1)}
        assert given_up(spool) == {}
        assert spool.record([event(99)]) == [1]
        assert spool.owed()[-1].epoch != EPOCH
        heads.append(len(kept))
        spool.close()
        shutil.rmtree(copy)
    assert heads == sorted(heads)
    assert heads[-1] >= 28
    assert heads[0] == 0


def test_an_older_copy_and_a_clone_number_in_epochs_of_their_own(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.record([event(1)])
    clone = image_of(tmp_path, tmp_path / "clone")
    spool.record([event(2)])
    sent = spool.take(EPOCH, 1, 1)
    spool.close()
    here, there = open_spool(tmp_path, b"1" * 16), open_spool(clone, b"2" * 16)
    for spool in (here, there):
        assert spool.take(EPOCH, 1, 1, max_records=1) is not None
        assert held(spool)[1] == "event-1"
        spool.record([event(3)])
    again = there.take(EPOCH, 1, 1)
    assert sent is not None
    assert again is not None
    assert again.records == sent.records
    assert here.owed()[-1].epoch != there.owed()[-1].epoch
    here.close()
    there.close()


@pytest.mark.parametrize("page", range(1, 22))
def test_any_broken_page_leaves_every_seq_held_or_owed_as_corrupt(tmp_path: Path, page: int) -> None:
    spool = open_spool(tmp_path)
    spool.record([event(number, 250) for number in range(1, 151)])
    spool.acknowledge(EPOCH, 20)
    spool.close()
    path = tmp_path / "s.db"
    pages = path.stat().st_size // PAGE
    assert pages > 12
    with path.open("r+b") as file:
        file.seek((page - 1) % pages * PAGE)
        file.write(b"\xa5" * PAGE)
    spool = open_spool(tmp_path, b"n" * 16)
    kept, lost = held(spool), given_up(spool)
    assert all(name == f"event-{seq}" for seq, name in kept.items())
    assert set(lost.values()) <= {"corrupt"}
    assert not kept.keys() & lost.keys()
    if spool.stats().counters.get("set_aside"):
        assert len([name for name in tmp_path.glob("s.db.corrupt-*") if name.suffix != "-wal"]) >= 1
        assert not list(tmp_path.glob("s.db.unsalvaged-*"))
    if kept:
        assert set(range(21, 151)) <= kept.keys() | lost.keys()
        assert len(kept) >= 100
    spool.close()


def test_most_pages_of_a_spool_can_break_without_losing_the_rest(tmp_path: Path) -> None:
    """Of the pages, only the first (the file's header and schema) and the root of the records take all with them."""
    spool = open_spool(tmp_path)
    spool.record([event(number, 250) for number in range(1, 151)])
    spool.close()
    whole = (tmp_path / "s.db").read_bytes()
    fatal = 0
    for page in range(1, len(whole) // PAGE + 1):
        folder = tmp_path / str(page)
        folder.mkdir()
        start = (page - 1) * PAGE
        (folder / "s.db").write_bytes(whole[:start] + bytes(PAGE) + whole[start + PAGE :])
        spool = open_spool(folder, b"n" * 16)
        fatal += not held(spool)
        spool.close()
    assert fatal <= 2


def test_a_flipped_bit_in_a_body_is_noticed_and_owed_as_corrupt(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.record([event(number, 300) for number in range(1, 20)])
    spool.close()
    path = tmp_path / "s.db"
    data = bytearray(path.read_bytes())
    data[data.index(b"event-7") + 3] ^= 1
    path.write_bytes(data)
    spool = open_spool(tmp_path, b"n" * 16)
    assert sorted(held(spool)) == [*range(1, 7), *range(8, 20)]
    assert given_up(spool) == {7: "corrupt"}
    assert spool.stats().counters["corrupt_records"] == 1
    spool.close()


def test_a_file_that_breaks_while_it_is_held_is_set_aside_and_work_goes_on(tmp_path: Path) -> None:
    made = 12_000  # more than SQLite keeps in its cache, so that broken pages are read
    spool = open_spool(tmp_path)
    for first in range(1, made, 1000):
        spool.record([event(number, 290) for number in range(first, first + 1000)])
    spool.close()
    spool = open_spool(tmp_path, b"h" * 16)
    spool.record([event(500)])
    path = tmp_path / "s.db"
    pages = path.stat().st_size // PAGE
    assert pages > 1000
    with path.open("r+b") as file:
        for page in range(pages // 3, pages // 3 + 100):
            file.seek((page - 1) * PAGE)
            file.write(b"\xa5" * PAGE)
    kept = held(spool)
    counters = spool.stats().counters
    assert counters["set_aside"] == 1
    assert spool.generation == 1
    lost = given_up(spool)
    assert all(name == f"event-{seq}" for seq, name in kept.items())
    assert set(range(1, made + 1)) == kept.keys() | lost.keys()
    assert 0 < len(lost) == counters["lost_to_corruption"] < 3000
    assert held(spool, b"h" * 16) == {1: "event-500"}
    epoch = spool.owed()[-1].epoch
    assert epoch not in (EPOCH, b"h" * 16)
    assert spool.record([event(501)]) == [1]
    assert spool.acknowledge(EPOCH, made).evicted == len(lost)
    spool.close()


def test_salvage_that_was_cut_short_is_finished_at_the_next_start(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.record([event(1), event(2)])
    image = image_of(tmp_path, tmp_path / "image")
    spool.close()
    set_aside(image / "s.db", 0)
    assert not (image / "s.db").exists()
    spool = open_spool(image, b"n" * 16)
    assert held(spool) == {1: "event-1", 2: "event-2"}
    assert [path.name for path in image.glob("*.corrupt-*") if not path.name.endswith("-wal")] == [
        "s.db.corrupt-19700101T000000Z"
    ]
    spool.close()
    spool = open_spool(image, b"m" * 16)
    assert held(spool) == {1: "event-1", 2: "event-2"}
    spool.close()


def test_death_between_the_two_renames_loses_nothing_of_the_log(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    spool.record([event(1), event(2)])
    image = image_of(tmp_path, tmp_path / "image")
    spool.close()
    (image / "s.db").rename(image / "s.db.unsalvaged-19700101T000000Z")
    spool = open_spool(image, b"n" * 16)
    assert held(spool) == {1: "event-1", 2: "event-2"}
    spool.close()


def test_a_file_of_noise_is_set_aside_and_never_deleted(tmp_path: Path) -> None:
    noise = os.urandom(10_000)
    (tmp_path / "s.db").write_bytes(noise)
    spool = open_spool(tmp_path)
    assert spool.record([event(1)]) == [1]
    spool.close()
    (aside,) = tmp_path.glob("s.db.corrupt-*")
    assert aside.read_bytes() == noise


def test_what_a_full_file_does_not_take_is_counted_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool(tmp_path, max_page_count=40)
    taken = [spool.record([event(number, 290)]) for number in range(1, 400)]
    full = taken.count([])
    assert full > 0
    assert [seqs[0] for seqs in taken if seqs] == list(range(1, 400 - full))
    assert spool.stats().counters["unspooled"] == full
    assert "takes nothing more" in spool.stats().last_error
    spool.acknowledge(EPOCH, 60)
    assert spool.record([event(1000)]) == [400 - full]
    assert spool.record([event(1001)]) == [401 - full]
    assert spool.stats().last_error == ""
    assert spool.stats().counters["unspooled"] == full
    again = [line for line in caplog.messages if "again" in line]
    assert again == [f"the spool takes records again; {full} records could not be kept"]
    spool.close()


_FILLS = """
import resource, sys
from pathlib import Path
from tinyprof_agent.clock import host_clock
from tinyprof_agent.spool import Spool, SpoolError
from tinyprof_protocol.records import Event
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
spool = Spool.open(Path(sys.argv[1]), host_clock("always"), urandom=lambda n: b"e" * n)
for number in range(1, 600):
    if spool.record([Event(f"event-{number}", message="m" * 290)]):
        print(f"event-{number}", flush=True)
    else:
        print("full", flush=True)
"""


def test_a_disk_that_takes_no_more_bytes_does_not_kill_the_agent_nor_lose_what_it_took(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FILLS, str(tmp_path / "s.db"), str(100_000)], capture_output=True, text=True, check=True
    )
    said = done.stdout.split()
    assert "full" in said
    assert len(said) == 599
    spool = open_spool(tmp_path, b"n" * 16)
    assert list(held(spool).values()) == [name for name in said if name != "full"]
    spool.close()
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_samples_go_then_results_then_events(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, cap_bytes=30_000)
    spool.record([event(1), Sample({"load_1m": 1.0}), event(2), Sample({"load_1m": 2.0})])
    for number in range(3, 100):
        spool.record([event(number)])
    lost = given_up(spool)
    assert {2, 4} <= lost.keys()
    kept = held(spool)
    assert max(kept) == 101
    assert set(lost.values()) == {"cap"}
    assert sorted(kept.keys() | lost.keys()) == list(range(1, 102))
    spool.close()


def test_a_broken_spool_that_cannot_be_set_aside_is_told_and_what_it_loses_is_counted(tmp_path: Path) -> None:
    path = tmp_path / ("s" * 235 + ".db")  # with the time behind it, the name is longer than a file system takes
    spool = Spool.open(path, SetClock())
    for first in range(1, 12_000, 1000):  # more than SQLite keeps in its cache, so that broken pages are read
        spool.record([event(number, 290) for number in range(first, first + 1000)])
    spool.close()
    spool = Spool.open(path, SetClock())
    pages = path.stat().st_size // PAGE
    with path.open("r+b") as file:
        for page in range(pages // 3, pages // 3 + 100):
            file.seek((page - 1) * PAGE)
            file.write(b"\xa5" * PAGE)
    with pytest.raises(SpoolError, match="cannot be set aside"):
        held(spool, spool.views()[0].epoch)
    for number in range(3):
        assert spool.record([event(number)]) == []
    stats = spool.stats()
    assert stats.counters["unspooled"] == 3
    assert "cannot be set aside" in stats.last_error
    spool.close()


def test_epochs_in_the_spool_never_share_the_last_digits_of_their_times(tmp_path: Path) -> None:
    twin = (int.from_bytes(EPOCH, "big") + 1000).to_bytes(16, "big")
    drawn = itertools.chain([EPOCH, twin, EPOCH, twin], (bytes([n] * 16) for n in range(1, 9)))
    digits = []
    for _ in range(4):
        spool = Spool.open(tmp_path / "s.db", SetClock(), urandom=lambda _: next(drawn))
        spool.record([event(1)])
        digits.append(epoch_digits(spool.views()[-1].epoch))
        spool.close()
    assert len(set(digits)) == 4
