"""Epochs of a node: what statuses list, what is forgotten, and the rows that must add up."""

from msgspec import structs

from tinyprof_collector.ledger import (
    MAX_EPOCHS,
    MAX_FORGOTTEN,
    SUMMED,
    Ledger,
    StoreCount,
    reply_of,
    row_of,
    sum_of_classes,
)
from tinyprof_collector.ledger_image import LedgerImage
from tinyprof_collector.missing_cause import NO_LONGER_LISTED
from tinyprof_protocol.bounds import MAX_COUNT, MAX_SEQ
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.presence import AgentStatus, EpochOwed
from tinyprof_protocol.requests import LedgerReply, LedgerRow

NODE = "lab.pi"


def epoch(number: int) -> bytes:
    return number.to_bytes(16, "big")


def status(*owed: tuple[int, int, int]) -> AgentStatus:
    return AgentStatus(NODE, "online", epochs=[EpochOwed(epoch(n), base, head) for n, base, head in owed])


def reload(ledger: Ledger) -> Ledger:
    changes = ledger.changes()
    return Ledger(LedgerImage(changes.accounts, changes.totals))


def test_each_seq_up_to_head_is_in_one_class():
    ledger = Ledger()
    account = ledger.open(NODE, epoch(1))
    account.settle(1, 10, "stored")
    account.settle(11, 12, "quarantined")
    account.release(11, "discarded")
    account.settle(13, 13, "expired")
    account.evict(14, 20, "cap")
    ledger.note_status(status((1, 14, 30)))
    (row,) = ledger.rows()
    assert (row.stored, row.quarantined, row.discarded, row.expired, row.evicted) == (10, 1, 1, 1, 7)
    assert (row.in_spool, row.missing, row.head, row.base) == (10, 0, 30, 14)
    assert sum_of_classes(row) == row.head
    assert reply_of([row]).ok


def test_what_an_agent_says_is_acknowledged_is_taken_on_its_word_where_the_state_was_lost():
    ledger = Ledger()
    ledger.note_status(status((1, 8, 10)))
    (row,) = ledger.rows()
    assert (row.stored_on_word, row.in_spool, row.missing) == (7, 3, 0)
    account = ledger.open(NODE, epoch(1))
    assert account.is_due(3), "a status must never decide what is a duplicate"
    account.settle(3, 3, "stored")
    (row,) = ledger.rows()
    assert (row.stored, row.stored_on_word) == (1, 6)


def test_an_older_epoch_that_a_short_list_leaves_out_is_forgotten_and_its_gaps_are_missing():
    ledger = Ledger()
    ledger.open(NODE, epoch(1)).settle(1, 5, "stored")
    ledger.open(NODE, epoch(2)).settle(1, 2, "stored")
    ledger.find(NODE, epoch(2)).hear_of(4)
    ledger.note_status(status((3, 1, 1)))
    one, two, three = ledger.rows()
    assert (one.forgotten, one.stored, one.missing) == (True, 5, 0)
    assert (two.forgotten, two.stored, two.missing, two.cause) == (True, 2, 2, NO_LONGER_LISTED)
    assert (three.forgotten, three.in_spool) == (False, 1)
    reply = reply_of(ledger.rows())
    assert not reply.ok
    assert reply.problems == [f"lab.pi {epoch(2).hex()[:8]}: 2 missing: {NO_LONGER_LISTED}"]


def test_a_missing_record_has_the_cause_that_its_agent_reports_and_evictions_theirs():
    def with_gap(**word: object) -> LedgerRow:
        ledger = Ledger()
        ledger.note_status(structs.replace(status((1, 1, 9)), started_ns=1000))
        ledger.open(NODE, epoch(1)).settle(1, 5, "stored")
        ledger.open(NODE, epoch(1)).evict(6, 7, "cap")
        ledger.note_status(structs.replace(status((2, 1, 0)), **{"started_ns": 1000, **word}))
        return reload(ledger).rows()[0]

    same = with_gap()
    assert (same.missing, same.cause) == (2, f"{NO_LONGER_LISTED}; evicted: cap")
    anew = with_gap(started_ns=2000)
    assert anew.cause.startswith(f"{NO_LONGER_LISTED}: it was started anew without its spool")
    corrupt = with_gap(started_ns=2000, counters={"set_aside": 1, "lost_to_corruption": 4})
    assert "its spool was corrupt and was set aside, 4 records could not be read" in corrupt.cause


