"""The thread that owns the pipeline: it takes lists of records, and between them does what other threads ask of it."""

import functools
import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tinyprof_protocol.connection import Message, Publication

log = logging.getLogger(__name__)
T = TypeVar("T")

TAKE_TIMEOUT_S = 0.05
TRY_AGAIN_S = 0.5
"""An empty list is processed so often, so that what is held is tried again."""
MAX_ERRANDS = 30_000
"""One for each agent's status after a connect, and the questions of clients."""


class TooBusy(RuntimeError):
    """The pipeline has no time for an errand; the message says why."""


class Source(Protocol):
    """Where lists of messages come from."""

    def take(self, limit: int, timeout_s: float | None) -> list[Message]:
        """Up to `limit` messages; waits for the first."""

    def __len__(self) -> int:
        """How many wait."""


@dataclass(frozen=True, slots=True)
class _Errand:
    function: Callable[[], Any]
    future: "Future[Any] | None"


class PipelineThread:
    """Runs `process` over what the source gives and publishes what it returns; `refresh` at every interval.

    An exception in any of them is logged and counted: what was not acknowledged comes again.
    """

    def __init__(
        self,
        source: Source,
        process: Callable[[list[Message]], list[Publication]],
        publish: Callable[[Publication], object],
        refresh: Callable[[], None],
        *,
        take_batches: int,
        refresh_interval_s: float,
        monotonic_s: Callable[[], float],
        holding: Callable[[], bool] = lambda: False,
    ) -> None:
        """While `holding` says so nothing more is taken: it waits at the source, bounded for each agent."""
        self._source = source
        self._process = process
        self._publish = publish
        self._refresh = refresh
        self._take_batches = take_batches
        self._refresh_interval_s = refresh_interval_s
        self._monotonic_s = monotonic_s
        self._holding = holding
        self._errands: deque[_Errand] = deque()
        self._stopping = threading.Event()
        self._finish_by_s = 0.0
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)
        self.counts = {"pipeline_errors": 0, "errands_dropped": 0, "acknowledgements_unsent": 0}

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout_s: float) -> bool:
        """Works off what waits for half of `timeout_s`, then ends; False if the thread has not after the whole."""
        self._finish_by_s = self._monotonic_s() + timeout_s / 2
        self._stopping.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def post(self, function: Callable[[], Any]) -> None:
        """Leaves an errand for the thread; it falls, and is counted, where too many wait."""
        if len(self._errands) >= MAX_ERRANDS:
            self.counts["errands_dropped"] += 1
            return
        self._errands.append(_Errand(function, None))

    def call(self, function: Callable[[], T], timeout_s: float) -> T:
        """Has the thread run `function` and waits for what it returns or raises. Raises TooBusy after `timeout_s`."""
        if len(self._errands) >= MAX_ERRANDS or self._stopping.is_set():
            raise TooBusy("the collector has too much to do; ask again later")
        future: Future[T] = Future()
        self._errands.append(_Errand(function, future))
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise TooBusy(f"the collector did not get to it within {timeout_s:.0f} s; ask again later") from None

    def _run(self) -> None:
        refreshed_s = processed_s = self._monotonic_s()
        self._guarded(self._refresh)
        while not self._stopping.is_set() or self._has_time():
            messages = self._take()
            self._run_errands()
            now_s = self._monotonic_s()
            if messages or now_s - processed_s >= TRY_AGAIN_S:
                processed_s = now_s
                self._process_and_publish(messages)
            if now_s - refreshed_s >= self._refresh_interval_s:
                refreshed_s = now_s
                self._guarded(self._refresh)
        self._process_and_publish([])
        self._guarded(self._refresh)
        self._give_up_errands()

    def _take(self) -> list[Message]:
        if not self._holding():
            return self._source.take(self._take_batches, TAKE_TIMEOUT_S)
        self._stopping.wait(TAKE_TIMEOUT_S)
        return []

    def _has_time(self) -> bool:
        """Whether to go on with what waits though it is to stop; of no use where nothing is stored."""
        waits = bool(len(self._source)) and not self._holding()
        return (waits or bool(self._errands)) and self._monotonic_s() < self._finish_by_s

    def _run_errands(self) -> None:
        for _ in range(len(self._errands)):
            errand = self._errands.popleft()
            if errand.future is None:
                self._guarded(errand.function)
            elif errand.future.set_running_or_notify_cancel():
                try:
                    errand.future.set_result(errand.function())
                except Exception as why:  # noqa: BLE001  (told to who asked)
                    errand.future.set_exception(why)

    def _give_up_errands(self) -> None:
        while self._errands:
            errand = self._errands.popleft()
            if errand.future is not None and errand.future.set_running_or_notify_cancel():
                errand.future.set_exception(TooBusy("the collector is stopping"))

    def _process_and_publish(self, messages: list[Message]) -> None:
        for publication in self._guarded(lambda: self._process(messages)) or []:
            if self._guarded(functools.partial(self._publish, publication)) is None:
                self.counts["acknowledgements_unsent"] += 1

    def _guarded(self, function: Callable[[], T]) -> T | None:
        try:
            return function()
        except Exception:
            self.counts["pipeline_errors"] += 1
            log.exception("the pipeline failed; what it held comes again")
            return None
