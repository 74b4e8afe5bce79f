"""The collector as a service: it puts the parts together, starts them, and stops them in bounded time.

Threads: `mqtt-…` appends what comes, `pipeline` stores and acknowledges, `control` keeps what is live, `jobs` takes
jobs of clients and `jobs-out` says what becomes of them, `replies-…` answer all else they ask, `endpoints` serves HTTP.
None of them waits for another without a limit.
"""

import contextlib
import gc
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import TypeVar

from msgspec.structs import replace

from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.cache.opening import open_backing
from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock, Control, Duties, status_publication
from tinyprof_collector.delivery_report import Waits, settled_as_one
from tinyprof_collector.endpoints import CannotListen, Endpoints
from tinyprof_collector.forgotten import Forgotten, ForgottenFailed
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.ingest import Ingest, Watchdog, subscriptions
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.desk import JobDesk, JobSources, publications_of
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.outbox import Outbox
from tinyprof_collector.jobs.sqlite_store import SqliteJobStore
from tinyprof_collector.jobs.store import JobStoreFailed
from tinyprof_collector.ledger_sums import Sums
from tinyprof_collector.live_state import LiveState, PipelineView
from tinyprof_collector.lookout import Lookout, Seen, open_watch_file
from tinyprof_collector.news import News
from tinyprof_collector.peers import shown
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.pipeline_thread import PipelineThread, TooBusy
from tinyprof_collector.profile_requests import ProfileRequests
from tinyprof_collector.quarantine import Quarantine, QuarantineFailed
from tinyprof_collector.replies import CannotAnswer, Replies, Sources
from tinyprof_collector.sack_lag import SackLag
from tinyprof_collector.self_report import Parts, SelfReport
from tinyprof_collector.state.opening import open_state
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.opening import boards_before, gather_s_of, open_store, source_for
from tinyprof_collector.stores.store import Store, StoreFailed
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication
from tinyprof_protocol.jobs import EncodedProfileReply, ProfileRequest
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, CollectorStatus
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
from tinyprof_protocol.service_notify import ServiceNotify

log = logging.getLogger(__name__)
T = TypeVar("T")

ERRAND_TIMEOUT_S = 20.0
REFRESH_S = 1.0
SYSTEM_CLOCK = Clock(time.time_ns, time.monotonic)


class CannotStart(RuntimeError):
    """The collector cannot start; the message is one line that says why."""