def test_an_epoch_that_is_listed_again_is_in_the_spool_and_without_a_cause():
    ledger = Ledger()
    ledger.note_status(status((1, 1, 9)))
    ledger.note_status(status((2, 1, 0)))
    assert ledger.rows()[0].missing == 9
    ledger.note_status(status((1, 1, 9), (2, 1, 0)))
    assert (ledger.rows()[0].in_spool, ledger.rows()[0].cause) == (9, "")


def test_a_last_will_and_a_full_list_forget_nothing():
    ledger = Ledger()
    ledger.open(NODE, epoch(1000)).settle(2, 5, "stored")
    ledger.note_status(AgentStatus(NODE, "offline"))
    ledger.note_status(status(*((n, 1, 1) for n in range(2, 66))))
    assert not any(row.forgotten for row in ledger.rows())


def test_an_epoch_newer_than_the_listed_ones_is_not_forgotten():
    ledger = Ledger()
    ledger.note_status(status((1, 1, 3)))
    ledger.open(NODE, epoch(2)).settle(2, 3, "stored")
    ledger.note_status(status((1, 1, 3)))
    assert [row.forgotten for row in ledger.rows()] == [False, False]


def test_a_late_copy_of_a_forgotten_epoch_is_a_duplicate():
    ledger = Ledger()
    ledger.open(NODE, epoch(1)).settle(1, 5, "stored")
    ledger.note_status(status((2, 1, 0)))
    ledger = reload(ledger)
    assert ledger.find(NODE, epoch(1)).forgotten
    assert not ledger.open(NODE, epoch(1)).is_due(5)


def test_epochs_are_bounded_and_their_counts_are_kept():
    ledger, made = Ledger(), 3 * MAX_FORGOTTEN
    for number in range(1, made + 1):
        assert ledger.may_open(NODE, epoch(number), at_base=False)
        ledger.open(NODE, epoch(number)).settle(1, 2, "stored")
    rows = ledger.rows()
    assert len(rows) == MAX_EPOCHS + MAX_FORGOTTEN + 1
    summed = 2 * (made - MAX_EPOCHS - MAX_FORGOTTEN)
    assert (rows[0].epoch, rows[0].stored, rows[0].head) == (SUMMED, summed, summed)
    assert sum(row.stored for row in rows) == 2 * made
    assert ledger.totals()["stored"] == ledger.totals()["head"] == 2 * made
    assert reply_of(rows).ok
    assert reload(ledger).rows() == rows


def test_a_node_with_too_many_unfinished_epochs_waits_save_at_a_base():
    ledger = Ledger()
    for number in range(MAX_EPOCHS):
        ledger.open(NODE, epoch(number)).settle(2, 2, "stored")
    assert not ledger.may_open(NODE, epoch(999), at_base=False)
    assert ledger.may_open(NODE, epoch(999), at_base=True)
    assert ledger.may_open(NODE, epoch(1), at_base=False)
    for number in range(MAX_EPOCHS, 2 * MAX_EPOCHS):
        ledger.open(NODE, epoch(number)).settle(2, 2, "stored")
    assert not ledger.may_open(NODE, epoch(999), at_base=True)


def test_changes_hold_what_was_touched_and_nothing_after_they_were_kept():
    ledger = Ledger()
    ledger.open(NODE, epoch(1)).settle(1, 1, "stored")
    assert [image.epoch for image in ledger.changes().accounts] == [epoch(1)]
    assert [image.epoch for image in ledger.changes().accounts] == [epoch(1)], "not kept yet"
    ledger.kept()
    assert not ledger.changes()


def test_the_accounts_follow_what_the_quarantine_really_holds():
    ledger = Ledger()
    ledger.open(NODE, epoch(1)).settle(1, 4, "quarantined")
    ledger.reconcile([(NODE, epoch(1), 2), (NODE, epoch(1), 9), (NODE, epoch(2), 1)])
    one, two = (row_of(ledger.find(NODE, epoch(number))) for number in (1, 2))
    assert (one.quarantined, one.discarded, two.quarantined) == (2, 3, 1)
    assert {image.epoch for image in ledger.changes().accounts} == {epoch(1), epoch(2)}


def test_an_epoch_that_the_quarantine_alone_knows_may_have_just_begun():
    ledger = Ledger()
    ledger.reconcile([(NODE, epoch(2), 3)])
    said_before_it_began = status((1, 1, 2))
    ledger.note_status(said_before_it_began)
    row = row_of(ledger.find(NODE, epoch(2)))
    assert (row.quarantined, row.in_spool, row.missing) == (1, 2, 0)
    ledger.note_status(said_before_it_began)
    row = row_of(ledger.find(NODE, epoch(2)))
    assert (row.quarantined, row.in_spool, row.missing) == (1, 0, 2)


