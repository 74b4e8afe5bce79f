"""From batches to acknowledgements: order, duplicates, poison, failures and kills."""

import sqlite3

import pytest

from tinyprof_collector.accounting import MAX_RANGES, MAX_RANGES_AT_BASE
from tinyprof_collector.pipeline import PipelineSettings
from tinyprof_collector.quarantine import QuarantineFailed
from tinyprof_collector.stores.store import StoreFailed
from tinyprof_protocol.bounds import MAX_COUNT, MAX_SEQ
from tinyprof_protocol.connection import Message
from tinyprof_protocol.presence import AgentStatus, EpochOwed
from tinyprof_protocol.requests import QuarantineRequest


def listed(pipeline):
    reply = pipeline.quarantine_reply(QuarantineRequest("list"))
    return reply.items, reply.total


def shown(pipeline, item):
    (only,) = pipeline.quarantine_reply(QuarantineRequest("show", item)).items
    return only


def row(bench):
    (only,) = bench.pipeline.ledger(verify=True).rows
    return only


def row_of(bench, epoch):
    return next(row for row in bench.pipeline.ledger(verify=True).rows if row.epoch == epoch)


def test_a_batch_is_stored_and_answered_once(bench, make):
    sacks = bench.pipeline.process([make.batch_message(range(1, 101))])
    (sack,) = make.sacks(sacks)
    assert (sack.node, sack.epoch, sack.cum, sack.ranges) == (make.node, make.epoch(), 100, [])
    assert sacks[0].expiry_s == 60
    assert sacks[0].topic.endswith("/lab.pi/sack")
    assert make.stored_seqs(bench.folder) == list(range(1, 101))
    assert [arrival.seq for arrival in bench.stored] == list(range(1, 101))
    reply = bench.pipeline.ledger(verify=True)
    assert reply.ok, reply.problems
    assert (row(bench).stored, row(bench).verified, row(bench).head) == (100, 100, 100)


def test_several_batches_of_an_epoch_share_one_answer(bench, make):
    messages = [make.batch_message(range(1, 11)), make.batch_message(range(21, 31)), make.batch_message(range(41, 51))]
    (sack,) = make.sacks(bench.pipeline.process(messages))
    assert (sack.cum, sack.ranges) == (10, [(21, 30), (41, 50)])


def test_duplicates_are_dropped_counted_and_answered(bench, make):
    message = make.batch_message(range(1, 11))
    bench.pipeline.process([message, message])
    (sack,) = make.sacks(bench.pipeline.process([message]))
    assert sack.cum == 10
    assert (row(bench).stored, row(bench).resent) == (10, 20)
    assert make.stored_seqs(bench.folder) == list(range(1, 11))


def test_an_empty_batch_accounts_below_its_base(bench, make):
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([], base=8)]))
    assert sack.cum == 7
    assert (row(bench).stored_on_word, row(bench).head) == (7, 7)


def test_evicted_ranges_are_accounted_and_a_late_copy_is_stored(bench, make):
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([1, 5], evicted=[(2, 4)])]))
    assert sack.cum == 5
    assert (row(bench).stored, row(bench).evicted, row(bench).cause) == (2, 3, "evicted: cap")
    bench.pipeline.process([make.batch_message([3, 6], base=6)])
    assert (row(bench).stored, row(bench).evicted, row(bench).stored_on_word) == (4, 2, 0)
    assert make.stored_seqs(bench.folder) == [1, 3, 5, 6]
    assert bench.pipeline.ledger(verify=True).ok


def test_a_record_that_cannot_be_decoded_is_quarantined_alone(bench, make):
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message(range(1, 6), poison=[3])]))
    assert sack.cum == 5
    assert make.stored_seqs(bench.folder) == [1, 2, 4, 5]
    (item,), total = listed(bench.pipeline)
    assert (item.seq, item.node, item.epoch, total) == (3, make.node, make.epoch(), 1)
    assert shown(bench.pipeline, item.item).data == b"\xc1 no record3"
    assert (row(bench).quarantined, row(bench).stored) == (1, 4)
    assert bench.pipeline.ledger(verify=True).ok


