"""What the pipeline's thread tells the others at each interval: how it is, what it counts, and what it has lost."""

import logging

from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.control import Clock
from tinyprof_collector.forgotten import ForgottenFailed
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.ingest import Ingest
from tinyprof_collector.ledger_sums import Sums
from tinyprof_collector.live_state import LiveState, PipelineView
from tinyprof_collector.lookout import Lookout
from tinyprof_collector.opened import Opened
from tinyprof_collector.pipeline import Pipeline

log = logging.getLogger(__name__)


class Refresh:
    """Called on the pipeline's thread; every `ledger_interval_s` the ledger is summed up."""

    def __init__(
        self,
        opened: Opened,
        pipeline: Pipeline,
        inbox: Inbox,
        ingest: Ingest,
        live: LiveState,
        lookout: Lookout,
        cache: Cache,
        clock: Clock,
        ledger_interval_s: float,
    ) -> None:
        self._opened = opened
        self._pipeline = pipeline
        self._inbox = inbox
        self._ingest = ingest
        self._live = live
        self._lookout = lookout
        self._cache = cache
        self._clock = clock
        self._ledger_interval_s = ledger_interval_s
        self._ledger_seen_s: float | None = None
        self._sums = Sums({}, {}, {})

    def refresh(self) -> None:
        """Looks at the pipeline and what it needs, and keeps what is kept from time to time."""
        now_s = self._clock.monotonic_s()
        if self._ledger_seen_s is None or now_s - self._ledger_seen_s >= self._ledger_interval_s:
            self._ledger_seen_s = now_s
            self._sums = self._pipeline.ledger_sums()
        self._leave_to_others()
        self._live.note_pipeline(self._view(now_s), self._clock.wall_ns())
        self._cache.keep(self._clock.wall_ns())
        try:
            self._live.keep_forgotten()
        except ForgottenFailed as why:
            log.warning("which boards are forgotten cannot be kept: %s", why)

    def _view(self, now_s: float) -> PipelineView:
        holding, sums = self._pipeline.holding, self._sums
        stores = {store.name: store.check() or "" for store in self._opened.stores}
        kept = self._opened.state.check() or self._opened.quarantine.check() or ""
        if holding is not None and not kept and not any(stores.values()):
            kept = holding.reason
        fell = {"inbox_deferred": sum(self._inbox.deferred().values()), "inbox_copies": self._inbox.copies}
        return PipelineView(
            stores,
            kept,
            {**self._pipeline.counters(), **fell},
            sums.totals,
            sums.missing,
            sums.quarantined,
            holding_s=None if holding is None else now_s - holding.since_s,
            waiting=len(self._inbox) + self._pipeline.waiting(),
        )

    def _leave_to_others(self) -> None:
        """What another collector has claimed is its: this one takes, tells and sends nothing more for it."""
        taken = self._pipeline.taken
        self._ingest.leave(taken)
        self._live.leave(taken)
        self._lookout.leave(taken)
