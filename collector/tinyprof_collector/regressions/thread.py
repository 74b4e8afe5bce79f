"""The thread that watches: it takes stored runs from a bounded queue, so that storing waits for nothing here."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

from tinyprof_collector.regressions.kept import MAX_OWED, WatchFile
from tinyprof_collector.regressions.watch import BoardKey, Change, Watch
from tinyprof_collector.stores.store import Arrival, StoreFailed
from tinyprof_protocol.presence import Regression

log = logging.getLogger(__name__)

MAX_WAITING = 2000
"""Two posts' worth at the full load of a fleet. Of a backlog that comes faster than they are looked at, the rest is
passed over."""
MAX_LOOKED_AT = 250
"""Runs looked at in `POLL_S`: 1,000 a second, which is the full load. More would be taken from storing them."""
MAX_FORGET = 10_000
POLL_S = 0.25
KEEP_EVERY_S = 60.0
STORE_EVERY_S = 5.0
MAX_STORED_AT_ONCE = 100


@runtime_checkable
class KeepsRegressions(Protocol):
    """A store that shows changes beside the runs."""

    def keep_regressions(self, found: Sequence[Regression]) -> int:
        """Writes them, each once however often it comes, and returns how many will never be taken.

        May be called from any thread. Raises StoreFailed.
        """


class RegressionThread:
    """Owns the watch. `stored`, `forget`, `standing` and `of` may be called from any thread."""

    def __init__(
        self,
        watch: Watch,
        kept: WatchFile,
        stores: Sequence[KeepsRegressions],
        tell: Callable[[Change], None],
        wall_ns: Callable[[], int],
        monotonic_s: Callable[[], float],
    ) -> None:
        """`tell` hears each change once it is kept, from this thread."""
        self._watch, self._kept, self._stores, self._tell = watch, kept, stores, tell
        self._wall_ns, self._monotonic_s = wall_ns, monotonic_s
        self._waiting: deque[Arrival] = deque()
        self._forget: deque[BoardKey] = deque(maxlen=MAX_FORGET)
        self._standing: dict[BoardKey, list[Regression]] = {}
        self._kept_s = self._stored_s = monotonic_s()
        self._unkept: list[Regression] = []
        """Found changes that a store is owed and that the file has not taken yet."""
        self._dropped = 0
        """How many of them fell."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="regressions", daemon=True)
        self._counts = {"watch_over_bound": 0, "watch_errors": 0, "regressions_refused": 0}
        watch.lines.update(kept.lines())
        self._show()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> None:
        """Looks at what waits, keeps all, and ends."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def stored(self, arrivals: Iterable[Arrival]) -> None:
        """Takes what the stores have; what there is no room for is not looked at, and counted."""
        for arrival in arrivals:
            # Whether it is a run is looked at by the thread: its record may have to be decoded again.
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append(arrival)
            else:
                self._counts["watch_over_bound"] += 1

    def forget(self, board: BoardKey) -> None:
        """A board is forgotten: it is watched anew."""
        self._forget.append(board)

    def of(self, board: BoardKey) -> list[Regression]:
        """What stands for a board, newest first."""
        return self._standing.get(board, [])

    def standing(self) -> list[Regression]:
        """What stands for all boards, newest first."""
        found = [one for its in self._standing.values() for one in its]
        return sorted(found, key=lambda one: -one.since_ns)

    def counters(self) -> dict[str, int]:
        """What was counted since the start, and what stands now."""
        standing = sum(map(len, self._standing.values()))
        lost = {"watch_unkept": self._kept.errors, "regressions_unstored": self._kept.dropped + self._dropped}
        return {**self._watch.counts, **self._counts, **lost, "regressions_standing": standing}

    # ---- the thread

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            self._guarded()
        self._kept_s = float("-inf")
        self._guarded()

    def _guarded(self) -> None:
        try:
            self.round()
        except Exception:
            self._counts["watch_errors"] += 1
            log.exception("the watch for regressions failed")

    def round(self) -> None:
        """Does once all that is due."""
        now_ns, now_s = self._wall_ns(), self._monotonic_s()
        changes: list[Change] = []
        while self._forget:
            self._watch.forget([self._forget.popleft()])
        for _ in range(len(self._waiting) if self._stopping.is_set() else min(len(self._waiting), MAX_LOOKED_AT)):
            changes += self._found_in(self._waiting.popleft(), now_ns)
        changes += self._watch.tick(now_ns)
        if changes or now_s - self._kept_s >= KEEP_EVERY_S:
            self._keep(changes, now_s)
        self._show()
        for change in changes:
            self._say(change)
        if self._stores and now_s - self._stored_s >= STORE_EVERY_S:
            self._stored_s = now_s
            self._store()

    def _found_in(self, arrival: Arrival, now_ns: int) -> list[Change]:
        """What a record changes; one over which the code fails takes nothing of the others with it."""
        try:
            return self._watch.take(arrival.node, arrival.record, now_ns)
        except Exception:
            self._counts["watch_errors"] += 1
            log.exception("a record of %s could not be looked at", arrival.node)
            return []

    def _keep(self, changes: list[Change], now_s: float) -> None:
        self._kept_s = now_s
        found = [change.regression for change in changes if change.kind == "found"] if self._stores else []
        owed = self._unkept = [*self._unkept, *found]
        lines = {key: self._watch.lines.get(key) for key in self._watch.changed}
        if self._kept.keep(lines, owed):
            self._watch.changed.clear()
            self._unkept = []
        elif len(owed) > MAX_OWED:
            self._dropped += len(owed) - MAX_OWED
            del owed[:-MAX_OWED]
        if owed:
            self._kept.bound()
            self._stored_s = float("-inf")

    def _show(self) -> None:
        shown: dict[BoardKey, list[Regression]] = {}
        for one in self._watch.standing():
            shown.setdefault((one.node, one.board), []).append(one)
        self._standing = shown

    def _say(self, change: Change) -> None:
        one = change.regression
        what = "has changed" if change.kind == "found" else f"is no longer told of ({change.why})"
        log.warning(
            "%s/%s: %s %s: %g to %g (%+.1f%%)", one.node, one.board, one.metric, what, one.before, one.after,
            100 * one.change,
        )  # fmt: skip
        self._tell(change)

    def _store(self) -> None:
        owed = self._kept.owed()[:MAX_STORED_AT_ONCE]
        if not owed:
            return
        try:
            for store in self._stores:
                self._counts["regressions_refused"] += store.keep_regressions([one for _, one in owed])
        except StoreFailed as why:
            log.warning("changes cannot be stored yet: %s", why)
            return
        self._kept.taken(number for number, _ in owed)