def test_a_store_that_counts_otherwise_is_a_problem():
    row = LedgerRow(NODE, epoch(1), head=10, stored=8, stored_on_word=1, expired=1)
    key = (NODE, epoch(1))

    def problems(held: int, deleted: int = 0, *, counts_deleted: bool = True) -> list[str]:
        reply = reply_of([row], {key: {"sqlite": StoreCount(held, deleted, counts_deleted)}})
        assert reply.ok == (not reply.problems)
        assert reply.rows[0].verified == held + deleted
        return reply.problems

    assert problems(8) == []
    assert problems(9) == []
    assert problems(3, deleted=5) == []
    assert problems(4, deleted=6) == [], "one came again after it was deleted as too old"
    assert problems(7) != []
    assert problems(10) != []
    assert problems(7, counts_deleted=False) == []


def test_a_late_batch_of_a_lost_epoch_is_not_in_a_spool_for_ever():
    ledger = Ledger()
    ledger.note_status(status((2, 1, 5)))
    ledger.open(NODE, epoch(1)).settle(7, 9, "stored")
    ledger.note_status(status((2, 1, 5)))
    late = row_of(ledger.find(NODE, epoch(1)))
    assert (late.stored, late.in_spool, late.missing) == (3, 6, 0), "it may have begun after that list was made"
    ledger.note_status(status((2, 1, 5)))
    late = row_of(ledger.find(NODE, epoch(1)))
    assert (late.stored, late.in_spool, late.missing) == (3, 0, 6)
    ledger.open(NODE, epoch(1))
    ledger.note_status(status((2, 1, 5)))
    assert row_of(ledger.find(NODE, epoch(1))).missing == 0, "what is heard of again is waited for again"


def test_a_store_may_hold_what_was_evicted_before_it_was_accounted():
    row = LedgerRow(NODE, epoch(1), head=10, stored=7, evicted=3)
    key = (NODE, epoch(1))

    def problems(sqlite: int, influxdb: int) -> list[str]:
        return reply_of([row], {key: {"sqlite": StoreCount(sqlite), "influxdb": StoreCount(influxdb)}}).problems

    assert problems(7, 7) == []
    assert problems(9, 7) == [], "one store had it when the other was away, and the agent had no room to keep it"
    assert problems(11, 7) != []
    assert problems(7, 6) != []


def test_a_row_that_does_not_add_up_is_a_problem():
    row = LedgerRow(NODE, epoch(1), head=10, stored=8)
    assert reply_of([row]).problems == [f"lab.pi {epoch(1).hex()[:8]}: classes hold 8 of 10"]


def test_a_fleet_too_large_for_its_epochs_gets_one_row_a_node():
    rows = [LedgerRow(f"lab.n{n // 10}", epoch(n + 1), head=2, stored=2) for n in range(9000)]
    reply = reply_of(rows)
    assert (len(reply.rows), reply.ok) == (900, True)
    assert all((row.epoch, row.stored, row.head) == (SUMMED, 20, 20) for row in reply.rows)
    assert structs.replace(reply.rows[0], node="") == structs.replace(reply.rows[1], node="")


def test_a_node_whose_epochs_all_wait_for_what_never_comes_can_begin_anew():
    ledger = Ledger()
    for first in (100, 200):
        ledger.note_status(status(*((first + n, 1, 5) for n in range(64))))
    assert not ledger.may_open(NODE, epoch(1), at_base=True)
    ledger.note_status(status((1, 1, 10)))
    assert ledger.find(NODE, epoch(1)) is not None
    assert ledger.may_open(NODE, epoch(2), at_base=False)
    assert all(row.forgotten == (row.epoch != epoch(1)) for row in ledger.rows())


def test_sums_keep_the_bound_of_a_counter_whatever_bases_are_made_up():
    ledger = Ledger()
    for number in range(1, 2300):
        ledger.open(NODE, epoch(number)).receive_base(MAX_SEQ)
        ledger.kept()
    told = decode(encode(reply_of(ledger.rows())), LedgerReply)
    assert told.rows[0].epoch == SUMMED
    assert told.rows[0].head == MAX_COUNT
    assert ledger.totals()["stored_on_word"] == MAX_COUNT
    assert len(ledger.rows()) < 2 * MAX_EPOCHS + MAX_FORGOTTEN