def test_whole_messages_that_cannot_be_taken_are_kept_and_not_answered(bench, make):
    good = make.batch_message([1])
    partition, rest = good.topic.removeprefix("tinyprof/1/").split("/", 1)
    other = f"tinyprof/1/{(int(partition) + 1) % 16:02d}/{rest}"
    stranger = make.batch_message([1], node="lab.other")
    bad = [
        Message(good.topic, b"\x00\xc1", False, None, None),
        Message(other, good.payload, False, None, None),
        Message(stranger.topic, good.payload, False, None, None),
        Message("nonsense", good.payload, False, None, None),
        make.batch_message([5], evicted=[(9, 3)]),
        make.batch_message([2**50]),
    ]
    sacks = bench.pipeline.process([*bad, good, bad[0]])
    assert [sack.cum for sack in make.sacks(sacks)] == [1]
    items, total = listed(bench.pipeline)
    assert total == 6
    assert [item.repeats for item in items] == [2, 1, 1, 1, 1, 1]
    assert [item.node for item in items] == ["lab.pi", "lab.pi", "lab.other", "", "lab.pi", "lab.pi"]
    assert all(item.reason and item.seq is None for item in items)
    assert row(bench).head == 1


def test_records_older_than_the_retention_are_expired(bench, make):
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message(range(1, 5), old=[2, 3])]))
    assert sack.cum == 4
    assert (row(bench).stored, row(bench).expired) == (2, 2)
    assert make.stored_seqs(bench.folder) == [1, 4]
    assert bench.pipeline.ledger(verify=True).ok


def test_a_store_that_takes_nothing_holds_everything(bench, make):
    lock = sqlite3.connect(bench.folder / "store.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    message = make.batch_message(range(1, 11))
    assert bench.pipeline.process([message]) == []
    assert "locked" in bench.pipeline.holding.reason
    assert "locked" in bench.store.check()
    assert bench.pipeline.process() == []
    assert bench.pipeline.counters()["holds"] == 1, "tried again before its time"
    bench.now_s += 1.0
    assert bench.pipeline.process() == []
    assert bench.pipeline.holding.next_try_s == bench.now_s + 2.0
    lock.execute("ROLLBACK")
    lock.close()
    bench.now_s += 2.0
    assert [sack.cum for sack in make.sacks(bench.pipeline.process())] == [10]
    assert bench.pipeline.holding is None
    assert bench.store.check() is None
    assert (row(bench).stored, row(bench).resent) == (10, 0)


def test_what_is_held_is_bounded_and_the_rest_is_deferred(tmp_path, make, new_bench):
    bench = new_bench(tmp_path, settings=PipelineSettings(max_held=2))
    lock = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    bench.pipeline.process([make.batch_message([seq]) for seq in (1, 2, 3)])
    bench.pipeline.process([make.batch_message([4])])
    assert bench.pipeline.deferred() == {make.node: 2}
    lock.execute("ROLLBACK")
    lock.close()
    bench.now_s += 5
    bench.pipeline.process()
    assert make.stored_seqs(tmp_path) == [1, 2]
    bench.stop()


def test_a_state_that_fails_after_the_store_answers_nothing_and_then_once(bench, make):
    bench.state.failing = True
    assert bench.pipeline.process([make.batch_message(range(1, 11))]) == []
    assert make.stored_seqs(bench.folder) == list(range(1, 11))
    assert len(bench.stored) == 10
    bench.state.failing = False
    bench.now_s += 1.0
    assert [sack.cum for sack in make.sacks(bench.pipeline.process())] == [10]
    assert (row(bench).stored, row(bench).resent) == (10, 0)
    assert len(bench.stored) == 10


def test_followers_hear_of_what_is_stored_before_it_is_kept_that_agents_need_not_send_it_again(bench, make):
    """A kill in between must not leave a follower without a record that never comes again."""
    bench.state.failing = True
    bench.pipeline.process([make.batch_message(range(1, 4))])
    assert [arrival.seq for arrival in bench.stored] == [1, 2, 3]


def test_a_kill_between_store_and_state_counts_once(bench, make):
    bench.state.failing = True
    bench.pipeline.process([make.batch_message(range(1, 11), poison=[4])])
    bench.restart()
    assert (row(bench).stored, row(bench).quarantined) == (0, 1)
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message(range(1, 11), poison=[4])]))
    assert sack.cum == 10
    assert (row(bench).stored, row(bench).quarantined, row(bench).verified) == (9, 1, 9)
    assert bench.pipeline.ledger(verify=True).ok
    # Told before the kill; what a store shows is taken for stored only once it has answered for it.
    there = [1, 2, 3, *range(5, 11)]
    assert [[arrival.seq for arrival in told] for told in (bench.stored, bench.held)] == [there, there]
    assert (bench.pipeline.counters()["recalled"], bench.pipeline.counters()["held"]) == (0, 9)


