"""The judge of the fault harness finds what it is there to find."""

import msgspec
from conservation import Owed
from faults.verdict import Allowed, complaints, held, lost_of

from tinyprof_protocol.requests import LedgerRow

EPOCH = bytes(range(16))
NAME = EPOCH.hex()
OWED = [Owed(NAME, seq, f"life-{seq}") for seq in range(1, 6)]
ALL = [(one.epoch, one.seq, one.text) for one in OWED]
ROW = LedgerRow("lab.one", EPOCH, head=5, base=6, stored=5)


def found(records=ALL, others=None, allowed: Allowed = Allowed(), **changed: int) -> list[str]:  # noqa: B008
    stores = {"sqlite": held(records), "influxdb": held(records if others is None else others)}
    return complaints(OWED, stores, [msgspec.structs.replace(ROW, **changed)], allowed)


def test_all_stored_once_is_no_complaint():
    assert found() == []


def test_a_record_that_is_nowhere_is_found_though_the_ledger_calls_it_stored():
    assert any("are not stored" in line for line in found(ALL[:-1]))
    assert any("counted as stored" in line for line in found(ALL[:-1]))


def test_a_record_that_one_store_alone_has_is_found():
    assert any("are not stored" in line for line in found(ALL, ALL[1:]))


def test_a_record_twice_is_found():
    assert any("twice" in line for line in found([*ALL, (NAME, 6, "life-1")]))


def test_a_record_under_another_number_is_found():
    moved = [*ALL[:-1], (NAME, 9, "life-5")]
    assert any("has Owed" in line for line in found(moved))


def test_an_epoch_that_the_ledger_never_heard_of_is_found():
    assert any("never heard of" in line for line in complaints(OWED, {"sqlite": held(ALL)}, [], Allowed()))


def test_evicted_is_for_small_spools_and_expired_for_short_retention_only():
    for name in ("evicted", "expired"):
        counted = {"stored": 4, name: 1}
        assert any(f"{name} though" in line for line in found(ALL[1:], **counted))
        assert found(ALL[1:], allowed=Allowed(**{name: True}), **counted) == []
        assert any("are not stored" in line for line in found(ALL[2:], allowed=Allowed(**{name: True}), **counted))


def test_missing_is_only_what_was_in_a_spool_that_was_taken_away():
    counted = {"stored": 4, "missing": 1}
    assert any("missing" in line for line in found(ALL[1:], **counted))
    assert found(ALL[1:], allowed=Allowed(only_spooled=frozenset({(NAME, 1)})), **counted) == []
    assert found(ALL[1:], allowed=Allowed(only_spooled=frozenset({(NAME, 2)})), **counted) != []


def test_classes_that_do_not_add_up_and_what_is_still_in_a_spool_are_found():
    assert any("add up" in line for line in found(head=6))
    assert any("in a spool" in line for line in found(ALL[1:], stored=4, in_spool=1))


def test_lost_is_what_is_not_in_every_store_and_with_a_short_retention_what_is_in_none():
    stores = {"sqlite": held(ALL), "influxdb": held(ALL[1:])}
    assert lost_of(OWED, stores, Allowed()) == OWED[:1]
    assert lost_of(OWED, stores, Allowed(expired=True)) == []
    assert lost_of(OWED, {"sqlite": held(ALL[2:]), "influxdb": held(ALL[1:])}, Allowed(expired=True)) == OWED[:1]
