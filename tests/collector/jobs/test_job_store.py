"""Jobs on disk: what was kept is there after a kill, and nothing is promised that is not."""

import sqlite3

import pytest
from job_book_site import result
from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Answer, ReplyTo, Send
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_collector.jobs.keeper import MAX_RUNS, MAX_RUNS_OF_A_BACKLOG, SKEW_NS, JobKeeper
from tinyprof_collector.jobs.sqlite_store import SqliteJobStore
from tinyprof_collector.jobs.store import JobChanges, JobStoreFailed
from tinyprof_collector.presence import Presence
from tinyprof_protocol import topics
from tinyprof_protocol.codec import pack
from tinyprof_protocol.jobs import Job, ProfileRequest, Where
from tinyprof_protocol.presence import AgentStatus, BoardPresence

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"
TO = ReplyTo(topics.replies("ab" * 16), b"c")


def kept(number: int, state="queued") -> KeptJob:
    job = Job(number.to_bytes(16), NODE, "b1", NOW + S)
    return KeptJob(ProfileRequest(job, Where(site="lab")), "ab" * 16, NOW + number, state, job.id, "a line", NODE, "b1")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def store(path):
    opened = SqliteJobStore(path)
    yield opened
    opened.close()


def test_what_was_kept_is_there_in_the_order_it_was_asked_for(path):
    store = SqliteJobStore(path)
    store.keep(JobChanges([kept(2), kept(1), kept(3)], results=[(b"r" * 16, b"bytes")]))
    store.keep(JobChanges([kept(1, "finished")], [kept(3).request.job.id]))
    store.close()
    again = SqliteJobStore(path)
    assert again.load() == [kept(1, "finished"), kept(2)]
    assert (again.result(b"r" * 16), again.result(b"x" * 16)) == (b"bytes", None)
    again.keep(JobChanges(results_gone=[b"r" * 16]))
    assert again.result(b"r" * 16) is None
    again.close()


def test_a_second_collector_on_the_same_file_is_refused(path, store):
    with pytest.raises(JobStoreFailed):
        SqliteJobStore(path)


def test_a_file_that_is_no_database_is_set_aside(path):
    path.write_bytes(b"no database " * 1000)
    store = SqliteJobStore(path)
    assert (store.load(), store.set_aside) == ([], path.with_name("jobs.sqlite.corrupt-1"))
    store.close()


def test_a_row_that_cannot_be_read_counts_as_lost(path):
    store = SqliteJobStore(path)
    store.keep(JobChanges([kept(1), kept(2)]))
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE jobs SET image = x'c1' WHERE id = ?", (kept(1).request.job.id,))
    connection.close()
    again = SqliteJobStore(path)
    assert again.load() == [kept(2)]
    again.close()


# ---- the keeper


class Grumpy:
    """A store that takes nothing while `full`."""

    def __init__(self) -> None:
        self.full = False
        self.kept: list[JobChanges] = []
        self.results: dict[bytes, bytes] = {}

    def load(self):
        return []

    def keep(self, changes: JobChanges) -> None:
        if self.full:
            raise JobStoreFailed("jobs: disk full")
        self.kept.append(changes)
        self.results.update(changes.results)

    def result(self, run_id: bytes) -> bytes | None:
        return self.results.get(run_id)

    def taken(self):
        return None

    def close(self) -> None: ...


def keeper(store: Grumpy, *boards: str) -> JobKeeper:
    presence = Presence()
    made = JobKeeper(JobBook(10, presence.agents), store)
    status = AgentStatus(NODE, "online", boards=[BoardPresence(board, "host", "idle") for board in boards])
    presence.hear(status, NOW)
    return made


def job(number: int = 1) -> Job:
    return Job(number.to_bytes(16), NODE, "b1", NOW + 100 * S, max_tokens=number)


def kinds(actions) -> list[str]:
    return ["send" if isinstance(one, Send) else getattr(one.reply, "state", None) or one.reply.code for one in actions]