def test_after_a_lost_state_what_the_store_held_is_told_apart_from_what_is_new(bench, make):
    bench.pipeline.process([make.batch_message(range(1, 11))])
    bench.stored.clear()
    bench.restart(lose_state=True)
    bench.pipeline.process([make.batch_message(range(6, 16))])
    assert [arrival.seq for arrival in bench.held] == list(range(6, 11))
    assert [arrival.seq for arrival in bench.stored] == list(range(11, 16))


def test_a_quarantine_without_room_keeps_only_what_belongs_there_waiting(bench, make):
    class Full:
        full = True

        def __getattr__(self, name):
            return getattr(bench.quarantine, name)

        def add(self, poisons, now_ns):
            if self.full:
                raise QuarantineFailed("no room on the disk")
            return bench.quarantine.add(poisons, now_ns)

    quarantine, now_s = Full(), [0.0]
    pipeline = type(bench.pipeline)(
        [bench.store], bench.state, quarantine, lambda: make.now_ns, None, bench.note, lambda: now_s[0]
    )
    poisoned = make.batch_message(range(1, 6), poison=[3])
    others = [make.batch_message(range(1, 4), node="lab.other"), make.batch_message(range(1, 3), node="lab.third")]
    answered = make.sacks(pipeline.process([others[0], poisoned, others[1]]))
    assert [(sack.node, sack.cum) for sack in answered] == [("lab.other", 3), ("lab.third", 2)]
    assert pipeline.holding is None
    assert pipeline.deferred() == {make.node: 1}
    quarantine.full = False
    assert [sack.cum for sack in make.sacks(pipeline.process([poisoned]))] == [5]
    assert make.stored_seqs(bench.folder) == [1, 1, 1, 2, 2, 2, 3, 4, 5]
    assert sorted(arrival.seq for arrival in bench.stored) == [1, 1, 1, 2, 2, 2, 3, 4, 5], "each is new once"


def test_after_a_lost_state_what_the_store_holds_is_stored_whether_it_is_sent_again_or_not(bench, make):
    bench.pipeline.process([make.batch_message(range(1, 21), poison=[2])])
    bench.restart(lose_state=True)
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message(range(11, 31), base=11)]))
    assert sack.cum == 30
    assert make.stored_seqs(bench.folder) == [1, *range(3, 31)]
    only = row(bench)
    assert (only.stored, only.stored_on_word, only.quarantined, only.verified) == (29, 0, 1, 29)
    assert bench.pipeline.ledger(verify=True).ok


def test_what_was_stored_before_the_state_was_lost_stays_stored_though_it_is_reported_evicted(bench, make):
    bench.pipeline.process([make.batch_message([1, 2, 3, 7])])
    bench.restart(lose_state=True)
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([9], evicted=[(1, 8)])]))
    assert sack.cum == 9
    only = row(bench)
    assert (only.stored, only.evicted, only.verified, only.resent) == (5, 4, 5, 0)
    assert bench.pipeline.ledger(verify=True).ok


def test_a_state_that_cannot_be_read_is_set_aside(bench, make):
    bench.pipeline.process([make.batch_message(range(1, 11))])
    bench.stop()
    for path in bench.folder.glob("state.sqlite-*"):
        path.unlink()
    (bench.folder / "state.sqlite").write_bytes(b"no database" * 1000)
    bench.start()
    assert bench.state.inner.set_aside.read_bytes().startswith(b"no database")
    assert bench.pipeline.ledger().rows == []
    bench.pipeline.process([make.batch_message(range(1, 11))])
    assert (row(bench).stored, row(bench).verified) == (10, 10)


def test_accounts_survive_a_restart(bench, make):
    bench.pipeline.process([make.batch_message([1, 2, 5], evicted=[(7, 8)], poison=[5])])
    before = bench.pipeline.ledger(verify=True)
    bench.restart()
    assert bench.pipeline.ledger(verify=True) == before


