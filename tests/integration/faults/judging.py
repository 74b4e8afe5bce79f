"""Gathers what a round has left, and judges it: conservation's own judgement, and the one for faults."""

from collections.abc import Iterator

from faults.faulty_site import FaultySite
from faults.report import RoundReport
from faults.verdict import Allowed, complaints, held, lost_of
from influxd import TOKEN

from tinyprof_protocol.records import Event

MAX_TOLD = 10


def judge(site: FaultySite, done: RoundReport) -> None:
    """Fails unless every obligation is in every store once, or counted where it rightly is not."""
    shortened = any(fault.kind == "shorten retention" for fault in done.faults)
    allowed = Allowed(site.drawn.small_spool, shortened, frozenset(site.excused))
    owed = site.owed()
    done.owed = len(owed)
    ledger = site.judge(
        evicted=allowed.evicted,
        file_lost=bool(allowed.only_spooled),
        expired=allowed.expired,
        poison=site.stranger.poison,
    )
    stores = {name: held(produced_in(site, name)) for name in site.drawn.stores}
    for name in ("evicted", "expired", "quarantined", "resent"):
        setattr(done, name, sum(getattr(row, name) for row in ledger.rows))
    done.excused_and_lost = sum((one.epoch, one.seq) in allowed.only_spooled for one in lost_of(owed, stores, allowed))
    found = complaints(owed, stores, ledger.rows, allowed)
    assert not found, f"{len(found)} complaints:\n" + "\n".join(found[:MAX_TOLD])
    for role in site.roles:
        log = role.log.read_text(errors="replace") if role.log.exists() else ""
        assert TOKEN not in log, f"{role.name} has logged the token"
        assert "Traceback" not in log or role.name == "dying", f"{role.name} has logged a traceback"


def produced_in(site: FaultySite, store: str) -> Iterator[tuple[str, int, str]]:
    """Epoch, seq and text of each record in one store."""
    for epoch, seq, record in site.stored_in(store):
        produced = isinstance(record.body, Event) and record.body.name == "produced"
        yield epoch, seq, record.body.message.rstrip(".") if produced else ""
