"""What could not be taken: kept once, bounded, listed, and replayed."""

import sqlite3

import pytest

from tinyprof_collector.quarantine import Poison, Quarantine, QuarantineFailed
from tinyprof_protocol.codec import pack
from tinyprof_protocol.connection import Message
from tinyprof_protocol.requests import QuarantineRequest

TOPIC = "tinyprof/1/00/lab.pi/records"


@pytest.fixture
def quarantine(tmp_path):
    quarantine = Quarantine(tmp_path / "q.sqlite", max_items=3, max_bytes=1000)
    yield quarantine
    quarantine.close()


def record(seq, data=b"x", node="lab.pi"):
    return Poison(node, TOPIC, "no record", data, bytes(16), seq)


def test_the_same_message_is_kept_once_and_counted(quarantine):
    message = Poison("lab.pi", TOPIC, "undecodable", b"abc")
    quarantine.add([message, message, Poison("lab.pi", TOPIC, "undecodable", b"abd")], 7)
    quarantine.add([message], 8)
    one, two = quarantine.list_items()
    assert (one.repeats, one.time_ns, one.seq, one.size_bytes, one.data) == (3, 7, None, 3, None)
    assert two.repeats == 1
    assert quarantine.show(one.item).data == b"abc"
    assert quarantine.show(999) is None
    assert quarantine.counts() == {"added": 2, "discarded": 0}


def test_equal_bytes_under_two_seqs_are_two_records(quarantine):
    quarantine.add([record(1), record(2), Poison("lab.pi", TOPIC, "", b"x")], 7)
    assert [item.seq for item in quarantine.list_items()] == [1, 2, None]


def test_each_node_is_bounded_in_items_and_what_falls_out_is_told(quarantine):
    assert quarantine.add([record(1), record(2), record(3)], 7) == []
    assert quarantine.add([record(9, node="lab.other")], 7) == []
    assert quarantine.add([record(4), record(5)], 7) == [("lab.pi", bytes(16), 1), ("lab.pi", bytes(16), 2)]
    assert sorted(seq for _, _, seq in quarantine.records()) == [3, 4, 5, 9]
    assert quarantine.counts()["discarded"] == 2
    assert quarantine.total("lab.pi") == 3
    assert [item.seq for item in quarantine.list_items("lab.pi", offset=1, limit=1)] == [4]


def test_each_node_is_bounded_in_bytes(quarantine):
    quarantine.add([record(1, b"a" * 600), record(2, b"b" * 300)], 7)
    assert quarantine.add([record(3, b"c" * 300)], 7) == [("lab.pi", bytes(16), 1)]
    assert quarantine.add([Poison("lab.pi", TOPIC, "", b"d" * 2000)], 7) == [
        ("lab.pi", bytes(16), 2),
        ("lab.pi", bytes(16), 3),
    ]
    assert quarantine.total() == 0


def test_all_nodes_together_are_bounded(tmp_path):
    quarantine = Quarantine(tmp_path / "q.sqlite", max_all_items=2)
    quarantine.add([record(1, node=f"lab.n{n}") for n in range(5)], 7)
    assert [item.node for item in quarantine.list_items()] == ["lab.n3", "lab.n4"]
    assert quarantine.counts()["discarded"] == 3
    quarantine.close()


def test_it_survives_a_restart_and_one_process_holds_it(tmp_path):
    quarantine = Quarantine(tmp_path / "q.sqlite")
    quarantine.add([record(1)], 7)
    with pytest.raises(QuarantineFailed, match="locked"):
        Quarantine(tmp_path / "q.sqlite")
    quarantine.close()
    quarantine = Quarantine(tmp_path / "q.sqlite")
    assert quarantine.records() == [("lab.pi", bytes(16), 1)]
    quarantine.close()


def test_topics_and_reasons_that_no_line_could_hold(quarantine):
    quarantine.add([Poison("", "a\nb\ud800" + "x" * 999, "why\n" * 500, b"")], 7)
    (item,) = quarantine.list_items()
    assert len(item.topic) == 300
    assert "\n" not in item.topic + item.reason


def test_a_file_that_cannot_be_read_is_set_aside(tmp_path):
    (tmp_path / "q.sqlite").write_bytes(b"no database" * 1000)
    quarantine = Quarantine(tmp_path / "q.sqlite")
    assert quarantine.set_aside.read_bytes().startswith(b"no database")
    assert quarantine.total() == 0
    quarantine.close()


