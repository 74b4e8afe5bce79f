"""The jobs of a fleet: asked for by board or by kind, found again by their ids, listed and cancelled."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyprof.board_finder import BoardFinder
from tinyprof.board_names import BoardRef
from tinyprof.fleet_answers import FleetJobList
from tinyprof.fleet_errors import BadArgument, FleetError, check_range
from tinyprof.job_bounds import check_job, check_times
from tinyprof.job_dispatcher import JobDispatcher
from tinyprof.job_handle import FleetJob
from tinyprof.request_channel import CollectorSilent, RequestChannel
from tinyprof_protocol.bounds import MAX_COUNT
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.jobs import Job, JobsReply, JobsRequest, JobView, ProfileRequest, Where
from tinyprof_protocol.names import partition_of

PAGE: Final = 200
_ID_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is to be made: on a board, or, with `where`, on any such; then `board` is the first choice."""

    board: BoardRef
    where: Where | None = None


class FleetJobs:
    """What `Fleet` does with jobs; every method may be called from any thread."""

    def __init__(
        self,
        channel: RequestChannel,
        finder: BoardFinder,
        ids: Callable[[int], bytes],
        wall_ns: Callable[[], int],
        timeout_s: float,
    ) -> None:
        self._channel = channel
        self._finder = finder
        self._ids = ids
        self._wall_ns = wall_ns
        self._timeout_s = timeout_s
        self._dispatcher = JobDispatcher(channel, wall_ns, time.monotonic)

    def stop(self) -> None:
        """Lets go of all jobs; they go on."""
        self._dispatcher.stop()

    def place(self, board: str | None, **kind: str | None) -> Place:
        """The place that is meant by a board's name, or else by its site, node, platform or label.

        Raises ValueError for neither or both, UnknownBoard where there is none.
        """
        if (board is None) == (not any(kind.values())):
            raise ValueError("name a board, or else its platform, site, node or label")
        if board is not None:
            return Place(self._finder.find(board))
        where = Where(**kind)
        return Place(self._finder.first_like(where), where)

    def submit(
        self, place: Place, within_s: float, *, use_cache: bool, max_age_s: float | None, **terms: Any
    ) -> FleetJob:
        """Asks for a run at a place; `terms` are those of a `Job`. Raises BadArgument over a bound."""
        check_times(within_s, max_age_s)
        deadline_ns = self._wall_ns() + round(within_s * 1e9)
        job = Job(id=self._ids(16), node=place.board.node, board=place.board.board, deadline_ns=deadline_ns, **terms)
        return self._dispatcher.submit(ProfileRequest(check_job(job), place.where, use_cache, max_age_s=max_age_s))

    def again(self, job_id: str) -> FleetJob:
        """A job that was asked for before. Raises FleetError where none knows it, BadArgument for no id."""
        wanted = bytes_of(job_id)
        replies, silent = self._ask_each(self._channel.collectors(), JobsRequest("list", ids=[wanted]))
        for view in (view for reply in replies.values() for view in reply.jobs):
            request = ProfileRequest(view.job, view.where, repeated=True)
            return self._dispatcher.submit(request, of_before=True)
        if silent:
            raise CollectorSilent(f"no collector that answers knows a job {job_id}; silent: {', '.join(silent)}")
        raise FleetError(f"no collector knows a job {job_id}; 'tinyprof jobs' lists those that are known")

    def listed(self, *, open_only: bool, board: str | None, limit: int) -> FleetJobList:
        """At most `limit` jobs of each collector. Raises CollectorSilent where none answers, and BadArgument."""
        check_range("limit", limit, 1, MAX_COUNT)
        ref = self._finder.find(board) if board is not None else None
        node, name = (ref.node, ref.board) if ref else (None, None)

        def page(offset: int) -> JobsRequest:
            size = min(PAGE, limit - offset)
            return JobsRequest("list", node=node, board=name, open_only=open_only, offset=offset, limit=size)

        replies, silent = self._ask_each(self._collectors(ref), page(0))
        if not replies:
            raise CollectorSilent(f"no answer from {', '.join(silent)}; look at the log of the collector")
        views: list[JobView] = []
        for collector, reply in replies.items():
            found, last = list(reply.jobs), reply
            while last.jobs and len(found) < min(limit, last.total):
                try:
                    last = self._ask(collector, page(len(found)))
                except CollectorSilent:
                    silent.append(collector)
                    break
                found += last.jobs
            views += found
        return FleetJobList(_once_each(views), [f"collector {collector} is silent" for collector in silent])

    def cancel(self, job_ids: Sequence[str], *, board: str | None) -> int:
        """Cancels jobs by their ids, or those of a board; how many that were.

        Raises ValueError for neither, and CollectorSilent where one did not answer, once all others have.
        """
        if not job_ids and board is None:
            raise ValueError("name jobs by their ids, or a board")
        ref = self._finder.find(board) if board is not None else None
        asked = JobsRequest(
            "cancel",
            [bytes_of(job_id) for job_id in job_ids],
            ref.node if ref else None,
            ref.board if ref else None,
            limit=1,
        )
        replies, silent = self._ask_each(self._collectors(ref), asked)
        cancelled = sum(reply.cancelled for reply in replies.values())
        if silent:
            raise CollectorSilent(f"{some(cancelled, 'job')} cancelled; no answer from {', '.join(silent)}: ask again")
        return cancelled

    def _collectors(self, ref: BoardRef | None) -> list[str]:
        if ref is not None:
            return [self._channel.owner_of(partition_of(ref.node), ref.node)]
        return sorted(self._channel.collectors())

    def _ask_each(self, collectors: Iterable[str], asked: JobsRequest) -> tuple[dict[str, JobsReply], list[str]]:
        return self._channel.ask_each(collectors, "jobs", asked, JobsReply, self._timeout_s)

    def _ask(self, collector: str, asked: JobsRequest) -> JobsReply:
        return self._channel.ask(collector, "jobs", asked, JobsReply, self._timeout_s)


def _once_each(views: Iterable[JobView]) -> list[JobView]:
    """Each job once: one that a collector has just taken waits, for a moment, at the one that had it too."""
    known: dict[bytes, JobView] = {}
    for view in views:
        before = known.get(view.job.id)
        if before is None or before.state == "queued":
            known[view.job.id] = view
    return list(known.values())


def bytes_of(job_id: str) -> bytes:
    """The bytes of a job's id. Raises BadArgument for what is none."""
    try:
        found = bytes.fromhex(job_id)
    except ValueError:
        found = b""
    if len(found) * 2 != _ID_DIGITS:
        raise BadArgument(f"{job_id!r} is no job's id: {_ID_DIGITS} hexadecimal digits are")
    return found
