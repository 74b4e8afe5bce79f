"""The parts of a collector, put together: who is given what, and who calls whom. None of them is started here."""

import threading
from collections.abc import Callable, Mapping

from tinyprof_collector.ahead import Ahead
from tinyprof_collector.answers import Answers
from tinyprof_collector.broker_side import BrokerSide
from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock, Control, Duties, status_publication
from tinyprof_collector.decoding import Decoder
from tinyprof_collector.feed import Feed
from tinyprof_collector.identity import offline_status, package_version
from tinyprof_collector.inbox import Inbox
from tinyprof_collector.ingest import Ingest, Watchdog, subscriptions
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.desk import JobDesk
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.outbox import Outbox
from tinyprof_collector.jobs.sharing import JobSharing
from tinyprof_collector.jobs.store import SharedJobStore
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.lookout import Lookout, Seen
from tinyprof_collector.opened import Opened
from tinyprof_collector.pipeline import Pipeline
from tinyprof_collector.pipeline_thread import PipelineThread
from tinyprof_collector.profile_requests import ProfileRequests
from tinyprof_collector.refresh import Refresh
from tinyprof_collector.replies import Replies
from tinyprof_collector.sack_lag import SackLag
from tinyprof_collector.self_report import Parts, SelfReport
from tinyprof_collector.stored_news import StoredNews
from tinyprof_collector.stores.opening import boards_before, decodes_ahead, gather_s_of, source_for
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus

REFRESH_S = 1.0