def test_what_would_exceed_the_ranges_of_an_epoch_is_deferred_save_at_its_base(bench, make):
    for start in range(3, 2051, 128):
        bench.pipeline.process([make.batch_message(range(start, start + 128, 2))])
    assert bench.pipeline.process([make.batch_message([3001, 3003, 3005])]) == []
    assert bench.pipeline.deferred() == {make.node: 1}
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([1, 2, 3001], base=1)]))
    assert sack.cum == 3
    assert len(sack.ranges) == 64
    assert (3001, 3001) in sack.ranges


def test_a_batch_of_many_ranges_is_answered_whole(bench, make):
    batch = make.batch_message(range(2, 512, 2))
    sacks = bench.pipeline.process([batch])
    assert make.acknowledged(sacks).pairs() == [(seq, seq) for seq in range(2, 512, 2)]
    assert all(len(sack.ranges) <= 64 for sack in make.sacks(sacks))


def test_a_follower_that_fails_loses_nothing(tmp_path, make, new_bench):
    class Follower(list):
        def extend(self, _):
            raise RuntimeError("followers fail")

    bench = new_bench(tmp_path, stored=Follower())
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([1])]))
    assert sack.cum == 1
    assert bench.pipeline.counters()["failures"] == 1
    bench.stop()


def test_one_message_over_which_the_store_fails_does_not_hold_its_neighbours(tmp_path, make, new_bench):
    bench = new_bench(tmp_path)
    write = bench.store.write

    class Stumbling:
        name, check, read = "sqlite", bench.store.check, bench.store.read
        count, prepare = bench.store.count, bench.store.prepare

        def write(self, arrivals):
            if any(arrival.seq == 5 for arrival in arrivals):
                raise KeyError("five")
            return write(arrivals)

    pipeline = type(bench.pipeline)([Stumbling()], bench.state, bench.quarantine, lambda: make.now_ns)
    sacks = pipeline.process([make.batch_message([seq]) for seq in (1, 5, 2)])
    assert make.acknowledged(sacks).pairs() == [(1, 2)]
    assert make.stored_seqs(tmp_path) == [1, 2]
    (item,), _ = listed(pipeline)
    assert "five" in item.reason
    bench.stop()


def test_a_status_shows_what_is_in_the_spool(bench, make):
    bench.pipeline.process([make.batch_message(range(1, 6))])
    bench.pipeline.note_status(AgentStatus(make.node, "online", epochs=[EpochOwed(make.epoch(), 6, 9)]))
    assert (row(bench).in_spool, row(bench).missing, row(bench).head) == (4, 0, 9)
    bench.pipeline.process()
    bench.restart()
    assert (row(bench).in_spool, row(bench).head) == (4, 9)


def test_a_record_that_a_store_shows_but_did_not_take_is_not_acknowledged_after_a_restart(bench, make):
    write, shown = bench.store.write, []

    def show_only(arrivals):
        shown.extend(arrivals)
        raise StoreFailed("no room")

    bench.store.write = show_only
    assert bench.pipeline.process([make.batch_message(range(1, 11))]) == []
    write(shown)  # what a server with a full disk has in its memory, until it ends
    bench.restart()
    bench.store.write = show_only
    assert bench.pipeline.process([make.batch_message(range(1, 11))]) == []
    assert row(bench).stored == 0


@pytest.mark.parametrize("base", [306, None])
def test_after_a_lost_state_what_is_listed_no_more_is_stored_and_not_missing(bench, make, base):
    """By an agent that owes nothing of the epoch any more, or does not list it: its spool may be lost."""
    bench.pipeline.process([make.batch_message([*range(1, 8), *range(12, 300, 2)], base=1)])
    bench.restart(lose_state=True)
    bench.pipeline.process([make.batch_message([1], epoch=make.epoch(2))])
    listed = [EpochOwed(make.epoch(), 8, 305), EpochOwed(make.epoch(2), 1, 1)]
    bench.pipeline.note_status(AgentStatus(make.node, "online", epochs=listed))
    bench.pipeline.process()
    old = row_of(bench, make.epoch())
    assert (old.stored, old.in_spool, old.verified) == (7, 298, 7 + 144)
    listed = [EpochOwed(make.epoch(), base, 305)] if base else []
    listed += [EpochOwed(make.epoch(2), 1, 1)]
    for _ in range(2):
        bench.pipeline.note_status(AgentStatus(make.node, "online", epochs=listed))
    bench.pipeline.process()
    old = row_of(bench, make.epoch())
    assert (old.stored, old.verified, old.head, old.in_spool) == (7 + 144, 7 + 144, 305, 0)
    assert (old.stored_on_word, old.missing) == ((154, 0) if base else (0, 154))


