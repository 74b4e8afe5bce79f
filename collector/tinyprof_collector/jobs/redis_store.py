"""Jobs in a Redis that several collectors share, by the partition of a job's node: whoever serves it finds them there.

A write goes through only while our claim on each of its partitions is the newest (`state.redis` makes the claims): it
watches the claims, so that an owner that wakes late changes nothing of what a newer one has kept.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

from msgspec import MsgspecError

from tinyprof_collector.jobs.deadlines import KEEP_S
from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_collector.jobs.store import JobChanges, JobStoreFailed, PartitionsTaken
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.sqlite_file import line_of
from tinyprof_collector.state.state import StateFailed
from tinyprof_protocol.codec import BadMessage, pack, unpack
from tinyprof_protocol.names import partition_of

if TYPE_CHECKING:
    from redis.client import Pipeline

log = logging.getLogger(__name__)

MAX_TRIES = 5
"""How often a write begins again because collectors claimed partitions meanwhile."""


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
        self._partition_of: dict[bytes, int] = {}
        """Of each job that is kept or may be."""
        self._run_in: dict[bytes, int] = {}
        """The partition of each result that is kept or may be."""

    def load(self) -> list[KeptJob]:
        """Claims the partitions, so that no earlier owner writes any more, and reads what is kept of them.

        What cannot be read counts as lost. Raises JobStoreFailed.
        """
        try:
            self._claims.claim()
        except StateFailed as why:
            raise JobStoreFailed(f"jobs: {why}") from None
        kept: list[KeptJob] = []
        with self._link.answered(_failed):
            for number in self._partitions:
                images = cast("dict[bytes, bytes]", self._link.commands.hgetall(self._jobs_of(number)))
                found = _readable(images.values())
                self._partition_of.update((one.request.job.id, number) for one in found)
                self._run_in.update((one.run_id, number) for one in found if one.has_result)
                kept += found
        return sorted(kept, key=lambda one: (one.asked_ns, one.request.job.id))

    def keep(self, changes: JobChanges) -> None:
        """Keeps all changes in one transaction. Raises JobStoreFailed; then nothing of them is kept."""
        from redis.exceptions import WatchError

        at = {kept.request.job.id: partition_of(kept.request.job.node) for kept in changes.jobs}
        run_at = {kept.run_id: at[kept.request.job.id] for kept in changes.jobs if kept.has_result}
        gone = {job_id: self._partition_of[job_id] for job_id in changes.gone if job_id in self._partition_of}
        with self._link.answered(_failed):
            for _ in range(MAX_TRIES):
                with self._link.commands.pipeline(transaction=True) as run:
                    run.watch(self._link.key("claims"))  # type: ignore[no-untyped-call]
                    self._check_claims(
                        {*at.values(), *gone.values()}, cast("Any", run.hgetall(self._link.key("claims")))
                    )
                    # An answer may be lost: what was given up then is to be taken out later.
                    self._partition_of.update(at)
                    self._run_in.update(run_at)
                    run.multi()
                    self._queue(run, changes, at, gone)
                    try:
                        run.execute()
                    except WatchError:
                        continue
                for job_id in gone:
                    self._partition_of.pop(job_id, None)
                for run_id in changes.results_gone:
                    self._run_in.pop(run_id, None)
                return
        raise JobStoreFailed(f"jobs: redis {self._link.where}: collectors claim partitions all the time")

    def result(self, run_id: bytes) -> bytes | None:
        """The packed record of a run's result. Raises JobStoreFailed."""
        with self._link.answered(_failed):
            return cast("bytes | None", self._link.commands.get(self._result_of(run_id)))

    def taken(self) -> Collection[int]:
        """Partitions that another collector serves now, as of the state's last look around."""
        return list(self._claims.taken())

    def close(self) -> None:
        """Lets the connections go."""
        self._link.close()

    def _check_claims(self, numbers: Iterable[int], claimed: Mapping[bytes, bytes]) -> None:
        mine, taken = self._claims.claims(), set()
        for number in numbers:
            text = claimed.get(str(number).encode())
            if text is None:
                raise JobStoreFailed(f"jobs: redis {self._link.where} has lost what it kept; all is loaded anew")
            claim, _, name = text.decode("utf-8", "replace").partition(" ")
            ours = mine.get(number, -1)
            if claim != str(ours) and not (ours == 0 and name == self._me):
                taken.add(number)
        if taken:
            # What is theirs is not taken out by us, not even later.
            self._partition_of = {one: number for one, number in self._partition_of.items() if number not in taken}
            self._run_in = {one: number for one, number in self._run_in.items() if number not in taken}
            raise PartitionsTaken(taken)

    def _queue(self, run: "Pipeline", changes: JobChanges, at: Mapping[bytes, int], gone: Mapping[bytes, int]) -> None:
        until_ns: dict[bytes, int] = {}
        for kept in changes.jobs:
            job = kept.request.job
            run.hset(self._jobs_of(at[job.id]), cast("Any", job.id), cast("Any", pack(kept)))
            until_ns[kept.run_id] = max(until_ns.get(kept.run_id, 0), job.deadline_ns)
        for run_id, record in changes.results:
            # Those that have a result change with it; it goes when the last of their ids does.
            if run_id in until_ns:
                run.set(self._result_of(run_id), record, pxat=until_ns[run_id] // 10**6 + KEEP_S * 1000)
        for job_id, number in gone.items():
            run.hdel(self._jobs_of(number), cast("Any", job_id))
        for run_id in changes.results_gone:
            if run_id in self._run_in:
                run.delete(self._result_of(run_id))

    def _jobs_of(self, number: int) -> str:
        return self._link.key(number, "jobs")

    def _result_of(self, run_id: bytes) -> str:
        return self._link.key("job-result", run_id.hex())


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
