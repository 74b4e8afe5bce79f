"""The thread that looks, once a second, for what collectors that share a Redis may take from each other."""

import logging
import threading
from collections.abc import Callable, Iterable

from tinyprof_collector.jobs.desk import publications_of
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.store import JobStoreFailed
from tinyprof_protocol.connection import Publication

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class JobSharing:
    """Looks only where the jobs are shared; whoever waits for a Redis here holds up nobody else."""

    def __init__(
        self, keeper: JobKeeper, publish: Callable[[Iterable[Publication]], object], wall_ns: Callable[[], int]
    ) -> None:
        self._keeper = keeper
        self._publish = publish
        self._wall_ns = wall_ns
        self._stopping = threading.Event()
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="jobs-shared", daemon=True)
        self.counts = {"job_looks_failed": 0}

    def start(self) -> None:
        """Starts the thread, where there is something to share."""
        if self._keeper.shared:
            self._thread.start()

    def alive(self) -> dict[str, bool]:
        """Whether the thread runs, by its name; empty where it need not."""
        return {self._thread.name: self._thread.is_alive()} if self._keeper.shared else {}

    def stop(self, timeout_s: float) -> None:
        """Ends the thread after the look that it is at."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self._publish(publications_of(self._keeper.share(self._wall_ns())))
                self._error = ""
            except JobStoreFailed as why:
                self.counts["job_looks_failed"] += 1
                if str(why) != self._error:
                    log.warning("what other collectors offer cannot be seen: %s", why)
                self._error = str(why)
            except Exception:
                self.counts["job_looks_failed"] += 1
                log.exception("jobs could not be shared")
