"""Jobs: the same one once, told of by events, and taken up again after a death."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from set_clock import SetClock

from tinyprof_agent.jobs import TELL_AGAIN_AFTER_NS, JobBook, after_restart, decide
from tinyprof_agent.spool import JobRow, Spool
from tinyprof_protocol.codec import encode, pack, unpack
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.records import Event, Record

NODE = "lab.one"
NOW = 10**18
JOB = Job(b"j" * 16, NODE, "board-1", NOW + 10**9)


class Board:
    """Takes jobs as a worker does, and says so."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, int]] = []
        self.cancelled: list[bytes] = []
        self.book: JobBook | None = None

    def submit(self, job: Job, attempt: int = 1) -> None:
        self.taken.append((job.id, attempt))
        assert self.book is not None
        self.book.on_state("accepted", job)

    def refusal(self, job: Job, before: int) -> str | None:
        return "no such suite" if job.suite == "none" else "full" if before >= 3 else None

    def put(self, job: Job, attempt: int = 1) -> None:
        self.taken.append((job.id, attempt))

    def cancel(self, job_id: bytes) -> bool:
        self.cancelled.append(job_id)
        return (job_id, 1) in self.taken


def book_of(spool: Spool, board: Board) -> JobBook:
    book = JobBook(spool, NODE, lambda: NOW)
    board.book = book
    book.resume({"board-1": board})
    return book


def events(spool: Spool) -> list[tuple[str, int]]:
    found = []
    for view in spool.views():
        piece = spool.take(view.epoch, 1, 10**6)
        assert piece is not None
        bodies = [unpack(entry.data, Record).body for entry in piece.records]
        found += [(body.name, body.attempt) for body in bodies if isinstance(body, Event)]
    return found


@pytest.mark.parametrize(
    ("job", "known", "decision"),
    [
        (JOB, None, "submit"),
        (JOB, JobRow(JOB.id, 0, "accepted", 1, b""), "ignore"),
        (JOB, JobRow(JOB.id, 0, "finished", 1, b""), "tell"),
        (Job(JOB.id, NODE, "board-1", NOW), None, "refuse"),
        (Job(JOB.id, NODE, "board-2", NOW + 1), None, "refuse"),
        (Job(JOB.id, "lab.two", "board-1", NOW + 1), None, "ignore"),
        (Job(JOB.id, NODE, "board-1", NOW + 1, cancel=True), None, "cancel"),
        (Job(JOB.id, NODE, "board-1", NOW + 1, cancel=True), JobRow(JOB.id, 0, "started", 1, b""), "cancel"),
        (Job(JOB.id, NODE, "board-1", NOW + 1, cancel=True), JobRow(JOB.id, 0, "finished", 1, b""), "tell"),
    ],
)
def test_what_is_done_with_a_job_that_came(job: Job, known: JobRow | None, decision: str) -> None:
    assert decide(job, NODE, known, {"board-1"}, NOW)[0] == decision


@pytest.mark.parametrize(
    ("state", "attempt", "expected"),
    [
        ("accepted", 1, ("submit", 1)),
        ("accepted", 2, ("submit", 2)),
        ("started", 1, ("submit", 2)),
        ("started", 2, ("refuse", 2)),
        ("finished", 1, ("ignore", 1)),
    ],
)
def test_what_becomes_of_a_job_when_the_agent_died(state: str, attempt: int, expected: tuple[str, int]) -> None:
    assert after_restart(JobRow(JOB.id, 0, state, attempt, b"")) == expected


def test_a_repeated_job_is_run_once_and_told_once(tmp_path: Path) -> None:
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    book = book_of(spool, board)
    book.came([encode(JOB)])
    book.came([encode(JOB)])
    assert board.taken == [(JOB.id, 1)]
    assert book.held() == [JOB.id]
    book.on_state("started", JOB)
    book.on_state("finished", JOB)
    book.on_state("interrupted", JOB, "too late")
    book.came([encode(JOB)])
    assert events(spool) == [("job_accepted", 1), ("job_started", 1), ("job_finished", 1)]
    assert book.held() == []
    spool.close()


