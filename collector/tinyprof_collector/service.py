"""The life of a collector: it starts its parts, stops them in bounded time, and runs until it is told to end.

Threads: `mqtt-…` appends what comes, `pipeline` stores and acknowledges, `decode-ahead` decodes the next list while one
is posted to a server, `control` keeps what is live, `jobs` takes jobs of clients and `jobs-out` says what becomes of
them, `jobs-shared` takes some from other collectors, `replies-…` answer all else they ask, `endpoints` serves HTTP.
None of them waits for another without a limit.
"""

import contextlib
import logging
import signal
import threading
import time

from tinyprof_collector.assembly import Assembly
from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock, status_publication
from tinyprof_collector.endpoints import CannotListen, Endpoints
from tinyprof_collector.forgotten import ForgottenFailed
from tinyprof_collector.identity import offline_status
from tinyprof_collector.jobs.store import JobStoreFailed
from tinyprof_collector.opened import open_all
from tinyprof_collector.peers import shown
from tinyprof_collector.process_memory import calm_garbage_collector, share_one_heap
from tinyprof_collector.quarantine import QuarantineFailed
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.store import StoreFailed
from tinyprof_protocol.service_notify import ServiceNotify

log = logging.getLogger(__name__)

SYSTEM_CLOCK = Clock(time.time_ns, time.monotonic)

STORING_SHARES = 1.75
"""Of the five shares of a stop's time: what those that are stopped after the pipeline's thread leave it."""


class CannotStart(RuntimeError):
    """The collector cannot start; the message is one line that says why."""


class Collector:
    """One collector: `start`, then `stop`. What it is given it does not change."""

    def __init__(self, config: Config, clock: Clock = SYSTEM_CLOCK) -> None:
        self._config = config
        self._clock = clock
        self._started_ns = clock.wall_ns()
        self._stopping = threading.Event()
        self.state_dir = config.state_folder()
        self.endpoints: Endpoints | None = None

    def start(self) -> None:
        """Opens what it needs and starts its threads. Raises CannotStart; then nothing is left open."""
        with contextlib.ExitStack() as closing:
            try:
                opened = open_all(self._config, self.state_dir, self._clock, closing)
                parts = Assembly(self._config, opened, self._clock, self._started_ns, self._stopping, self._say_ready)
                self._parts, self.connection, self.report = parts, parts.connection, parts.report
                self._start_endpoints(closing)
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
            self._opened = closing.pop_all()
        parts.thread.start()
        parts.replies.start()
        parts.outbox.start()
        parts.desk.start()
        parts.sharing.start()
        parts.profile_requests.start()
        parts.lookout.start()
        parts.control.start()
        parts.connection.start()

    def stop(self) -> bool:
        """Stores and acknowledges what is in hand, says that it is offline, and closes; False if a thread hangs.

        Takes at most about `stop_timeout_s`.
        """
        parts = self._parts
        share_s = self._config.stop_timeout_s / 5
        stored_by_s = self._clock.monotonic_s() + STORING_SHARES * share_s
        self._stopping.set()
        parts.desk.stop(share_s / 2)
        parts.sharing.stop(share_s / 2)
        left_s = stored_by_s - self._clock.monotonic_s()
        parts.inbox.close()
        parts.pipeline.ask_until(stored_by_s - left_s / 2)
        ended = parts.thread.stop(left_s)
        if parts.ahead is not None:
            parts.ahead.stop()
        parts.control.stop(share_s)
        parts.outbox.stop(share_s / 4)
        parts.profile_requests.stop(share_s / 4)
        parts.replies.stop(share_s / 4)
        parts.lookout.stop(share_s / 2)
        last = status_publication(offline_status(self._config, self._started_ns))
        parts.connection.stop([last], timeout_s=share_s)
        if not ended:
            log.error("the store has not answered in time; what it was given comes again from the agents")
        if self.endpoints is not None:
            self.endpoints.stop()
        still = [name for name, why in self.report.alive().items() if not why]
        if still:
            # A file that is closed under a thread ends the process; what is left open is whole all the same.
            log.warning("%s did not end in time; its files are left to the end of the process", ", ".join(still))
        else:
            parts.cache.keep(self._clock.wall_ns())
            self._opened.close()
        log.info("collector %s has stopped", self._config.id)
        return ended

    def dead_threads(self) -> list[str]:
        """The threads that have ended though nobody told them to: such a collector had better be started anew."""
        return self._parts.dead_threads()

    def _start_endpoints(self, closing: contextlib.ExitStack) -> None:
        listen = self._config.endpoints.address()
        if listen is not None:
            self.endpoints = Endpoints(listen, self.report.probes(), self.state_dir)
            self.endpoints.start()
            closing.callback(self.endpoints.stop)

    def _say_ready(self) -> None:
        log.info(
            "collector %s is ready: broker %s, partitions %s, store %s, endpoints %s",
            self._config.id,
            self._config.broker_address(),
            shown(self._config.partitions),
            " and ".join(self._config.store.use),
            self.endpoints.url if self.endpoints is not None else "off",
        )


def run(config: Config) -> int:
    """Runs a collector until SIGTERM or SIGINT, logging from `log_level` on.

    Returns 0 after a clean stop, 1 if it could not start or stop, or one of its threads has ended by itself.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger().setLevel(config.log_level)
    share_one_heap()
    told = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    collector = Collector(config)
    try:
        for number in before:
            signal.signal(number, lambda *_: told.set())
        collector.start()
        calm_garbage_collector()
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
        log.error("collector %s cannot start: %s", config.id, why)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
