"""Jobs in a Redis that several collectors share, by the partition of a job's node: whoever serves it finds them there.

A write goes through only while our claim on each of its partitions is the newest (`state.redis` makes the claims): it
watches the claims, so that an owner that wakes late changes nothing of what a newer one has kept. Of a run that is
offered (`redis_offers`) it goes through only if nobody has taken it.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from msgspec import MsgspecError

from tinyprof_collector.jobs.deadlines import KEEP_S
from tinyprof_collector.jobs.entry import KeptJob, kept_at
from tinyprof_collector.jobs.redis_offers import RedisOffers
from tinyprof_collector.jobs.store import JobChanges, JobStoreFailed, Offer, TakenByOthers
from tinyprof_collector.jobs.waiting import BoardKey
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.sqlite_file import line_of
from tinyprof_collector.state.state import StateFailed
from tinyprof_protocol.codec import BadMessage, pack, unpack
from tinyprof_protocol.names import partition_of

if TYPE_CHECKING:
    from redis.client import Pipeline

log = logging.getLogger(__name__)

MAX_TRIES = 5
"""How often a write begins again because collectors claimed partitions, or took runs, meanwhile."""
_NOWHERE: frozenset[int] = frozenset()


class Claims(Protocol):
    """Which partitions are ours: a state that several collectors share."""

    def claim(self) -> None:
        """Claims the partitions, once a start. Raises StateFailed."""

    def claims(self) -> Mapping[int, int]:
        """The number of our claim on each partition; 0 where a claim by our name is to count."""

    def taken(self) -> Mapping[int, str]:
        """Partitions that another collector has claimed after us."""


class RedisJobStore:
    """A hash of jobs for each partition, and a key for each result."""

    def __init__(self, link: RedisLink, collector: str, partitions: Collection[int], claims: Claims) -> None:
        self._link = link
        self._me = collector
        self._partitions = sorted(partitions)
        self._claims = claims
        self._offers = RedisOffers(link)
        self._kept_in: dict[bytes, frozenset[int]] = {}
        """The partition of each job that is kept or may be; two of one that moved, until an answer says that it has."""
        self._run_in: dict[bytes, int] = {}
        """The partition of each result that is kept or may be."""
        self._unheard: dict[bytes, str] = {}
        """Jobs that we may have taken, each with the node that they would be kept by."""

    def load(self) -> list[KeptJob]:
        """Claims the partitions, so that no earlier owner writes any more, and reads what is kept of them.

        What an earlier owner offered of them is offered no longer. What cannot be read counts as lost. Raises
        JobStoreFailed.
        """
        try:
            self._claims.claim()
        except StateFailed as why:
            raise JobStoreFailed(f"jobs: {why}") from None
        kept: list[KeptJob] = []
        with self._link.answered(_failed):
            self._end_offers()
            for number in self._partitions:
                images = cast("dict[bytes, bytes]", self._link.commands.hgetall(self._jobs_of(number)))
                kept += self._known(_readable(images.values()), number)
        return sorted(kept, key=lambda one: (one.asked_ns, one.request.job.id))

    def _end_offers(self) -> None:
        ours = [
            run_id
            for run_id, offer in self._offers.read(0).items()
            if any(partition_of(node) in self._partitions for node in offer.jobs.values())
        ]
        with self._link.commands.pipeline(transaction=True) as run:
            self._offers.queue_end(run, ours)
            run.execute()

    def _known(self, found: list[KeptJob], number: int) -> list[KeptJob]:
        self._kept_in.update((one.request.job.id, frozenset({number})) for one in found)
        self._run_in.update((one.run_id, number) for one in found if one.has_result)
        return found

    def keep(self, changes: JobChanges) -> None:
        """Keeps all changes in one transaction. Raises JobStoreFailed; then nothing of them is kept."""
        from redis.exceptions import WatchError

        at = {kept.request.job.id: partition_of(kept.request.job.node) for kept in changes.jobs}
        run_at = {kept.run_id: at[kept.request.job.id] for kept in changes.jobs if kept.has_result}
        with self._link.answered(_failed):
            for _ in range(MAX_TRIES):
                before = {one: self._kept_in[one] for one in (*at, *changes.gone) if one in self._kept_in}
                touched = self._offers.touched_by(changes)
                with self._link.commands.pipeline(transaction=True) as run:
                    self._watch(run, {*at.values(), *(n for numbers in before.values() for n in numbers)}, touched)
                    self._check_offers(run, touched)
                    # An answer may be lost: what was given up then is to be taken out later.
                    self._kept_in.update((one, before.get(one, _NOWHERE) | {number}) for one, number in at.items())
                    self._run_in.update(run_at)
                    run.multi()
                    self._queue(run, changes, at, before)
                    self._offers.queue_end(run, touched)
                    try:
                        run.execute()
                    except WatchError:
                        continue
                self._note_kept(at, changes, touched)
                return
        raise JobStoreFailed(f"jobs: redis {self._link.where}: collectors claim partitions all the time")

    def _note_kept(self, at: Mapping[bytes, int], changes: JobChanges, touched: Iterable[bytes]) -> None:
        self._kept_in.update((one, frozenset({number})) for one, number in at.items())
        for job_id in changes.gone:
            self._kept_in.pop(job_id, None)
        for run_id in changes.results_gone:
            self._run_in.pop(run_id, None)
        self._offers.forget(touched)

    def result(self, run_id: bytes) -> bytes | None:
        """The packed record of a run's result. Raises JobStoreFailed."""
        with self._link.answered(_failed):
            return cast("bytes | None", self._link.commands.get(self._result_of(run_id)))

    def taken(self) -> TakenByOthers | None:
        """What another collector serves now, as of the state's last look around."""
        numbers = frozenset(self._claims.taken())
        return self._let_go(numbers) if numbers else None

    def close(self) -> None:
        """Lets the connections go."""
        self._link.close()

    # ---- what others may take, and what we take from them

    def offers(self, now_ns: int) -> dict[bytes, Offer]:
        """All that is offered, by the runs' ids. May be called from any thread. Raises JobStoreFailed."""
        with self._link.answered(_failed):
            return self._offers.read(now_ns)

    def offer(self, wanted: Iterable[Offer], there: Collection[bytes]) -> None:
        """Offers runs that are not `there`. Raises JobStoreFailed, and TakenByOthers for those that were taken."""
        from redis.exceptions import WatchError

        new = [offer for offer in wanted if offer.run_id not in there]
        if not new:
            return
        with self._link.answered(_failed), self._link.commands.pipeline(transaction=True) as run:
            again = [offer.run_id for offer in new if self._offers.may_be_there(offer.run_id)]
            self._watch(run, {partition_of(node) for offer in new for node in offer.jobs.values()}, again)
            self._check_offers(run, again)
            run.multi()
            for offer in new:
                self._offers.note(offer)
                self._offers.queue(run, offer)
            try:
                run.execute()
            except WatchError:
                return  # the next look offers them

    def take(self, offer: Offer, board: BoardKey) -> list[KeptJob]:
        """Takes all jobs of a run for a board of ours; empty where others were sooner.

        Raises JobStoreFailed, and TakenByOthers where the board is not ours any more.
        """
        from redis.exceptions import WatchError

        number = partition_of(board[0])
        with self._link.answered(_failed), self._link.commands.pipeline(transaction=True) as run:
            self._watch(run, {number}, [offer.run_id])
            found = self._read(run, {job_id: partition_of(node) for job_id, node in offer.jobs.items()})
            if not cast("Any", run.exists(self._offers.key(offer.run_id))) or len(found) < len(offer.jobs):
                return []
            moved = [kept_at(one, board) for one in found]
            self._unheard.update((one.request.job.id, board[0]) for one in moved)
            run.multi()
            self._queue_moved(run, offer, moved, board)
            try:
                run.execute()
            except WatchError:
                moved = []
        for job_id in offer.jobs:
            self._unheard.pop(job_id, None)
        return self._known(moved, number)

    def _queue_moved(self, run: "Pipeline", offer: Offer, moved: Iterable[KeptJob], board: BoardKey) -> None:
        for one in moved:
            job = one.request.job
            run.hdel(self._jobs_of(partition_of(offer.jobs[job.id])), cast("Any", job.id))
            run.hset(self._jobs_of(partition_of(board[0])), cast("Any", job.id), cast("Any", pack(one)))
            self._queue_board(run, one, board)
        self._offers.queue_end(run, [offer.run_id])

    def taken_unheard(self) -> list[KeptJob]:
        """Jobs that were taken after all though the answer was lost. Raises JobStoreFailed."""
        found: list[KeptJob] = []
        for job_id, node in list(self._unheard.items()):
            found += self.find(job_id, node)
            del self._unheard[job_id]
        return found

    def board_of(self, job_id: bytes) -> BoardKey | None:
        """The board that a job of any board's is with, whoever has it. Raises JobStoreFailed."""
        with self._link.answered(_failed):
            said = cast("bytes | None", self._link.commands.get(self._board_of(job_id)))
        node, slash, board = (said or b"").decode("utf-8", "replace").partition("/")
        return (node, board) if slash else None

    def find(self, job_id: bytes, node: str) -> list[KeptJob]:
        """The job of that id if it is kept by that node, which is ours. Raises JobStoreFailed."""
        number = partition_of(node)
        with self._link.answered(_failed):
            return self._known(self._read(self._link.commands, {job_id: number}), number)

    # ---- what is ours

    def _watch(self, run: "Pipeline", numbers: Collection[int], run_ids: Iterable[bytes]) -> None:
        """Watches the claims and the offers of runs. Raises TakenByOthers where partitions are not ours."""
        run.watch(self._link.key("claims"), *map(self._offers.key, run_ids))  # type: ignore[no-untyped-call]
        self._check_claims(numbers, cast("Any", run.hgetall(self._link.key("claims"))))

    def _check_claims(self, numbers: Iterable[int], claimed: Mapping[bytes, bytes]) -> None:
        mine, taken = self._claims.claims(), set[int]()
        for number in numbers:
            text = claimed.get(str(number).encode())
            if text is None:
                raise JobStoreFailed(f"jobs: redis {self._link.where} has lost what it kept; all is loaded anew")
            claim, _, name = text.decode("utf-8", "replace").partition(" ")
            ours = mine.get(number, -1)
            if claim != str(ours) and not (ours == 0 and name == self._me):
                taken.add(number)
        if taken:
            raise self._let_go(frozenset(taken))

    def _let_go(self, taken: frozenset[int]) -> TakenByOthers:
        """What is theirs is not taken out by us, not even later."""
        jobs: dict[bytes, BoardKey | None] = {one: None for one, numbers in self._kept_in.items() if numbers & taken}
        for one in jobs:
            del self._kept_in[one]
        self._run_in = {one: number for one, number in self._run_in.items() if number not in taken}
        return TakenByOthers(taken, jobs)

    def _check_offers(self, run: "Pipeline", run_ids: Iterable[bytes]) -> None:
        """Raises TakenByOthers for runs that others took: offer and jobs are gone, and it is said for which board.

        The offer alone may be gone by a write of ours whose answer was lost, or with its deadline; all of it, with what
        a Redis has lost.
        """
        gone: dict[bytes, BoardKey | None] = {}
        for run_id in run_ids:
            if cast("Any", run.exists(self._offers.key(run_id))):
                continue
            jobs = self._offers.jobs_of(run_id)
            places = [(one, number) for one in jobs for number in self._kept_in.get(one, _NOWHERE)]
            boards = {one: self.board_of(one) for one in jobs}
            if any(boards.values()) and not any(
                run.hexists(self._jobs_of(number), cast("Any", one)) for one, number in places
            ):
                gone |= boards
                self._offers.forget([run_id])
        if gone:
            for one in gone:
                self._kept_in.pop(one, None)
            raise TakenByOthers((), gone)

    # ---- bytes

    def _read(self, run: Any, at: Mapping[bytes, int]) -> list[KeptJob]:
        images = [cast("bytes | None", run.hget(self._jobs_of(number), one)) for one, number in at.items()]
        return _readable(image for image in images if image is not None)

    def _queue(
        self, run: "Pipeline", changes: JobChanges, at: Mapping[bytes, int], before: Mapping[bytes, Collection[int]]
    ) -> None:
        until_ns: dict[bytes, int] = {}
        for kept in changes.jobs:
            job = kept.request.job
            run.hset(self._jobs_of(at[job.id]), cast("Any", job.id), cast("Any", pack(kept)))
            until_ns[kept.run_id] = max(until_ns.get(kept.run_id, 0), job.deadline_ns)
            if kept.request.where is not None and kept.node:
                self._queue_board(run, kept, (kept.node, kept.board))
        for run_id, record in changes.results:
            # Those that have a result change with it; it goes when the last of their ids does.
            if run_id in until_ns:
                run.set(self._result_of(run_id), record, pxat=_until_ms(until_ns[run_id]))
        for job_id, numbers in before.items():
            for number in numbers:
                if number != at.get(job_id):
                    run.hdel(self._jobs_of(number), cast("Any", job_id))
        for run_id in changes.results_gone:
            if run_id in self._run_in:
                run.delete(self._result_of(run_id))

    def _queue_board(self, run: "Pipeline", kept: KeptJob, board: BoardKey) -> None:
        job = kept.request.job
        run.set(self._board_of(job.id), "/".join(board), pxat=_until_ms(job.deadline_ns))

    def _jobs_of(self, number: int) -> str:
        return self._link.key(number, "jobs")

    def _result_of(self, run_id: bytes) -> str:
        return self._link.key("job-result", run_id.hex())

    def _board_of(self, job_id: bytes) -> str:
        return self._link.key("job-board", job_id.hex())


def _until_ms(deadline_ns: int) -> int:
    """How long what is kept of a job lasts, as wall time."""
    return deadline_ns // 10**6 + KEEP_S * 1000


def _failed(line: str) -> JobStoreFailed:
    return JobStoreFailed(f"jobs: {line}")


def _readable(images: Iterable[bytes]) -> list[KeptJob]:
    kept = []
    for image in images:
        try:
            kept.append(unpack(image, KeptJob))
        except (BadMessage, MsgspecError) as why:
            log.error("a job cannot be read and counts as lost: %s", line_of(why))
    return kept
