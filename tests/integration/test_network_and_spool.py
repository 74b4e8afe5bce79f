"""Duplicates and disorder in the network, and spools that are cut, damaged, put back or cloned."""

import random
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

import pytest
from conservation import Site
from meddler import Meddler
from roles import until

WAL_HEADER_BYTES, FRAME_HEADER_BYTES = 32, 24


def test_batches_and_sacks_again_late_and_out_of_order(broker, make_site, chance):
    site = make_site(broker)
    site.start_collector()
    with Meddler(broker, chance) as meddler:
        site.start_agent()
        site.wait_until_stored(100)
        site.agent.kill()
        site.start_agent()
        until("much was sent again", lambda: meddler.sent > 150)
        site.agent.stop()
        site.settle()
    ledger = site.judge()
    assert sum(row.resent for row in ledger.rows) > 0


def test_older_copy_of_the_spool_is_put_back(broker, make_site):
    site = make_site(broker)
    site.start_agent("--count", "60")
    site.agent.wait_for("produced all")
    site.agent.kill()
    copy = site.folder / "copy"
    shutil.copytree(site.folder / "agent", copy)
    site.start_collector()
    site.start_agent()
    site.wait_until_stored(120)
    site.agent.kill()
    shutil.rmtree(site.folder / "agent")
    copy.rename(site.folder / "agent")
    # What only the file that is gone held was lost with it; the ledger may not say that the store has it.
    site.settle()
    ledger = site.judge(file_lost=True)
    assert sum(row.resent for row in ledger.rows) >= 60


def test_spool_copied_to_a_second_machine_of_the_same_name(broker, make_site):
    site = make_site(broker)
    site.start_agent("--count", "60")
    site.agent.wait_for("produced all")
    site.agent.stop()
    shutil.copytree(site.folder / "agent", site.folder / "twin")
    twin = site.make_agent("twin")
    site.start_collector()
    site.start_agent("--count", "60")
    site.start_agent("--count", "60", agent=twin)
    try:
        for role in (site.agent, twin):
            role.wait_for("produced all")
        clash = "another client seems to use the id"
        until("one says that its name is taken", lambda: site.agent.said(clash) or twin.said(clash), patience_s=90)
    finally:
        twin.stop()
    site.agent.stop()
    site.settle(twin)
    assert twin.stop() == 0
    site.settle()
    site.judge()


def wal_frames(wal: Path) -> list[int]:
    """Offsets at which frames of a write-ahead log begin, and its end."""
    data = wal.read_bytes()
    page = struct.unpack(">I", data[8:12])[0]
    return list(range(WAL_HEADER_BYTES, len(data) + 1, FRAME_HEADER_BYTES + page))


def prepare_spool(site: Site) -> Path:
    """A spool with records in its write-ahead log, of an agent that was killed and never had a collector."""
    site.start_agent("--count", "24", "--pause-ms", "0")
    site.agent.wait_for("produced all")
    site.agent.kill()
    kept = site.folder / "kept"
    shutil.copytree(site.folder / "agent", kept)
    return kept


def test_spool_cut_inside_its_write_ahead_log(broker, make_site, chance):
    site = make_site(broker)
    kept = prepare_spool(site)
    frames = wal_frames(kept / "spool.db-wal")
    assert len(frames) > 10
    cuts = sorted(
        {0, 16, *frames[:2], *chance.sample(frames, 6), *(chance.choice(frames[:-1]) + 1000 for _ in range(4))}
    )
    cuts.append(frames[-1])  # the whole file last: nothing of it may be lost, or stored twice, after all that
    site.start_collector()
    for cut in cuts:
        shutil.rmtree(site.folder / "agent")
        shutil.copytree(kept, site.folder / "agent")
        with (site.folder / "agent" / "spool.db-wal").open("r+b") as wal:
            wal.truncate(cut)
        site.start_agent("--count", "6")
        site.agent.wait_for("produced all")
        until("the spool is empty", lambda: site.spool_holds() == 0)
        site.agent.stop()
    site.settle()
    site.judge()


def damage(file: Path, chance: random.Random) -> None:
    """Garbage over a quarter of the file's pages, the first one spared in half of all cases."""
    size = file.stat().st_size
    with file.open("r+b") as spool:
        for page in chance.sample(range(size // 4096), max(1, size // 4096 // 4)):
            spool.seek(page * 4096 + (100 if page == 0 and chance.random() < 0.5 else 0))
            spool.write(chance.randbytes(2048))


@pytest.mark.parametrize("seed", range(4))
def test_damaged_spool_is_set_aside_and_what_is_readable_is_sent(broker, make_site, seed):
    chance = random.Random(seed)
    site = make_site(broker)
    site.start_agent("--count", "600", "--together", "20", "--padding", "200")
    site.agent.wait_for("produced all")
    site.agent.stop()
    with closing(sqlite3.connect(site.spool_file())) as spool:
        spool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damage(site.spool_file(), chance)
    site.start_collector()
    site.settle()
    asides = [path for path in (site.folder / "agent").iterdir() if "corrupt" in path.name]
    assert asides, "the damaged file is kept"
    site.judge(file_lost=True)
