"""What clients' requests ask of the parts, for the threads that answer them."""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.delivery_report import Waits, settled_as_one
from tinyprof_collector.forgotten import ForgottenFailed
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.jobs.desk import JobSources
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.lookout import Lookout
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.pipeline_thread import PipelineThread, TooBusy
from tinyprof_collector.quarantine import QuarantineFailed
from tinyprof_collector.replies import CannotAnswer, Sources
from tinyprof_collector.sack_lag import SackLag
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.store import Store
from tinyprof_protocol.jobs import EncodedProfileReply, ProfileRequest
from tinyprof_protocol.requests import (
    CacheReply,
    CacheRequest,
    ForgetReply,
    ForgetRequest,
    LedgerReply,
    LedgerRequest,
    QuarantineReply,
    QuarantineRequest,
    StatusReply,
)

T = TypeVar("T")

ERRAND_TIMEOUT_S = 20.0


class Answers:
    """May be asked from any thread. What the pipeline alone knows its own thread is asked for, for 20 s at most."""

    def __init__(
        self,
        store: Store,
        pipeline: Pipeline,
        thread: PipelineThread,
        inbox: Inbox,
        sack_lag: SackLag,
        live: LiveState,
        lookout: Lookout,
        cache: Cache,
        jobs: JobKeeper,
        wall_ns: Callable[[], int],
    ) -> None:
        """`store` is the one that is read."""
        self._store = store
        self._pipeline = pipeline
        self._thread = thread
        self._inbox = inbox
        self._sack_lag = sack_lag
        self._live = live
        self._lookout = lookout
        self._cache = cache
        self._jobs = jobs
        self._wall_ns = wall_ns

    def sources(self) -> Sources:
        """For all requests but those for runs and jobs."""
        return Sources(
            reader=self._store.read,
            boards=self._live.boards,
            summaries=lambda asked: self._live.boards_page(asked, self._wall_ns()),
            status=self._status,
            ledger=self._ledger,
            quarantine=self._quarantine,
            forget=self._forget,
            cache=self._of_cache,
        )

    def job_sources(self) -> JobSources:
        """For requests for runs and jobs."""
        return JobSources(self._store.read, self._live.check_board, self._from_cache)

    def cached(self, asked: ProfileRequest) -> EncodedProfileReply | None:
        """From the cache, unless the job may have a result of its own already, or will have one."""
        if asked.repeated or self._jobs.knows(asked.job.id):
            return None
        return self._from_cache(asked)

    def _from_cache(self, asked: ProfileRequest) -> EncodedProfileReply | None:
        return self._cache.answer(asked, self._live.agents(), self._wall_ns())

    def _status(self) -> StatusReply:
        reply = self._live.status_reply(self._wall_ns())
        return replace(reply, ledger=self._errand(self._pipeline.ledger_totals))

    def _ledger(self, asked: LedgerRequest) -> LedgerReply:
        reply = self._errand(lambda: self._pipeline.ledger(asked.node, asked.verify))
        deferred = Counter(self._pipeline.deferred()) + Counter(self._inbox.deferred())
        waits = Waits(self._sack_lag.median_ms, self._sack_lag.waiting_s, deferred)
        reply = self._live.with_agents(reply, asked.node, waits, self._wall_ns())
        return replace(reply, rows=settled_as_one(reply.rows)) if asked.settled_as_one else reply

    def _quarantine(self, asked: QuarantineRequest) -> QuarantineReply:
        try:
            return self._errand(lambda: self._pipeline.quarantine_reply(asked))
        except (QuarantineFailed, StateFailed) as why:
            raise CannotAnswer("quarantine_failed", str(why)) from None

    def _forget(self, asked: ForgetRequest) -> ForgetReply:
        try:
            self._lookout.forget((asked.node, asked.board))
            return ForgetReply(self._live.forget(asked.node, asked.board, self._wall_ns()))
        except ForgottenFailed as why:
            raise CannotAnswer("state_failed", f"it is forgotten until this collector starts anew: {why}") from None

    def _of_cache(self, asked: CacheRequest) -> CacheReply:
        joined = self._jobs.counters().get("jobs_joined", 0)
        return self._cache.reply(asked, joined, self._wall_ns())

    def _errand(self, function: Callable[[], T]) -> T:
        try:
            return self._thread.call(function, ERRAND_TIMEOUT_S)
        except TooBusy as why:
            raise CannotAnswer("busy", str(why)) from None
