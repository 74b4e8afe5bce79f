"""The agent: starts the spool, the connection, the uplink and a worker for each board, and stops them all again."""

import logging
import os
import random
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from tinyprof_agent import status as statuses
from tinyprof_agent.boards import BadBoard, BoardConfig, make_driver, measuring_locks
from tinyprof_agent.clock import HostClock, host_clock
from tinyprof_agent.conditions import read_host, readings
from tinyprof_agent.config import AgentConfig
from tinyprof_agent.drivers.driver import Driver
from tinyprof_agent.golden_files import BadGoldenFile, cases_of_files
from tinyprof_agent.identity import version
from tinyprof_agent.jobs import JobBook
from tinyprof_agent.model_files import BadModelFile, shapes_of_files
from tinyprof_agent.spool import Spool, SpoolError
from tinyprof_agent.uplink import Uplink
from tinyprof_agent.worker import BoardWorker, WorkerSurroundings
from tinyprof_platforms.suites import SuiteError, offered, suites_with
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import BadMessage, encode
from tinyprof_protocol.connection import Connection, Hooks, Message, Publication, Published
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import Progress
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Body, Sample
from tinyprof_protocol.service_notify import ServiceNotify
from tinyprof_protocol.topics import agent_topic, collector_status

log = logging.getLogger(__name__)

STOP_S: Final = 10.0
QUIET_S: Final = 2.0
"""A stop waits no longer for a collector that takes nothing for so long; the spool keeps what is left."""
MAX_JOBS_WAITING: Final = 256
MAX_OFFERED: Final = 64
FORGET_EVERY_S: Final = 3600.0
CLASH: Final = "another client seems to use this agent's name: connections were lost as soon as they stood; rename one"
_LOG_FORMAT: Final = "%(asctime)s %(levelname)-7s %(threadName)s: %(message)s"