def test_requests_of_one_list_are_kept_in_one_transaction():
    store = Grumpy()
    actions = keeper(store, "b1").ask([(ProfileRequest(job(number)), TO) for number in range(1, 6)], NOW)
    assert [len(changes.jobs) for changes in store.kept] == [5]
    assert kinds(actions) == ["queued"] * 5 + ["send"] * 2


def test_while_nothing_can_be_kept_nothing_is_promised_or_sent_and_it_says_so():
    store = Grumpy()
    jobs = keeper(store, "b1")
    store.full = True
    assert kinds(jobs.ask([(ProfileRequest(job()), TO)], NOW)) == ["not_kept"]
    assert (jobs.check(), jobs.counters()["jobs_keep_failures"], jobs.knows(job().id)) == ("jobs: disk full", 1, False)
    store.full = False
    assert kinds(jobs.ask([(ProfileRequest(job()), TO)], NOW)) == ["queued", "send"]
    assert jobs.check() == ""


def test_where_a_run_was_sent_is_kept_before_it_is_sent():
    store = Grumpy()
    jobs = keeper(store, "b1")
    jobs.ask([(ProfileRequest(job(), Where(site="lab")), TO)], NOW)
    assert [changes.jobs[0].board for changes in store.kept] == ["", "b1"]


def test_a_result_that_only_the_store_got_before_a_kill_ends_its_job_at_the_start():
    class Reader:
        def runs(self, node, board, limit):
            return [result(bytes(16)), result(job().id)] if (node, board) == (NODE, "b1") else []

    store = Grumpy()
    jobs = keeper(store, "b1")
    jobs.ask([(ProfileRequest(job()), TO)], NOW)
    jobs.catch_up(Reader(), NOW)
    (answer,) = jobs.ask([(ProfileRequest(job()), TO)], NOW)
    assert (answer.reply.state, answer.reply.result) == ("finished", result(job().id))


def test_an_end_that_could_not_be_kept_is_told_and_kept_later():
    store = Grumpy()
    jobs = keeper(store, "b1")
    jobs.ask([(ProfileRequest(job()), TO)], NOW)
    store.full = True
    assert kinds(jobs.stored([(NODE, result(job().id))], NOW)) == ["finished"]
    store.full = False
    jobs.tick(NOW)
    assert store.results == {job().id: pack(result(job().id))}
    (answer,) = jobs.ask([(ProfileRequest(job()), TO)], NOW)
    assert isinstance(answer, Answer)
    assert answer.reply.result == result(job().id)


def test_so_does_one_that_a_backlog_was_stored_with():
    """An agent that was away sends what its schedule made meanwhile, stored in one step with the job's result."""

    class Reader:
        def runs(self, node, board, limit):
            return [*[result(bytes(16))] * 700, result(job().id)][:limit]

    store = Grumpy()
    jobs = keeper(store, "b1")
    jobs.ask([(ProfileRequest(job()), TO)], NOW)
    jobs.catch_up(Reader(), NOW)
    assert jobs.gauges()["jobs_running"] == 0
    assert store.kept[-1].results


def test_a_start_does_not_look_at_all_that_a_board_ever_made():
    asked = []

    class Reader:
        def runs(self, node, board, limit):
            asked.append(limit)
            return [replace(result(bytes(16)), time_ns=time_ns)] * limit

    jobs = keeper(Grumpy(), "b1")
    jobs.ask([(ProfileRequest(job()), TO)], NOW)
    time_ns = NOW
    jobs.catch_up(Reader(), NOW)
    assert asked == [MAX_RUNS, 128, 512, MAX_RUNS_OF_A_BACKLOG]
    asked.clear()
    time_ns = NOW - 2 * SKEW_NS
    jobs.catch_up(Reader(), NOW)
    assert asked == [MAX_RUNS]