class Collector:
    """One collector: `start`, then `stop`. What it is given it does not change."""

    def __init__(self, config: Config, clock: Clock = SYSTEM_CLOCK) -> None:
        self._config = config
        self._clock = clock
        self._started_ns = clock.wall_ns()
        self._said_ready = False
        self._in_hand = 0
        self._stopping = False
        self.state_dir = config.state_folder()
        self.endpoints: Endpoints | None = None
        self._ledger_seen_s: float | None = None
        self._sums = Sums({}, {}, {})

    # ---- life

    def start(self) -> None:
        """Opens what it needs and starts its threads. Raises CannotStart; then nothing is left open."""
        with contextlib.ExitStack() as opened:
            try:
                self._open(opened)
                self._build()
                self._start_endpoints(opened)
            except (
                StoreFailed,
                StateFailed,
                QuarantineFailed,
                JobStoreFailed,
                ForgottenFailed,
                CannotListen,
                OSError,
            ) as why:
                raise CannotStart(" ".join(str(why).split())) from None
            self._opened = opened.pop_all()
        self._thread.start()
        self._replies.start()
        self._outbox.start()
        self._desk.start()
        self._profile_requests.start()
        self._lookout.start()
        self._control.start()
        self.connection.start()

    def stop(self) -> bool:
        """Stores and acknowledges what is in hand, says that it is offline, and closes; False if a thread hangs.

        Takes at most about `stop_timeout_s`.
        """
        share_s = self._config.stop_timeout_s / 5
        self._stopping = True
        self._desk.stop(share_s)
        ended = self._thread.stop(share_s)
        self._control.stop(share_s)
        self._outbox.stop(share_s / 4)
        self._profile_requests.stop(share_s / 4)
        self._replies.stop(share_s / 4)
        self._lookout.stop(share_s / 4)
        last = status_publication(self._offline())
        self.connection.stop([last], timeout_s=share_s)
        if not ended:
            log.error("the store has not answered in time; what it was given comes again from the agents")
        if self.endpoints is not None:
            self.endpoints.stop()
        if ended:
            self._cache.keep(self._clock.wall_ns())
            self._opened.close()
        log.info("collector %s has stopped", self._config.id)
        return ended

    def _open(self, opened: contextlib.ExitStack) -> None:
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self._state = open_state(self._config, self.state_dir)
        opened.callback(self._state.close)
        self._quarantine = Quarantine(self.state_dir / "quarantine.sqlite")
        opened.callback(self._quarantine.close)
        self._cache_backing = open_backing(self._config, self.state_dir)
        opened.callback(self._cache_backing.close)
        self._job_store = SqliteJobStore(self.state_dir / "jobs.sqlite")
        opened.callback(self._job_store.close)
        self._watch_file = open_watch_file(self.state_dir)
        opened.callback(self._watch_file.close)
        self._forgotten = Forgotten(self.state_dir / "forgotten.json")
        self._stores: list[Store] = []
        for name in self._config.store.use:
            store = open_store(name, self._config, self.state_dir, self._clock)
            opened.callback(store.close)
            self._stores.append(store)

    def _build(self) -> None:
        config = self._config
        self._sack_lag = SackLag(self._clock.monotonic_s)
        self._cache = Cache(config.cache, config.health.stale_intervals, self._cache_backing)
        self._cache.restore(self._clock.wall_ns())
        self._lookout = Lookout(config, self._watch_file, self._stores, self._clock)
        self._live = LiveState(
            config, self._started_ns, package_version(), self._sack_lag.median_ms, self._more_counts, self._forgotten,
            self._lookout,
        )  # fmt: skip
        book = JobBook(config.replies.max_jobs, self._live.agents(), config.health.stale_intervals)
        self._jobs = JobKeeper(book, self._job_store)
        before = [one for one in boards_before(self._stores[0]) if partition_of(one.node) in config.partitions]
        self._live.restore(before, self._clock.wall_ns())
        with self._stores[0].read() as reader:
            self._jobs.catch_up(reader, self._clock.wall_ns())
        self._pipeline = Pipeline(
            self._stores,
            self._state,
            self._quarantine,
            self._clock.wall_ns,
            on_stored=self._on_stored,
            monotonic=self._clock.monotonic_s,
            partitions=config.partitions,
        )
        self._watchdog = Watchdog(config.ingest.watchdog_intervals * config.status_interval_s)
        self._inbox = Inbox(
            config.ingest.batches_per_agent,
            config.ingest.max_batches,
            config.ingest.max_bytes,
            gather_s_of(config.store),
        )
        self._ingest = Ingest(config.id, self._put_records, self._watchdog, self._clock.monotonic_s)
        self.connection = Connection(
            config.broker_address(),
            config.id,
            Hooks(on_message=self._on_message, on_connected=self._on_connected, on_lost=self._on_lost),
            subscriptions=subscriptions(config.id, config.partitions),
            will=status_publication(self._offline()),
        )
        self._thread = PipelineThread(
            source_for(config.store, self._inbox, self._clock),
            self._process,
            self._publish_sack,
            self._refresh,
            take_batches=config.ingest.take_batches,
            refresh_interval_s=min(REFRESH_S, config.status_interval_s),
            monotonic_s=self._clock.monotonic_s,
            holding=lambda: self._pipeline.holding is not None,
        )
        self._replies = Replies(
            self._sources(),
            self.connection.publish,
            workers=config.replies.workers,
            max_queued=config.replies.max_queued,
        )
        self._outbox = Outbox(self.connection.publish, lambda: self.connection.state.connected)
        self._desk = JobDesk(self._jobs, self._job_sources(), self._outbox.put, self._clock.wall_ns)
        self._profile_requests = ProfileRequests(
            self._ingest.profile_requests, self._cached, self._desk.submit, self.connection.publish
        )
        seen = Seen(
            lambda: self._live.agent_healths(self._clock.wall_ns()),
            lambda: self._live.collector_status(self._clock.wall_ns()),
        )
        self._control = Control(
            self._live,
            self._ingest,
            self._watchdog,
            self.connection,
            self._replies,
            self._jobs,
            self._desk,
            self._outbox,
            Duties(
                self._note_status,
                self._quarantine_message,
                self.dead_threads,
                self._backlog,
                lambda: self._lookout.look(seen),
                self._lookout.summary,
            ),
            self._clock,
            config.status_interval_s,
        )
        self.report = SelfReport(
            Parts(
                self._live,
                self._ingest,
                self._inbox,
                self.connection,
                self._thread,
                self._control,
                self._replies,
                self._profile_requests,
                self._jobs,
                self._desk,
                self._lookout,
                self._outbox,
            ),
            self._clock,
        )

    def _start_endpoints(self, opened: contextlib.ExitStack) -> None:
        listen = self._config.endpoints.address()
        if listen is not None:
            self.endpoints = Endpoints(listen, self.report.probes(), self.state_dir)
            self.endpoints.start()
            opened.callback(self.endpoints.stop)

    # ---- the connection's thread

    def _on_message(self, message: Message) -> None:
        if not self._stopping:
            self._ingest.take(message)

    def _put_records(self, message: Message) -> None:
        self._sack_lag.received(message)
        if not self._inbox.put(message):
            self._sack_lag.fell(message)

    def _on_connected(self) -> None:
        self._control.connected()
        if not self._said_ready:
            self._said_ready = True
            log.info(
                "collector %s is ready: broker %s, partitions %s, store %s, endpoints %s",
                self._config.id,
                self._config.broker_address(),
                shown(self._config.partitions),
                " and ".join(store.name for store in self._stores),
                self.endpoints.url if self.endpoints is not None else "off",
            )

    def _on_lost(self, _why: str) -> None:
        self._watchdog.lost()

    # ---- the pipeline's thread

    def _backlog(self) -> int:
        return len(self._inbox) + self._in_hand

    def _process(self, messages: list[Message]) -> list[Publication]:
        self._in_hand = len(messages)
        self._sack_lag.taken(messages, holding=self._pipeline.holding is not None)
        return self._pipeline.process(messages)

    def _publish_sack(self, sack: Publication) -> int | None:
        token = self.connection.publish(sack)
        if token is not None:
            self._sack_lag.published(sack.topic)
        return token

    def _on_stored(self, news: list[News]) -> None:
        now_ns = self._clock.wall_ns()
        # First what answers requests: whoever hears that a job has finished finds it there.
        self._cache.take(chain.from_iterable(one.answers() for one in news), self._live.agents(), now_ns)
        self._live.stored(news, now_ns)
        for one in news:
            self._lookout.stored(one.new)
        # What the stores held before may still be news of a job: it came while the collector was away.
        of_jobs = [(arrival.node, arrival.record) for one in news for arrival in one.of_jobs]
        if of_jobs:
            self._outbox.put(publications_of(self._jobs.stored(of_jobs, now_ns)))

    def _refresh(self) -> None:
        now_s = self._clock.monotonic_s()
        if self._ledger_seen_s is None or now_s - self._ledger_seen_s >= self._config.status_interval_s:
            self._ledger_seen_s = now_s
            self._sums = self._pipeline.ledger_sums()
        self._leave_to_others()
        holding = self._pipeline.holding
        stores = {store.name: store.check() or "" for store in self._stores}
        kept = self._state.check() or self._quarantine.check() or ""
        if holding is not None and not kept and not any(stores.values()):
            kept = holding.reason
        fell = {"inbox_deferred": sum(self._inbox.deferred().values()), "inbox_copies": self._inbox.copies}
        counters = {**self._pipeline.counters(), **fell}
        sums = self._sums
        view = PipelineView(
            stores, kept, counters, sums.totals, sums.missing, sums.quarantined,
            holding_s=None if holding is None else now_s - holding.since_s,
            waiting=len(self._inbox) + self._pipeline.waiting(),
        )  # fmt: skip
        self._live.note_pipeline(view, self._clock.wall_ns())
        self._cache.keep(self._clock.wall_ns())
        try:
            self._live.keep_forgotten()
        except ForgottenFailed as why:
            log.warning("which boards are forgotten cannot be kept: %s", why)

    def _more_counts(self) -> Mapping[str, int]:
        return {**self._cache.counters(), **self._jobs.counters(), **self._jobs.gauges(), **self._lookout.counters()}

    def _leave_to_others(self) -> None:
        """What another collector has claimed is its: this one takes, tells and sends nothing more for it."""
        taken = self._pipeline.taken
        self._ingest.leave(taken)
        self._live.leave(taken)
        self._lookout.leave(taken)

    # ---- the control thread

    def _note_status(self, status: AgentStatus) -> None:
        self._thread.post(lambda: self._pipeline.note_status(status))

    def _quarantine_message(self, message: Message, reason: str) -> None:
        self._thread.post(lambda: self._pipeline.quarantine_message(message, reason))

    def dead_threads(self) -> list[str]:
        """The threads that have ended though nobody told them to: such a collector had better be started anew."""
        return [] if self._stopping else [name for name, why in self.report.alive().items() if why]

    # ---- the threads that answer

    def _sources(self) -> Sources:
        return Sources(
            reader=self._stores[0].read,
            boards=self._live.boards,
            summaries=lambda asked: self._live.boards_page(asked, self._clock.wall_ns()),
            status=self._status_reply,
            ledger=self._ledger_reply,
            quarantine=self._quarantine_reply,
            forget=self._forget_reply,
            cache=self._cache_reply,
        )

    def _job_sources(self) -> JobSources:
        return JobSources(self._stores[0].read, self._live.check_board, self._from_cache)

    def _status_reply(self) -> StatusReply:
        reply = self._live.status_reply(self._clock.wall_ns())
        return replace(reply, ledger=self._errand(self._pipeline.ledger_totals))

    def _ledger_reply(self, asked: LedgerRequest) -> LedgerReply:
        reply = self._errand(lambda: self._pipeline.ledger(asked.node, asked.verify))
        deferred = Counter(self._pipeline.deferred()) + Counter(self._inbox.deferred())
        waits = Waits(self._sack_lag.median_ms, self._sack_lag.waiting_s, deferred)
        reply = self._live.with_agents(reply, asked.node, waits, self._clock.wall_ns())
        return replace(reply, rows=settled_as_one(reply.rows)) if asked.settled_as_one else reply

    def _quarantine_reply(self, asked: QuarantineRequest) -> QuarantineReply:
        try:
            return self._errand(lambda: self._pipeline.quarantine_reply(asked))
        except (QuarantineFailed, StateFailed) as why:
            raise CannotAnswer("quarantine_failed", str(why)) from None

    def _forget_reply(self, asked: ForgetRequest) -> ForgetReply:
        try:
            self._lookout.forget((asked.node, asked.board))
            return ForgetReply(self._live.forget(asked.node, asked.board, self._clock.wall_ns()))
        except ForgottenFailed as why:
            raise CannotAnswer("state_failed", f"it is forgotten until this collector starts anew: {why}") from None

    def _cached(self, asked: ProfileRequest) -> EncodedProfileReply | None:
        """From the cache, unless the job may have a result of its own already, or will have one."""
        if asked.repeated or self._jobs.knows(asked.job.id):
            return None
        return self._from_cache(asked)

    def _from_cache(self, asked: ProfileRequest) -> EncodedProfileReply | None:
        return self._cache.answer(asked, self._live.agents(), self._clock.wall_ns())

    def _cache_reply(self, asked: CacheRequest) -> CacheReply:
        joined = self._jobs.counters().get("jobs_joined", 0)
        return self._cache.reply(asked, joined, self._clock.wall_ns())

    def _errand(self, function: Callable[[], T]) -> T:
        try:
            return self._thread.call(function, ERRAND_TIMEOUT_S)
        except TooBusy as why:
            raise CannotAnswer("busy", str(why)) from None

    def _offline(self) -> CollectorStatus:
        return CollectorStatus(
            id=self._config.id,
            state="offline",
            version=package_version(),
            started_ns=self._started_ns,
            interval_s=self._config.status_interval_s,
            partitions=sorted(self._config.partitions),
        )


def run(config: Config) -> int:
    """Runs a collector until SIGTERM or SIGINT, logging from `log_level` on.

    Returns 0 after a clean stop, 1 if it could not start or stop, or one of its threads has ended by itself.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(config.log_level)
    told = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    collector = Collector(config)
    try:
        for number in before:
            signal.signal(number, lambda *_: told.set())
        collector.start()
        _calm_garbage_collector()
        notify = ServiceNotify()
        notify.ready(f"collector {config.id}")
        dead: list[str] = []
        while not dead and not told.wait(notify.interval_s):
            dead = collector.dead_threads()
            if not dead:
                notify.alive()
        notify.stopping()
        if dead:
            log.critical("collector %s ends to be started anew: %s", config.id, ", ".join(dead))
        return 0 if collector.stop() and not dead else 1
    except CannotStart as why:
        log.error("%s", why)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _calm_garbage_collector() -> None:
    """Looks at new objects every 50,000 instead of every 700, and never again at what the start has made.

    Records hold no cycles: in lists of thousands of them the collector finds nothing and costs a fifth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def package_version() -> str:
    """The installed version of tinyprof, empty where it is not installed."""
    try:
        return version("tinyprof")
    except PackageNotFoundError:
        return ""