class _Recorder:
    """The spool as the workers see it. Every record is durable when `record` returns."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def record(self, bodies: Sequence[Body], *, durable: bool = True) -> None:
        """Returns once the bodies are in the spool; it knows no weaker promise than `durable`."""
        del durable
        self._spool.record(bodies)


class AgentService:
    """An agent in this process. `start` returns at once; `stop` takes at most about `finish_s` and `STOP_S` seconds."""

    def __init__(
        self, config: AgentConfig, make: Callable[[BoardConfig, Callable[[], int]], Driver] = make_driver
    ) -> None:
        """`make` makes the driver of a board.

        Raises SpoolError, BadBoard, BadGoldenFile, BadModelFile or SuiteError; nothing is left open then.
        """
        self._config = config
        self._node = config.node
        self._clock: HostClock = host_clock(config.clock.trust)
        self._rng = random.Random()
        self._suites = suites_with(config.suite_files)
        self._offered = [offered(name, self._suites[name]) for name in sorted(self._suites)[:MAX_OFFERED]]
        self._cases_of = cases_of_files(config.golden_files)
        self._shape_of = shapes_of_files(config.model_files)
        self._started_ns = time.time_ns()
        self._version = version()
        self._counters: dict[str, int] = {}
        self._signal = threading.Condition()
        self._stirred = False
        self._forced = False
        self._stopping = False
        self._jobs_waiting: deque[bytes] = deque()
        address = config.broker_address()
        locks = fewer_locks(measuring_locks(config.boards), config.max_workers)
        drivers = {board.name: make(board, time.monotonic_ns) for board in config.boards}
        self._spool = Spool.open(config.state_folder() / "spool.db", self._clock, cap_bytes=config.spool.cap_bytes)
        try:
            self._book = JobBook(self._spool, self._node, self._wall_ns, self._stir)
            around = self._surroundings()
            self._workers = {
                board.name: BoardWorker(board, drivers[board.name], self._suites, locks[board.name], around)
                for board in config.boards
            }
            self._connection = self._make_connection(address)
            self._uplink = Uplink(
                self._spool,
                self._node,
                self._connection.publish,
                max_packet_bytes=lambda: self._connection.state.max_packet_bytes,
                rng=self._rng,
            )
        except BaseException:
            self._spool.close()
            raise
        self._thread = threading.Thread(target=self._keep, name="agent", daemon=True)

    def _make_connection(self, address: BrokerAddress) -> Connection:
        hooks = Hooks(
            on_message=self._on_message,
            on_connected=self._on_connected,
            on_lost=self._on_lost,
            on_published=self._on_published,
        )
        return Connection(
            address,
            self._node,
            hooks,
            subscriptions=[
                (agent_topic(self._node, "sack"), 1),
                (agent_topic(self._node, "jobs"), 1),
                (collector_status(), 1),
            ],
            will=statuses.last_will(self._node),
            keepalive_s=self._config.uplink.keepalive_s,
        )

    def _surroundings(self) -> WorkerSurroundings:
        return WorkerSurroundings(
            node=self._node,
            recorder=_Recorder(self._spool),
            clock_ns=time.monotonic_ns,
            rng=self._rng,
            new_run_id=lambda: os.urandom(16),
            on_job=self._book.on_state,
            on_progress=self._on_progress,
            left_s=lambda job: (job.deadline_ns - self._wall_ns()) / 1e9,
            cases_of=self._cases_of,
            shape_of=self._shape_of,
        )

    # ---- life

    def start(self) -> None:
        """Starts everything and returns."""
        self._uplink.start()
        self._connection.start()
        self._thread.start()
        for worker in self._workers.values():
            worker.start()

    def stop(self) -> bool:
        """Lets runs end for `finish_s`, aborts the others, says that the agent is offline; False if a board holds on.

        A job whose run was aborted is held, as those that wait are: it runs after the next start.
        """
        finish_s = self._config.finish_s
        deadline = time.monotonic() + finish_s + STOP_S
        with self._signal:
            self._stopping = True
            self._signal.notify()
        stoppers = [
            threading.Thread(target=worker.stop, args=(finish_s, STOP_S), name=f"stop-{name}", daemon=True)
            for name, worker in self._workers.items()
        ]
        for stopper in stoppers:
            stopper.start()
        for stopper in stoppers:
            stopper.join(max(0.1, deadline - time.monotonic()))
        self._thread.join(max(0.1, deadline - time.monotonic()))
        self._deliver_rest(deadline)
        self._uplink.stop(max(0.1, min(2.0, deadline - time.monotonic())))
        last = [statuses.last_will(self._node)] if self._connection.state.connected else []
        self._connection.stop(last, timeout_s=2.0)
        self._spool.close()
        return not any(stopper.is_alive() for stopper in stoppers)

    def dead_threads(self) -> list[str]:
        """The threads that have ended though nobody told them to: such an agent had better be started anew."""
        running = {"agent": self._thread.is_alive(), "uplink": self._uplink.alive(), "mqtt": self._connection.alive()}
        boards = {f"board-{name}": worker.alive() for name, worker in self._workers.items()}
        return [] if self._stopping else [name for name, alive in {**running, **boards}.items() if not alive]

    def _deliver_rest(self, deadline_s: float) -> None:
        """Waits while the collector still takes what is spooled, then says for the last time how much was made."""
        least, quiet_until_s = self._spool.stats().records, time.monotonic() + QUIET_S
        while least and self._connection.state.connected and time.monotonic() < min(deadline_s, quiet_until_s):
            time.sleep(0.02)
            left = self._spool.stats().records
            if left < least:
                least, quiet_until_s = left, time.monotonic() + QUIET_S
        if self._connection.state.connected:
            self._connection.publish(statuses.status_publication(self.status()))

    # ---- hooks, from the connection's thread

    def _on_connected(self) -> None:
        self._uplink.on_connected()
        self._stir(force=True)

    def _on_lost(self, _reason: str) -> None:
        self._uplink.on_lost()

    def _on_published(self, published: Published) -> None:
        self._uplink.on_published(published)

    def _on_message(self, message: Message) -> None:
        if message.topic == agent_topic(self._node, "sack"):
            self._uplink.on_sack(message.payload)
        elif message.topic == agent_topic(self._node, "jobs"):
            self._on_job(message.payload)
        else:
            self._on_collector(message)

    def _on_job(self, payload: bytes) -> None:
        with self._signal:
            if len(self._jobs_waiting) >= MAX_JOBS_WAITING:
                self._count("jobs_dropped")
                return
            self._jobs_waiting.append(payload)
            self._signal.notify()

    def _on_collector(self, message: Message) -> None:
        """A live collector's time; it is believed only where the rule of trust has nothing better."""
        try:
            time_ns = statuses.collector_time_ns(message)
        except BadMessage:
            self._count("bad_collector_statuses")
            return
        if time_ns is not None:
            self._clock.observe(time_ns)

    def _on_progress(self, progress: Progress) -> None:
        if self._connection.state.connected:
            self._connection.publish(Publication(agent_topic(self._node, "progress"), encode(progress), qos=0))
        if progress.stage != "timed":
            self._stir()

    # ---- the agent's own thread: jobs, status, readings of the host

    def _keep(self) -> None:
        cadence = statuses.Cadence(self._config.uplink.status_every_s)
        self._guard(self._book.resume, self._workers)
        every_s = self._config.host_sample_every_s
        next_sample_s = time.monotonic() if every_s else float("inf")
        next_forget_s = time.monotonic() + FORGET_EVERY_S
        while True:
            now_s = time.monotonic()
            due_s = min(next_sample_s, next_forget_s) - now_s
            if self._connection.state.connected:
                due_s = min(due_s, cadence.wait_s(now_s))
            jobs, stopping = self._await(due_s, cadence)
            if stopping:
                return
            if jobs:
                self._guard(self._book.came, jobs)
            now_s = time.monotonic()
            if now_s >= next_sample_s:
                next_sample_s = now_s + every_s
                self._guard(self._sample_host)
            if now_s >= next_forget_s:
                next_forget_s = now_s + FORGET_EVERY_S
                self._guard(self._book.forget_old)
            self._guard(self._say, cadence)

    def _await(self, wait_s: float, cadence: statuses.Cadence) -> tuple[list[bytes], bool]:
        with self._signal:
            if not (self._jobs_waiting or self._stirred or self._stopping):
                self._signal.wait(max(0.05, wait_s))
            jobs = list(self._jobs_waiting)
            self._jobs_waiting.clear()
            if self._forced:
                cadence.force()
            self._stirred = self._forced = False
            return jobs, self._stopping

    def _say(self, cadence: statuses.Cadence) -> None:
        if not self._connection.state.connected or cadence.too_soon(time.monotonic()):
            return
        status = self.status()
        now_s = time.monotonic()
        if cadence.due(status, now_s) and self._connection.publish(statuses.status_publication(status)) is not None:
            cadence.said(status, now_s)

    def status(self) -> AgentStatus:
        """The agent's word on itself, now."""
        return statuses.make_status(
            statuses.Facts(
                node=self._node,
                version=self._version,
                started_ns=self._started_ns,
                interval_s=self._config.uplink.status_every_s,
                now=self._clock.read(),
                owed=self._spool.owed(),
                spool=self._spool.stats(),
                boards=[worker.presence() for worker in self._workers.values()],
                jobs=self._book.held(),
                suites=self._offered,
                counters=self._all_counters(),
                link_error=CLASH if self._connection.state.clash else "",
            )
        )

    def _all_counters(self) -> dict[str, int]:
        link = {f"link_{name}": count for name, count in dict(self._connection.state.counts).items()}
        return {**self._counters, **self._book.counters, **self._uplink.counters(), **link}

    def _sample_host(self) -> None:
        values = readings(read_host())
        if values:
            self._spool.record([Sample(values)])

    def _guard(self, work: Callable[..., None], *arguments: object) -> None:
        """Whatever fails, the agent's thread lives on; what failed is logged and counted."""
        try:
            work(*arguments)
        except Exception:
            self._count("turns_failed")
            log.exception("the agent failed for once")

    def _stir(self, *, force: bool = False) -> None:
        with self._signal:
            self._stirred = True
            self._forced = self._forced or force
            self._signal.notify()

    def _wall_ns(self) -> int:
        reading = self._clock.read()
        return time.time_ns() if reading.wall_ns is None else reading.wall_ns

    def _count(self, name: str) -> None:
        self._counters[name] = self._counters.get(name, 0) + 1


