"""The Python API: asks the collectors behind a broker about boards, history, state and the ledger, and for runs.

with tinyprof.connect("mqtt://broker:1883") as fleet:
    for board in fleet.boards().boards:
        print(board.node, board.board, board.health)
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Self, TypeVar

from tinyprof.board_finder import BoardFinder
from tinyprof.board_names import BoardRef, parse_full
from tinyprof.fleet_answers import FleetBoards, FleetCache, FleetJobList, FleetLedger, FleetQuarantine, FleetStatus
from tinyprof.fleet_errors import FleetError, check_limit
from tinyprof.fleet_health import health_of, stats_of
from tinyprof.fleet_jobs import FleetJobs
from tinyprof.job_handle import FleetJob
from tinyprof.metric_names import check_metric
from tinyprof.profile_request import follow_to_the_end
from tinyprof.request_channel import RequestChannel, partitions_without_owner
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.jobs import ProfileReply, Progress
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.records import Record
from tinyprof_protocol.requests import (
    BoardsReply,
    BoardsRequest,
    CacheReply,
    CacheRequest,
    ForgetReply,
    ForgetRequest,
    HistoryReply,
    HistoryRequest,
    LedgerReply,
    LedgerRequest,
    LedgerRow,
    QuarantineReply,
    QuarantineRequest,
    RequestKind,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
)

R = TypeVar("R")

REPLY_WITHIN_S = 5.0
VERIFY_WITHIN_S = 60.0
RUN_WITHIN_S = 600.0
PAGE = 200
RESULTS_PAGE = 64
MAX_PAGES = 500
_DAY_S = 86400.0


class Fleet:
    """The boards behind one broker. A context manager; every method may be called from any thread.

    All methods raise FleetError (BrokerUnreachable, NoCollector, CollectorSilent) where nobody can answer,
    RequestFailed where a collector says no, and UnknownBoard (with the nearest names) for a board that is not there.
    `monotonic_s` is the clock of its waits for collectors that have not shown yet.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        timeout_s: float = REPLY_WITHIN_S,
        ids: Callable[[int], bytes] = os.urandom,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._wall_ns = wall_ns
        self._timeout_s = timeout_s
        self._channel = RequestChannel(address, ids=ids, clock=monotonic_s)
        self._finder = BoardFinder(self._boards_of, monotonic_s, self._channel.settling)
        self._jobs = FleetJobs(self._channel, self._finder, ids, wall_ns, timeout_s)

    def __enter__(self) -> Self:
        self._channel.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects; may be called twice. Jobs that have not ended go on: `job` finds them again by their ids."""
        self._jobs.stop()
        self._channel.stop()

    # ---- boards

    def boards(self) -> FleetBoards:
        """Every board of every live collector."""
        replies, gaps = self._ask_all("boards", BoardsRequest(limit=PAGE), BoardsReply)
        boards = {(one.node, one.board): one for reply in replies.values() for one in reply.boards}
        for collector, reply in replies.items():
            for one in self._further_pages(collector, len(reply.boards), reply.total):
                boards[one.node, one.board] = one
        return FleetBoards([boards[key] for key in sorted(boards)], gaps)

    def find(self, name: str) -> BoardRef:
        """The board of that name: `board` where it is unique, or `site.agent/board`. Raises UnknownBoard."""
        return self._finder.find(name)

    def _boards_of(self, node: str | None) -> list[BoardSummary]:
        if node is None:
            return self.boards().boards
        return self._ask_owner(node, "boards", BoardsRequest(node=node, limit=1000), BoardsReply).boards

    def forget(self, board: str) -> bool:
        """Takes a board out of the fleet's view until its next word; what was measured on it stays in the store.

        False where the collector did not know it any more.
        """
        ref = self.find(board)
        self._finder.clear()
        return self._ask_owner(ref.node, "forget", ForgetRequest(ref.node, ref.board), ForgetReply).forgotten

    def history(
        self, board: str, metric: str, since_s: float = _DAY_S, limit: int = 500, series: str = ""
    ) -> HistoryReply:
        """Values of a metric over the last `since_s` seconds, oldest first, the newest `limit` of them.

        Only runs of one series, which can be compared: that of the newest scheduled run, or the `series` given; `all`
        gives the runs of every series. Raises UnknownMetric; RequestFailed if `series` is none.
        """
        check_metric(metric)
        check_limit(HistoryRequest, "limit", limit)
        ref = self.find(board)
        since_ns = max(0, self._wall_ns() - round(since_s * 1e9))
        request = HistoryRequest(ref.node, ref.board, metric, since_ns, limit, series)
        return self._ask_owner(ref.node, "history", request, HistoryReply)

    # ---- the fleet's state

    def status(self) -> FleetStatus:
        """Collectors, agents, and boards by health."""
        replies, gaps = self._ask_all("status", StatusRequest(), StatusReply)
        return FleetStatus(replies, gaps)

    def ledger(self, *, verify: bool = False, node: str | None = None) -> FleetLedger:
        """Where every record is. With `verify` the stores themselves are asked, which may take a minute."""
        timeout_s = max(self._timeout_s, VERIFY_WITHIN_S) if verify else self._timeout_s
        replies, gaps = self._ask_all("ledger", LedgerRequest(node, verify), LedgerReply, timeout_s)
        rows = _one_an_epoch(row for reply in replies.values() for row in reply.rows)
        problems = [problem for reply in replies.values() for problem in reply.problems]
        ok = bool(replies) and not gaps and all(reply.ok for reply in replies.values())
        agents = [agent for reply in replies.values() for agent in reply.agents]
        return FleetLedger(rows, ok, problems, gaps, agents)

    def health(self) -> dict[str, Any]:
        """The fleet's health in short: `status` is `healthy`, `warning` or `critical`, and `reasons` say why.

        `boards`, `agents` and `collectors` say how many or which are of which health.
        """
        return health_of(self.status())

    def stats(self) -> dict[str, float]:
        """What all collectors count, in sum, and `cache_hit_rate`, from 0 to 1: see `fleet_health.stats_of`."""
        return stats_of(self.status())

    # ---- results

    def results(self, board: str, since_s: float | None = None, page: int = RESULTS_PAGE) -> Iterator[list[Record]]:
        """Whole results of a board, oldest first, a page of at most `page` (1 to 256) at a time; each is asked for
        when it is wanted. `since_s` None: all that the store has.

        What comes late, with an older time than a page that was given already, is not in any; nor is what an agent
        dates over a day ahead. A board that was forgotten is found by its full name.
        """
        check_limit(ResultsRequest, "page", page)
        ref = parse_full(board) or self.find(board)
        now_ns = self._wall_ns()
        until_ns = now_ns + round(_DAY_S * 1e9)
        after_ns = 0 if since_s is None else now_ns - round(since_s * 1e9)
        while True:
            request = ResultsRequest(ref.node, ref.board, after_ns, until_ns, page)
            reply = self._ask_owner(ref.node, "results", request, ResultsReply)
            if reply.records:
                yield reply.records
                after_ns = reply.records[-1].time_ns
            if not reply.records or not reply.more or after_ns > until_ns:
                return

    # ---- runs

    def submit(
        self,
        board: str | None = None,
        *,
        platform: str | None = None,
        site: str | None = None,
        node: str | None = None,
        label: str | None = None,
        suite: str = "quick",
        prompts: Sequence[str] = (),
        max_tokens: int | None = None,
        repetitions: int | None = None,
        priority: int = 0,
        within_s: float = RUN_WITHIN_S,
        use_cache: bool = True,
        max_age_s: float | None = None,
    ) -> FleetJob:
        """Asks for one run and returns at once; `job.result(timeout=30)` waits for it.

        On one `board`, or on any that has the platform, site, node and label that are given: the first that is free.
        A result from the cache will do, of at most `max_age_s` seconds, or the run of an equal job under way, unless
        `use_cache` is false. A run that has not begun within `within_s` seconds is given up. Raises ValueError where no
        board is meant, UnknownBoard where none is so, BadArgument over a bound.
        """
        wanted = self._jobs.place(board, site=site, node=node, platform=platform, label=label)
        return self._jobs.submit(
            wanted,
            within_s,
            suite=suite,
            prompts=list(prompts),
            max_tokens=max_tokens,
            repetitions=repetitions,
            priority=priority,
            use_cache=use_cache,
            max_age_s=max_age_s,
        )

    def job(self, job_id: str) -> FleetJob:
        """A job that was asked for before, here or in another program, by its id. Raises FleetError for none."""
        return self._jobs.again(job_id)

    def jobs(self, *, open_only: bool = False, board: str | None = None, limit: int = 1000) -> FleetJobList:
        """The jobs that the collectors know, those that have not ended first, at most `limit` of each collector.

        Raises BadArgument where `limit` is less than 1.
        """
        return self._jobs.listed(open_only=open_only, board=board, limit=limit)

    def cancel_jobs(self, job_ids: Sequence[str] = (), *, board: str | None = None) -> int:
        """Cancels open jobs by their ids, or a board's; how many were told to end. Raises ValueError for neither."""
        return self._jobs.cancel(job_ids, board=board)

    def profile(
        self,
        board: str,
        *,
        suite: str = "quick",
        prompts: Sequence[str] = (),
        max_tokens: int | None = None,
        repetitions: int | None = None,
        priority: int = 0,
        within_s: float = RUN_WITHIN_S,
        on_update: Callable[[ProfileReply], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        use_cache: bool = True,
        max_age_s: float | None = None,
        cancelled: threading.Event | None = None,
    ) -> ProfileReply:
        """Asks for one run and waits for its end; the reply carries the result if there is one.

        `reply.cached` says where a result from the cache is from, `reply.joined` with which job a run was shared.
        `on_update` hears each state of the job; `on_progress`, from a thread of its own, what the agent says of the
        run. An interrupt cancels the job, and so does `cancelled`, from any thread. Without `use_cache` a run is made
        whatever there is of equal ones; with `max_age_s`, where what there is is older. A reply that is `cached` has
        made no run. Raises FleetError where the run has not ended within `within_s` seconds.
        """
        job = self.submit(
            board,
            suite=suite,
            prompts=prompts,
            max_tokens=max_tokens,
            repetitions=repetitions,
            priority=priority,
            within_s=within_s,
            use_cache=use_cache,
            max_age_s=max_age_s,
        )
        return follow_to_the_end(job, self._address, on_update, on_progress, cancelled)

    def cache(
        self, action: Literal["stats", "list", "clear"] = "stats", *, offset: int = 0, limit: int = 100
    ) -> FleetCache:
        """The caches' figures; with `list` their entries too, newest first; `clear` empties them."""
        check_limit(CacheRequest, "limit", limit)
        request = CacheRequest(action, offset, limit)
        return FleetCache(*self._ask_all("cache", request, CacheReply))

    # ---- quarantine

    def quarantine(
        self,
        action: Literal["list", "show", "replay"] = "list",
        *,
        item: int | None = None,
        node: str | None = None,
        collector: str | None = None,
        limit: int = 100,
    ) -> FleetQuarantine:
        """Lists, shows or replays what could not be taken, by collector.

        An item's number is its collector's own: with several collectors behind the broker, `collector` says whose.
        """
        check_limit(QuarantineRequest, "limit", limit)
        live = self._channel.collectors()
        if collector is not None and collector not in live:
            raise FleetError(f"no live collector is called {collector!r}; live are {', '.join(sorted(live))}")
        if item is not None and collector is None and len(live) > 1:
            raise FleetError(f"say whose item {item} is with --collector: {', '.join(sorted(live))}")
        request = QuarantineRequest(action, item, node, limit=limit)
        timeout_s = VERIFY_WITHIN_S if action == "replay" else self._timeout_s
        asked = [collector] if collector is not None else None
        return FleetQuarantine(*self._ask_all("quarantine", request, QuarantineReply, timeout_s, asked))

    # ---- asking

    def _further_pages(self, collector: str, offset: int, total: int) -> list[BoardSummary]:
        boards: list[BoardSummary] = []
        for _ in range(MAX_PAGES):
            if offset >= total:
                break
            request = BoardsRequest(offset=offset, limit=PAGE)
            page = self._channel.ask(collector, "boards", request, BoardsReply, self._timeout_s)
            if not page.boards:
                break
            boards += page.boards
            offset += len(page.boards)
            total = page.total
        return boards

    def _ask_owner(self, node: str, kind: RequestKind, request: object, reply: type[R]) -> R:
        owner = self._channel.owner_of(partition_of(node), node)
        return self._channel.ask(owner, kind, request, reply, self._timeout_s)

    def _ask_all(
        self,
        kind: RequestKind,
        request: object,
        reply: type[R],
        timeout_s: float | None = None,
        only: Sequence[str] | None = None,
    ) -> tuple[dict[str, R], list[str]]:
        """The replies of all live collectors, or of some `only`, and what gave none."""
        live = self._channel.collectors()
        asked = live if only is None else only
        replies, silent = self._channel.ask_each(asked, kind, request, reply, timeout_s or self._timeout_s)
        gaps = [f"collector {name} is silent" for name in silent]
        unowned = partitions_without_owner(live) if only is None else []
        if unowned:
            listed = ", ".join(f"{partition:02d}" for partition in unowned)
            gaps.append(f"no live collector owns partition {listed}")
        if not replies:
            raise FleetError(f"{'; '.join(gaps)}: look at the log of the collector")
        return replies, gaps


def _one_an_epoch(rows: Iterable[LedgerRow]) -> list[LedgerRow]:
    """Where a partition has just changed hands two collectors may know an epoch: the one that has accounted more."""
    known: dict[tuple[str, bytes], LedgerRow] = {}
    for row in rows:
        before = known.setdefault((row.node, row.epoch), row)
        if row.head - row.in_spool - row.missing > before.head - before.in_spool - before.missing:
            known[row.node, row.epoch] = row
    return list(known.values())
