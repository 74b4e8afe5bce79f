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
        """Tells each what concerns it."""
        now_ns = self._wall_ns()
        # First what answers requests: whoever hears that a job has finished finds it there.
        self._cache.take(chain.from_iterable(one.answers() for one in news), self._live.agents(), now_ns)
        self._live.stored(news, now_ns)
        for one in news:
            self._lookout.stored(one.new)
        # What the stores held before may still be news of a job: it came while the collector was away.
        of_jobs = [(arrival.node, arrival.record) for one in news for arrival in one.of_jobs]
        if of_jobs:
            self._outbox.put(publications_of(self._jobs.stored(of_jobs, now_ns)))