def fewer_locks(locks: dict[str, threading.Lock], at_most: int) -> dict[str, threading.Lock]:
    """The boards' measuring locks, shared among boards so that at most `at_most` measure at once (0: no limit)."""
    distinct = list({id(lock): lock for lock in locks.values()}.values())
    if at_most <= 0 or len(distinct) <= at_most:
        return locks
    shared = {id(lock): distinct[number % at_most] for number, lock in enumerate(distinct)}
    return {name: shared[id(lock)] for name, lock in locks.items()}


def run(config: AgentConfig) -> int:
    """Runs an agent until SIGTERM or SIGINT; returns the exit code: 0, or another with one line on stderr.

    2 is a configuration that cannot be used, 1 a spool that cannot be opened or a thread that has ended by itself.
    """
    logging.basicConfig(format=_LOG_FORMAT, stream=sys.stderr)
    logging.getLogger().setLevel(config.log_level)
    try:
        service = AgentService(config)
    except (SpoolError, BadBoard, BadGoldenFile, BadModelFile, SuiteError) as why:
        print(f"tinyprof agent: {why}", file=sys.stderr)
        return 1 if isinstance(why, SpoolError) else 2
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    service.start()
    log.info("agent %s is ready: %d boards, spool in %s", config.node, len(config.boards), config.state_folder())
    notify = ServiceNotify()
    notify.ready(f"{config.node}, {some(len(config.boards), 'board')}")
    dead: list[str] = []
    while not dead and not stop.wait(notify.interval_s):
        dead = service.dead_threads()
        if not dead:
            notify.alive()
    notify.stopping()
    if dead:
        log.critical("agent %s ends to be started anew: its threads %s have ended", config.node, ", ".join(dead))
    log.info("agent %s stops", config.node)
    if not service.stop():
        log.error("a board did not let go in time")
    return 1 if dead else 0
