"""Who hears what stored records say: cache, live state, the watch for regressions, and jobs, in that order."""

from collections.abc import Callable
from itertools import chain

from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.jobs.desk import publications_of
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.outbox import Outbox
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.lookout import Lookout
from tinyprof_collector.news import News


class StoredNews:
    """Called on the pipeline's thread, once for each list that is stored."""

    def __init__(
        self,
        cache: Cache,
        live: LiveState,
        lookout: Lookout,
        jobs: JobKeeper,
        outbox: Outbox,
        wall_ns: Callable[[], int],
    ) -> None:
        self._cache = cache
        self._live = live
        self._lookout = lookout
        self._jobs = jobs
        self._outbox = outbox
        self._wall_ns = wall_ns

    def tell(self, news: list[News]) -> None:
        """Tells each what concerns it, also where another cannot take it: then it raises what that one raised."""
        now_ns, failed = self._wall_ns(), None
        # First what answers requests: whoever hears that a job has finished finds it there.
        for tell in (self._tell_cache, self._live.stored, self._tell_lookout, self._tell_jobs):
            try:
                tell(news, now_ns)
            except Exception as why:  # noqa: BLE001 - raised below, once all have heard of it
                failed = failed or why
        if failed is not None:
            raise failed

    def _tell_cache(self, news: list[News], now_ns: int) -> None:
        self._cache.take(chain.from_iterable(one.answers() for one in news), self._live.agents(), now_ns)

    def _tell_lookout(self, news: list[News], _now_ns: int) -> None:
        for one in news:
            self._lookout.stored(one.new)

    def _tell_jobs(self, news: list[News], now_ns: int) -> None:
        # What the stores held before may still be news of a job: it came while the collector was away.
        of_jobs = [(arrival.node, arrival.record) for one in news for arrival in one.of_jobs]
        if of_jobs:
            self._outbox.put(publications_of(self._jobs.stored(of_jobs, now_ns)))
