"""The judgement of a round, record by record: conservation's own, and what faults need beyond it."""

from collections import Counter

from conservation import Owed
from faults.faulty_site import FaultySite
from faults.report import RoundReport
from influxd import TOKEN

from tinyprof_protocol.records import Event


def places_in(site: FaultySite, store: str) -> dict[str, tuple[str, int]]:
    """Where each produced text is in one store; fails where it is twice."""
    places: dict[str, tuple[str, int]] = {}
    for epoch, seq, record in site.stored_in(store):
        if isinstance(record.body, Event) and record.body.name == "produced":
            text = record.body.message.rstrip(".")
            assert text not in places, f"{store} has {text} at {places[text]} and at {(epoch, seq)}"
            places[text] = (epoch, seq)
    return places


def judge(site: FaultySite, done: RoundReport) -> None:
    """Every obligation is in every store once, or was declared evicted, or was only in a spool that was taken away."""
    small, excused = site.drawn.small_spool, site.excused
    owed = site.owed()
    done.owed = len(owed)
    shortened = any(fault.kind == "shorten retention" for fault in done.faults)
    ledger = site.judge(
        evicted=small, file_lost=bool(excused), expired=shortened, poison=site.stranger.poison,
    )  # fmt: skip
    done.evicted = sum(row.evicted for row in ledger.rows)
    done.expired = sum(row.expired for row in ledger.rows)
    done.quarantined = sum(row.quarantined for row in ledger.rows)
    done.resent = sum(row.resent for row in ledger.rows)
    assert small or done.evicted == 0, "evicted though the spool had room"
    gone = Counter({row.epoch.hex(): row.evicted + row.missing + row.expired for row in ledger.rows})
    excuses = Counter(epoch for epoch, _ in excused)
    lost = _check_stores(site, owed, gone + excuses)
    for row in ledger.rows:
        assert row.missing <= excuses[row.epoch.hex()], (row, excuses[row.epoch.hex()])
        assert row.discarded == row.stored_on_word == 0, row
        assert shortened or row.expired == 0, row
    done.excused_and_lost = sum((one.epoch, one.seq) in excused for one in lost)
    unexcused = [one for one in lost if (one.epoch, one.seq) not in excused]
    declared = {row.epoch.hex(): row.evicted + row.expired for row in ledger.rows}
    for epoch, count in Counter(one.epoch for one in unexcused).items():
        allowed = declared.get(epoch, 0)
        assert count <= allowed, f"{count} of epoch {epoch} are gone, {allowed} were declared evicted or expired"
    stored = Counter(epoch for epoch, _, _ in site.stored())
    for row in ledger.rows:
        beyond = stored[row.epoch.hex()] - row.stored
        allowed = gone[row.epoch.hex()] + excuses[row.epoch.hex()]
        assert 0 <= beyond <= allowed, f"{row}: the store has {stored[row.epoch.hex()]}, {allowed} may be unaccounted"
    for role in site.roles:
        log = role.log.read_text(errors="replace") if role.log.exists() else ""
        assert TOKEN not in log, f"{role.name} has logged the token"
        assert "Traceback" not in log or role.name == "dying", f"{role.name} has logged a traceback"


def _check_stores(site: FaultySite, owed: list[Owed], gone: Counter[str]) -> list[Owed]:
    """Each store has a thing where the agent had numbered it; returns what is not in all of them.

    One store may have what another has not only of what the ledger calls evicted or missing (`gone`, by epoch).
    """
    found = {store: places_in(site, store) for store in site.drawn.stores}
    for store, places in found.items():
        wrong = [one for one in owed if places.get(one.text, (one.epoch, one.seq)) != (one.epoch, one.seq)]
        assert not wrong, f"{store} has it under another number: {wrong[:5]}"
    places = {text: place for one in found.values() for text, place in one.items()}
    in_part = [text for text in places if not all(text in one for one in found.values())]
    for epoch, count in Counter(places[text][0] for text in in_part).items():
        assert count <= gone[epoch], f"{count} of epoch {epoch} are in one store only, {gone[epoch]} are gone"
    return [one for one in owed if not all(one.text in places for places in found.values())]
