"""The cache's file: what it keeps over a restart, and what it makes of a file that is no use."""

import sqlite3

import pytest

from tinyprof_collector.cache.disk import CacheFile
from tinyprof_collector.cache.entry import Entry
from tinyprof_collector.cache.lru import Held


def entry(number: int) -> Entry:
    return Entry("lab.pi", "one", number, "valid", "rp2040", "m", "quick", "One day", 1, b"record %d" % number)


def row(number: int) -> tuple[bytes, Held[Entry]]:
    return number.to_bytes(16), Held(entry(number), born_ns=number * 10, hits=number)


def test_rows_come_back_in_the_order_of_their_use(tmp_path):
    kept = CacheFile(tmp_path / "cache.sqlite")
    assert kept.load() == []
    assert kept.keep([row(1), row(2), row(3)], [], everything=False)
    assert kept.keep([row(1)], [row(2)[0]], everything=False)
    kept.close()
    again = CacheFile(tmp_path / "cache.sqlite")
    assert again.load() == [row(3), row(1)]
    assert again.keep([row(4)], [], everything=False)
    assert again.load() == [row(3), row(1), row(4)]
    assert again.keep([row(5)], [], everything=True)
    assert again.load() == [row(5)]
    again.close()


def test_a_file_that_is_no_database_is_set_aside_and_begun_anew(tmp_path, caplog):
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"no database at all" * 400)
    kept = CacheFile(path)
    assert kept.load() == []
    assert kept.keep([row(1)], [], everything=False)
    assert kept.load() == [row(1)]
    kept.close()
    assert (tmp_path / "cache.sqlite.corrupt-1").read_bytes().startswith(b"no database")
    assert "was set aside as cache.sqlite.corrupt-1" in caplog.text


def test_a_row_that_was_changed_behind_its_back_is_left_out(tmp_path):
    path = tmp_path / "cache.sqlite"
    kept = CacheFile(path)
    kept.keep([row(1), row(2)], [], everything=False)
    kept.close()
    with sqlite3.connect(path) as connection:
        image = connection.execute("SELECT image FROM entries WHERE key = ?", (row(1)[0],)).fetchone()[0]
        connection.execute("UPDATE entries SET image = ? WHERE key = ?", (image[:-1] + b"!", row(1)[0]))
    connection.close()
    again = CacheFile(path)
    assert again.load() == [row(2)]
    again.close()


def test_where_no_file_can_be_the_cache_goes_on_without(tmp_path, caplog):
    in_the_way = tmp_path / "cache.sqlite"
    in_the_way.mkdir()
    kept = CacheFile(in_the_way)
    assert (kept.load(), kept.errors) == ([], 1)
    assert kept.keep([row(1)], [], everything=False)
    kept.close()
    assert "the cache will not outlive this collector" in caplog.text


def test_a_write_that_fails_says_so_and_the_next_may_work(tmp_path, caplog):
    path = tmp_path / "cache.sqlite"
    kept = CacheFile(path)
    connection = kept._connection
    connection.execute("PRAGMA max_page_count = 4")
    assert not kept.keep([(n.to_bytes(16), Held(entry(n), 0)) for n in range(400)], [], everything=False)
    assert kept.errors == 1
    assert "it is tried again" in caplog.text
    connection.execute("PRAGMA max_page_count = 4000")
    assert kept.keep([row(1)], [], everything=True)
    assert kept.load() == [row(1)]
    kept.close()


@pytest.mark.parametrize(
    "change",
    ["born_ns = born_ns + 10", "born_ns = 'now'", "hits = 'x'", "image = 7", "used = 'x'", "key = 'sixteen letters!'",
     "crc = 'x'"],
)  # fmt: skip
def test_a_row_of_rubbish_is_left_out_and_its_age_is_what_was_kept(tmp_path, change):
    path = tmp_path / "cache.sqlite"
    kept = CacheFile(path)
    kept.keep([row(1), row(2)], [], everything=False)
    kept.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE entries SET {change} WHERE key = ?", (row(1)[0],))
    connection.close()
    again = CacheFile(path)
    assert again.load() == [row(2)]
    again.close()
