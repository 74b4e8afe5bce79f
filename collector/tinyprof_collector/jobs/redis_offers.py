"""Runs that one collector offers to all others, in the Redis that they share: an entry in a list, and a key of its own.

The key is what is watched: it goes with the transaction in which the run is placed, changed or taken, so that of its
own collector and of those that would take it one alone comes through.
"""

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import MsgspecError

from tinyprof_collector.jobs.store import JobChanges, Offer
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.sqlite_file import line_of
from tinyprof_protocol.codec import BadMessage, pack, unpack

if TYPE_CHECKING:
    from redis.client import Pipeline

log = logging.getLogger(__name__)

OVER_AFTER_NS: Final = 60 * 10**9
"""An offer whose deadline is so long past is anybody's to take out."""


class RedisOffers:
    """What this collector offers, as far as it knows, and the commands about offers."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._jobs_of: dict[bytes, frozenset[bytes]] = {}
        """Of each run that is offered or may be."""
        self._run_of: dict[bytes, bytes] = {}

    def key(self, run_id: bytes) -> str:
        """The key that is there for as long as a run is offered."""
        return self._link.key("job-offer", run_id.hex())

    def read(self, now_ns: int) -> dict[bytes, Offer]:
        """All offers; those that are long over are taken out. May be called from any thread."""
        found = cast("dict[bytes, bytes]", self._link.commands.hgetall(self._list))
        offers = {run_id: offer for run_id, image in found.items() if (offer := _offer(image)) is not None}
        over = [one for one in found if one not in offers or now_ns > offers[one].deadline_ns + OVER_AFTER_NS]
        if over:
            self._link.commands.hdel(self._list, *cast("Any", over))
        return {run_id: offer for run_id, offer in offers.items() if run_id not in over}

    def may_be_there(self, run_id: bytes) -> bool:
        """Whether a run was offered by us, and nothing was heard since."""
        return run_id in self._jobs_of

    def jobs_of(self, run_id: bytes) -> Collection[bytes]:
        """The jobs that a run was offered with."""
        return self._jobs_of.get(run_id, frozenset())

    def note(self, offer: Offer) -> None:
        """A run may be offered from now on."""
        self._jobs_of[offer.run_id] = frozenset(offer.jobs)
        self._run_of.update(dict.fromkeys(offer.jobs, offer.run_id))

    def forget(self, run_ids: Iterable[bytes]) -> None:
        """Runs are not offered any more."""
        for run_id in run_ids:
            for job_id in self._jobs_of.pop(run_id, ()):
                self._run_of.pop(job_id, None)

    def touched_by(self, changes: JobChanges) -> list[bytes]:
        """The runs whose offers end with these changes: a job of theirs is not what it was, or has come to them."""
        found = [self._run_of.get(job_id) for job_id in changes.gone]
        for kept in changes.jobs:
            found += [self._run_of.get(kept.request.job.id), kept.run_id if kept.run_id in self._jobs_of else None]
        return list(dict.fromkeys(run_id for run_id in found if run_id is not None))

    def queue(self, run: "Pipeline", offer: Offer) -> None:
        """Adds to a transaction: a run is offered."""
        run.set(self.key(offer.run_id), b"", pxat=max(1, offer.deadline_ns // 10**6))
        run.hset(self._list, cast("Any", offer.run_id), cast("Any", pack(offer)))

    def queue_end(self, run: "Pipeline", run_ids: Iterable[bytes]) -> None:
        """Adds to a transaction: runs are offered no longer."""
        for run_id in run_ids:
            run.delete(self.key(run_id))
            run.hdel(self._list, cast("Any", run_id))

    @property
    def _list(self) -> str:
        return self._link.key("job-offers")


def _offer(image: bytes) -> Offer | None:
    try:
        return unpack(image, Offer)
    except (BadMessage, MsgspecError) as why:
        log.error("an offer of a job cannot be read and is taken out: %s", line_of(why))
        return None