def test_what_the_store_holds_beyond_what_was_heard_of_is_no_contradiction(bench, make):
    bench.pipeline.process([make.batch_message(range(1, 11))])
    bench.restart(lose_state=True)
    bench.pipeline.process([make.batch_message(range(1, 4))])
    assert (row(bench).head, row(bench).stored, row(bench).verified) == (3, 3, 3)
    assert bench.pipeline.ledger(verify=True).ok


def test_what_only_the_retention_remembers_is_taken_on_the_agents_word(bench, make):
    bench.restart(lose_state=True)
    bench.pipeline.process([make.batch_message(range(11, 31), base=11)])
    only = row(bench)
    assert (only.stored, only.stored_on_word, only.verified) == (20, 10, 20)


def test_a_whole_batch_that_fails_again_at_a_replay_stays(bench, make):
    bench.pipeline.process([make.batch_message([1, 2 * 10**9])])
    ((item,), total) = listed(bench.pipeline)
    assert (total, item.reason) == (1, "seq 2000000000 lies over 1000000000 above the base 1")
    reply = bench.pipeline.quarantine_reply(QuarantineRequest("replay"))
    assert (reply.replayed, reply.stored, reply.total) == (1, 0, 1)
    assert [kept.item for kept in reply.items] == [item.item]
    assert make.stored_seqs(bench.folder) == []


def test_made_up_bases_leave_every_counter_within_its_bound(bench, make):
    for number in range(1, 4):
        bench.pipeline.process([make.batch_message([], base=MAX_SEQ, epoch=make.epoch(number))])
    assert bench.pipeline.counters()["on_word"] == MAX_COUNT
    assert bench.pipeline.ledger_totals()["head"] == MAX_COUNT


def test_batches_at_their_base_do_not_make_ranges_without_end(bench, make):
    """An agent that never moves its base on and sends every other seq."""
    for number in range(30):
        first = 10 + 1000 * number
        bench.pipeline.process([make.batch_message([1, *range(first, first + 510, 2)])])
    deferred = bench.pipeline.deferred()[make.node]
    assert deferred > 0
    (kept,) = bench.state.load().accounts
    assert MAX_RANGES < len(kept.accounted) <= MAX_RANGES_AT_BASE
    # What closes the gaps is taken in all the same.
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([], base=40_000)]))
    assert (sack.cum, sack.ranges) == (39_999, [])
    assert bench.pipeline.deferred()[make.node] == deferred


def test_a_stop_ends_the_questions_after_a_lost_state_and_the_next_start_asks_them_all(bench, make):
    scattered = [*range(1, 8), *range(12, 300, 2)]
    bench.pipeline.process([make.batch_message(scattered, base=1)])
    bench.restart(lose_state=True)
    asked, count = [], bench.store.count

    def slow_count(*what):
        asked.append(what)
        bench.now_s += 0.1
        return count(*what)

    bench.store.count = slow_count
    bench.pipeline.ask_until(bench.now_s + 2.0)
    assert bench.pipeline.process([make.batch_message([300], base=300)]) == []
    assert 0 < len(asked) <= 21, "each question takes a tenth of a second, and there are two seconds for them"
    assert "the collector stops" in bench.pipeline.holding.reason
    assert make.stored_seqs(bench.folder) == scattered, "nothing new before it is known what was there"
    bench.restart()
    (sack,) = make.sacks(bench.pipeline.process([make.batch_message([300], base=300)]))
    assert sack.cum == 300
    assert (row(bench).stored, row(bench).stored_on_word) == (len(scattered) + 1, 299 - len(scattered))
    assert bench.pipeline.counters()["recalled"] == len(scattered)
