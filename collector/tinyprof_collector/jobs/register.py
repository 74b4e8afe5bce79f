"""The jobs that are known, what of them is not kept yet, and who makes room for whom. Pure."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tinyprof_collector.jobs.entry import Entry, KeptJob
from tinyprof_collector.jobs.store import JobChanges
from tinyprof_protocol.codec import pack
from tinyprof_protocol.jobs import JobsRequest
from tinyprof_protocol.records import Record

MAX_WEIGHT = 64 * 1024 * 1024
"""Bytes of prompts of all jobs together."""


@dataclass(slots=True)
class Register:
    """At most `max_jobs` jobs; those that ended longest ago make room for new ones."""

    max_jobs: int
    entries: dict[bytes, Entry] = field(default_factory=dict)
    ended: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    """Ids of those that have ended, the first to go first."""
    let_go: int = 0
    """How many made room."""
    _weight: int = 0
    _results: dict[bytes, Record] = field(default_factory=dict)
    """By run, until they are kept."""
    _result_users: dict[bytes, int] = field(default_factory=dict)
    """How many jobs have the result of a run."""
    _without_result: dict[bytes, dict[bytes, None]] = field(default_factory=dict)
    """By run, the jobs that finished and whose result has not come."""
    _changed: dict[bytes, None] = field(default_factory=dict)
    _gone: list[bytes] = field(default_factory=list)
    _results_gone: list[bytes] = field(default_factory=list)

    def open_jobs(self) -> int:
        """How many have not ended."""
        return len(self.entries) - len(self.ended)

    def restore(self, entry: Entry) -> None:
        """Takes a job as it was kept."""
        self.entries[entry.id] = entry
        self._weight += entry.weight
        if entry.ended is not None:
            self.ended[entry.id] = None
        if entry.has_result:
            self._result_users[entry.run_id] = self._result_users.get(entry.run_id, 0) + 1
        elif entry.ended == "finished":
            self._miss(entry)

    def make_room(self, weight: int) -> bool:
        """Room for one more job of that weight; False where nothing that has ended can go for it."""
        while len(self.entries) >= self.max_jobs or self._weight + weight > MAX_WEIGHT:
            oldest = next(iter(self.ended), None)
            if oldest is None:
                return False
            self.forget(self.entries[oldest])
            self.let_go += 1
        return True

    def add(self, entry: Entry) -> None:
        """Takes a new job."""
        self.entries[entry.id] = entry
        self._weight += entry.weight
        self.change(entry.id)

    def change(self, *job_ids: bytes) -> None:
        """These are not as they were kept."""
        self._changed.update(dict.fromkeys(job_ids))

    def end(self, entry: Entry, record: Record | None) -> None:
        """A job has ended, with a result perhaps."""
        self.ended[entry.id] = None
        self.change(entry.id)
        if record is not None:
            self.add_result(entry, record)
        elif entry.ended == "finished":
            self._miss(entry)

    def _miss(self, entry: Entry) -> None:
        self._without_result.setdefault(entry.run_id, {})[entry.id] = None

    def _miss_no_longer(self, entry: Entry) -> None:
        missing = self._without_result.get(entry.run_id, {})
        missing.pop(entry.id, None)
        if not missing:
            self._without_result.pop(entry.run_id, None)

    def without_result(self, run_id: bytes) -> list[Entry]:
        """The jobs of a run that finished and whose result has not come."""
        return [self.entries[job_id] for job_id in self._without_result.get(run_id, ())]

    def add_result(self, entry: Entry, record: Record) -> None:
        """A job that has ended has a result."""
        entry.has_result = True
        self._miss_no_longer(entry)
        self.change(entry.id)
        self._results[entry.run_id] = record
        self._result_users[entry.run_id] = self._result_users.get(entry.run_id, 0) + 1

    def result_of(self, entry: Entry) -> tuple[Record | None, bytes | None]:
        """The result of a job, or under which id it is kept; neither where it has none."""
        if not entry.has_result:
            return None, None
        record = self._results.get(entry.run_id)
        return record, entry.run_id if record is None else None

    def forget(self, entry: Entry) -> None:
        """A job is known no longer; its result goes with the last one that has it."""
        del self.entries[entry.id]
        self.ended.pop(entry.id, None)
        self._changed.pop(entry.id, None)
        self._weight -= entry.weight
        self._gone.append(entry.id)
        self._miss_no_longer(entry)
        if not entry.has_result:
            return
        self._result_users[entry.run_id] -= 1
        if not self._result_users[entry.run_id]:
            del self._result_users[entry.run_id]
            self._results.pop(entry.run_id, None)
            self._results_gone.append(entry.run_id)

    def leave(self, entry: Entry) -> None:
        """A job is somebody else's now: it is known no longer here, and stays as it is kept."""
        self.forget(entry)
        self._gone.pop()
        if entry.has_result and entry.run_id not in self._result_users:
            self._results_gone.pop()

    def chosen(self, asked: JobsRequest) -> Iterator[Entry]:
        """The jobs that a request means."""
        ids = set(asked.ids)
        for entry in list(self.entries.values()):
            node, board = entry.place or (entry.request.job.node, entry.request.job.board)
            if (
                (not ids or entry.id in ids)
                and asked.node in (None, node)
                and asked.board in (None, board)
                and asked.client in (None, entry.client)
                and not (asked.open_only and entry.ended)
            ):
                yield entry

    def changes(self, as_kept: Callable[[Entry], KeptJob]) -> JobChanges:
        """What is to be kept, until `kept` says that it is."""
        found = [entry for job_id in self._changed if (entry := self.entries.get(job_id)) is not None]
        results = [(run_id, pack(record)) for run_id, record in self._results.items()]
        return JobChanges([as_kept(entry) for entry in found], list(self._gone), results, list(self._results_gone))

    def kept(self) -> None:
        """All that `changes` gave is kept."""
        for job_id in self._changed:
            if (entry := self.entries.get(job_id)) is not None:
                entry.is_kept()
        self._changed.clear()
        self._results.clear()
        self._gone.clear()
        self._results_gone.clear()