class Assembly:
    """All parts, each made of those before it; two know later ones: the connection, and who counts what others count.

    Raises what reading the stores and loading the accounts raises.
    """

    def __init__(
        self,
        config: Config,
        opened: Opened,
        clock: Clock,
        started_ns: int,
        stopping: threading.Event,
        on_ready: Callable[[], None],
    ) -> None:
        self._config = config
        self._opened = opened
        self._clock = clock
        self._started_ns = started_ns
        self._stopping = stopping
        self._make_what_is_known()
        self._recall()
        self._connect_later()
        self._make_the_way_in()
        self._make_who_answers()
        self._make_the_control()
        self.report = SelfReport(self._reported(), clock)
        self._broker_side = BrokerSide(self.ingest, self.control, self._watchdog, stopping, on_ready)

    def dead_threads(self) -> list[str]:
        """The threads that have ended though nobody told them to."""
        return [] if self._stopping.is_set() else [name for name, why in self.report.alive().items() if why]

    def _make_what_is_known(self) -> None:
        config, clock = self._config, self._clock
        self._sack_lag = SackLag(clock.monotonic_s)
        self.cache = Cache(config.cache, config.health.stale_intervals, self._opened.cache_backing)
        self.cache.restore(clock.wall_ns())
        self.lookout = Lookout(config, self._opened.watch, self._opened.stores, clock)
        self.live = LiveState(
            config,
            self._started_ns,
            package_version(),
            self._sack_lag.median_ms,
            self._more_counts,
            self._opened.forgotten,
            self.lookout,
        )
        book = JobBook(
            config.replies.max_jobs, self.live.agents(), config.health.stale_intervals, config.partitions,
            shared=isinstance(self._opened.jobs, SharedJobStore),
        )  # fmt: skip
        self.jobs = JobKeeper(book, self._opened.jobs)

    def _recall(self) -> None:
        """What the stores hold of boards and jobs from before this start."""
        first, now_ns = self._opened.stores[0], self._clock.wall_ns
        before = [one for one in boards_before(first) if partition_of(one.node) in self._config.partitions]
        self.live.restore(before, now_ns())
        with first.read() as reader:
            self.jobs.catch_up(reader, now_ns())

    def _connect_later(self) -> None:
        config = self._config
        self.connection = Connection(
            config.broker_address(),
            config.id,
            Hooks(on_message=self._on_message, on_connected=self._on_connected, on_lost=self._on_lost),
            subscriptions=subscriptions(config.id, config.partitions),
            will=status_publication(offline_status(config, self._started_ns)),
        )
        self.outbox = Outbox(self.connection.publish, lambda: self.connection.state.connected)

    def _make_the_way_in(self) -> None:
        config, clock, opened, ingest = self._config, self._clock, self._opened, self._config.ingest
        news = StoredNews(self.cache, self.live, self.lookout, self.jobs, self.outbox, clock.wall_ns)
        self.pipeline = Pipeline(
            opened.stores,
            opened.state,
            opened.quarantine,
            clock.wall_ns,
            on_stored=news.tell,
            monotonic=clock.monotonic_s,
            partitions=config.partitions,
        )
        self._watchdog = Watchdog(ingest.watchdog_intervals * config.status_interval_s)
        self.inbox = Inbox(ingest.batches_per_agent, ingest.max_batches, ingest.max_bytes, gather_s_of(config.store))
        source = source_for(config.store, self.inbox, clock)
        self.ahead = None
        if decodes_ahead(config.store):
            decode = Decoder(opened.stores).decode
            source = self.ahead = Ahead(source, decode, self.inbox.has_full_list, ingest.take_batches)
        self._feed = Feed(self.inbox, self.pipeline, self._sack_lag, self.connection.publish, self.ahead)
        self.ingest = Ingest(config.id, self._feed.put, self._watchdog, clock.monotonic_s)
        refresh = Refresh(
            opened, self.pipeline, self.inbox, self.ingest, self.live, self.lookout, self.cache, clock,
            config.status_interval_s,
        )  # fmt: skip
        self.thread = PipelineThread(
            source,
            self._feed.process,
            self._feed.publish_sack,
            refresh.refresh,
            take_batches=ingest.take_batches,
            refresh_interval_s=min(REFRESH_S, config.status_interval_s),
            monotonic_s=clock.monotonic_s,
            holding=lambda: self.pipeline.holding is not None,
        )

    def _make_who_answers(self) -> None:
        asked, publish = self._config.replies, self.connection.publish
        answers = Answers(
            self._opened.stores[0], self.pipeline, self.thread, self.inbox, self._sack_lag, self.live, self.lookout,
            self.cache, self.jobs, self._clock.wall_ns,
        )  # fmt: skip
        self.replies = Replies(answers.sources(), publish, workers=asked.workers, max_queued=asked.max_queued)
        self.desk = JobDesk(self.jobs, answers.job_sources(), self.outbox.put, self._clock.wall_ns)
        self.sharing = JobSharing(self.jobs, self.outbox.put, self._clock.wall_ns)
        self.profile_requests = ProfileRequests(self.ingest.profile_requests, answers.cached, self.desk.submit, publish)

    def _make_the_control(self) -> None:
        seen = Seen(
            lambda: self.live.agent_healths(self._clock.wall_ns()),
            lambda: self.live.collector_status(self._clock.wall_ns()),
        )
        duties = Duties(
            self._note_status,
            self._quarantine_message,
            self.dead_threads,
            self._feed.backlog,
            lambda: self.lookout.look(seen),
            self.lookout.summary,
        )
        self.control = Control(
            self.live, self.ingest, self._watchdog, self.connection, self.replies, self.jobs, self.desk, self.outbox,
            duties, self._clock, self._config.status_interval_s,
        )  # fmt: skip

    def _reported(self) -> Parts:
        return Parts(
            self.live, self.ingest, self.inbox, self.connection, self.thread, self.control, self.replies,
            self.profile_requests, self.jobs, self.desk, self.lookout, self.outbox, self.sharing,
        )  # fmt: skip

    # The connection knows those that it calls before they are made: it is not started before that.

    def _on_message(self, message: Message) -> None:
        self._broker_side.message(message)

    def _on_connected(self) -> None:
        self._broker_side.connected()

    def _on_lost(self, why: str) -> None:
        self._broker_side.lost(why)

    def _more_counts(self) -> Mapping[str, int]:
        return {**self.cache.counters(), **self.jobs.counters(), **self.jobs.gauges(), **self.lookout.counters()}

    def _note_status(self, status: AgentStatus) -> None:
        self.thread.post(lambda: self.pipeline.note_status(status))

    def _quarantine_message(self, message: Message, reason: str) -> None:
        self.thread.post(lambda: self.pipeline.quarantine_message(message, reason))