def mend(bench, seq, make):
    """What a new version of the code would do: the bytes of the item can now be read."""
    connection = bench.quarantine._connection
    connection.execute("UPDATE items SET data = ? WHERE seq = ?", (pack(make.record(seq)), seq))


def only_row(bench):
    reply = bench.pipeline.ledger(verify=True)
    assert reply.ok, reply.problems
    return reply.rows[0]


def test_a_replayed_record_is_stored_past_the_duplicate_check(bench, make):
    bench.pipeline.process([make.batch_message([1, 2, 3], poison=[2, 3])])
    mend(bench, 2, make)
    reply = bench.pipeline.quarantine_reply(QuarantineRequest("replay", node=make.node))
    assert (reply.replayed, reply.stored, reply.total) == (2, 1, 1)
    assert [(item.seq, item.data) for item in reply.items] == [(3, None)]
    assert (only_row(bench).stored, only_row(bench).quarantined) == (2, 1)
    bench.pipeline.process()
    assert [arrival.seq for arrival in bench.stored] == [1, 2]
    bench.restart()
    assert (only_row(bench).stored, only_row(bench).quarantined) == (2, 1)
    assert make.stored_seqs(bench.folder) == [1, 2]


def test_a_replay_that_dies_between_store_and_state_is_taken_up_again(bench, make):
    bench.pipeline.process([make.batch_message([1, 2], poison=[2])])
    mend(bench, 2, make)
    bench.state.failing = True
    with pytest.raises(Exception, match="no room"):
        bench.pipeline.quarantine_reply(QuarantineRequest("replay"))
    bench.restart()
    bench.pipeline.process()
    assert (only_row(bench).stored, only_row(bench).quarantined) == (2, 0)
    assert bench.quarantine.total() == 0


def test_a_replay_into_a_locked_store_is_taken_up_again(bench, make):
    bench.pipeline.process([make.batch_message([1, 2], poison=[2])])
    mend(bench, 2, make)
    lock = sqlite3.connect(bench.folder / "store.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(Exception, match="locked"):
        bench.pipeline.quarantine_reply(QuarantineRequest("replay"))
    lock.execute("ROLLBACK")
    lock.close()
    bench.pipeline.process()
    assert (only_row(bench).stored, only_row(bench).quarantined) == (2, 0)


def test_a_whole_message_is_replayed_through_the_duplicate_check(bench, make):
    message = make.batch_message([1, 2])
    bench.quarantine.add([Poison(make.node, message.topic, "an older version could not", message.payload)], 7)
    bench.quarantine.add([Poison(make.node, message.topic, "nor can this one", b"\x00\xc1")], 7)
    bench.pipeline.process([make.batch_message([1])])
    reply = bench.pipeline.quarantine_reply(QuarantineRequest("replay"))
    assert (reply.replayed, reply.stored, reply.total) == (2, 1, 1)
    assert make.acknowledged(bench.pipeline.process()).pairs() == [(1, 2)]
    assert (only_row(bench).stored, only_row(bench).resent) == (2, 1)


def test_what_falls_out_is_discarded_in_the_ledger(tmp_path, make, new_bench):
    bench = new_bench(tmp_path, max_items=2)
    bench.pipeline.process([make.batch_message(range(1, 6), poison=range(1, 6))])
    assert (only_row(bench).quarantined, only_row(bench).discarded) == (2, 3)
    bench.pipeline.process([Message(make.batch_message([1]).topic, b"\x00", False, None, None)])
    assert (only_row(bench).quarantined, only_row(bench).discarded) == (1, 4)
    bench.restart()
    assert (only_row(bench).quarantined, only_row(bench).discarded) == (1, 4)
    bench.stop()


def test_list_and_show_by_request(bench, make):
    bench.pipeline.process([make.batch_message([1], poison=[1])])
    (item,) = bench.pipeline.quarantine_reply(QuarantineRequest("list")).items
    assert item.data is None
    (shown,) = bench.pipeline.quarantine_reply(QuarantineRequest("show", item=item.item)).items
    assert shown.data == b"\xc1 no record1"
    assert bench.pipeline.quarantine_reply(QuarantineRequest("show", item=77)).items == []