def test_jobs_that_come_together_are_accepted_in_one_transaction_and_those_that_cannot_be_are_refused(
    tmp_path: Path,
) -> None:
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    book = book_of(spool, board)
    jobs = [replace(JOB, id=bytes([n]) * 16, suite="none" if n == 1 else "quick") for n in range(6)]
    before = spool.stats().counters.get("commits", 0)
    book.came([encode(job) for job in jobs])
    assert [job_id[0] for job_id, _ in board.taken] == [0, 2, 3]
    told = events(spool)
    assert [name for name, _ in told].count("job_accepted") == 3
    assert [name for name, _ in told].count("job_refused") == 3
    assert spool.stats().counters["commits"] - before == 4  # each refusal, and all that are accepted together
    spool.close()


def test_a_cancellation_that_came_with_its_job_cancels_it(tmp_path: Path) -> None:
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    book = book_of(spool, board)
    book.came([encode(JOB), encode(replace(JOB, cancel=True))])
    assert (board.taken, board.cancelled) == ([(JOB.id, 1)], [JOB.id])
    spool.close()


def test_a_job_that_ran_when_the_agent_died_runs_once_more_and_then_is_interrupted(tmp_path: Path) -> None:
    for start in (1, 2):
        spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
        book = book_of(spool, board)
        if start == 1:
            book.came([encode(JOB)])
        assert board.taken == [(JOB.id, start)]
        book.on_state("started", JOB)
        spool.close()
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    book_of(spool, board)
    assert board.taken == []
    assert events(spool) == [
        ("job_accepted", 1), ("job_started", 1), ("job_accepted", 2), ("job_started", 2), ("job_interrupted", 2),
    ]  # fmt: skip
    spool.close()


def test_an_end_is_told_again_to_who_sends_the_job_again_but_seldom(tmp_path: Path) -> None:
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    now_ns = [NOW]
    book = JobBook(spool, NODE, lambda: now_ns[0])
    board.book = book
    book.resume({"board-1": board})
    book.came([encode(JOB)])
    book.on_state("refused", JOB, "no")
    for later_ns in (10**9, TELL_AGAIN_AFTER_NS, TELL_AGAIN_AFTER_NS + 10**9, -(10**12)):
        now_ns[0] = NOW + later_ns
        book.came([encode(JOB)])
    assert events(spool) == [("job_accepted", 1), *[("job_refused", 1)] * 3]
    spool.close()


def test_ids_are_kept_until_a_day_after_the_deadline(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock())
    day = 24 * 3600 * 10**9
    for number, deadline_ns in enumerate([NOW - day - 1, NOW - day, NOW]):
        row = JobRow(bytes([number]) * 16, deadline_ns, "finished", 1, pack(JOB))
        spool.record([Event("job_finished")], jobs=[row])
    book_of(spool, Board())
    assert sorted(row.id[0] for row in spool.jobs()) == [1, 2]
    spool.close()


def test_bytes_that_are_no_job_are_counted(tmp_path: Path) -> None:
    spool = Spool.open(tmp_path / "s.db", SetClock())
    book = book_of(spool, Board())
    book.came([b"\x00\xc1"])
    assert book.counters == {"bad_jobs": 1}
    spool.close()


def test_a_cancellation_of_a_job_that_was_lost_is_answered_and_the_job_does_not_run_any_more(tmp_path: Path) -> None:
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    book = book_of(spool, board)
    cancellation = encode(Job(JOB.id, NODE, "board-1", JOB.deadline_ns, cancel=True))
    book.came([cancellation])
    book.came([cancellation])
    assert events(spool) == [("job_cancelled", 1)]
    book.came([encode(JOB)])
    assert (board.taken, book.held()) == ([], [])
    spool.close()


def test_a_cancelled_job_that_no_board_has_is_cancelled(tmp_path: Path) -> None:
    spool, board = Spool.open(tmp_path / "s.db", SetClock()), Board()
    spool.record([Event("job_accepted")], jobs=[JobRow(JOB.id, JOB.deadline_ns, "accepted", 1, pack(JOB))])
    book = JobBook(spool, NODE, lambda: NOW)
    board.book = book
    book.came([encode(Job(JOB.id, NODE, "board-1", JOB.deadline_ns, cancel=True))])
    assert events(spool)[-1] == ("job_cancelled", 1)
    spool.close()
