"""The desk: what it answers at once, what it keeps together, and what it turns away."""

import queue
from contextlib import contextmanager

import pytest
from job_book_site import result
from msgspec.structs import replace

from tinyprof_collector.jobs.actions import ReplyTo
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.desk import MAX_QUEUED, JobDesk, JobSources, is_for_the_desk
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.sqlite_store import SqliteJobStore
from tinyprof_collector.presence import Presence
from tinyprof_collector.replies import CannotAnswer
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.jobs import Job, JobsReply, JobsRequest, ProfileReply, ProfileRequest
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.request_reply import RequestFailed, decode_reply

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"
TO = ReplyTo(topics.replies("ab" * 16), b"c1")
JOB = Job(bytes(range(16)), NODE, "b1", NOW + 100 * S)


class Reader:
    def __init__(self, runs) -> None:
        self._runs = runs

    def runs(self, node, board, limit=32):
        return self._runs


class Desk:
    """A desk whose answers wait in a queue."""

    def __init__(self, tmp_path, runs=(), cached=None) -> None:
        self.sent: queue.Queue[Publication] = queue.Queue()
        presence = Presence()
        presence.hear(AgentStatus(NODE, "online", boards=[BoardPresence("b1", "host", "idle")]), NOW)
        self.store = SqliteJobStore(tmp_path / "jobs.sqlite")

        @contextmanager
        def reader():
            yield Reader(list(runs))

        def check_board(node: str, board: str) -> None:
            if board != "b1":
                raise CannotAnswer("unknown_board", f"no board {board}")

        self.keeper = JobKeeper(JobBook(100, presence.agents), self.store)
        self.desk = JobDesk(self.keeper, JobSources(reader, check_board, lambda _: cached), self.say, lambda: NOW)

    def say(self, publications) -> None:
        for each in publications:
            self.sent.put(each)

    def ask(self, *bodies: object, kind="profile") -> None:
        for body in bodies:
            payload = body if isinstance(body, bytes) else encode(body)
            assert self.desk.submit(Message(topics.requests("main", kind), payload, False, TO.topic, b"c1"), TO)

    def next(self, kind):
        return decode_reply(self.sent.get(timeout=20).payload, kind)


@pytest.fixture
def make_desk(tmp_path):
    made: list[Desk] = []

    def make(**more) -> Desk:
        made.append(Desk(tmp_path, **more))
        return made[-1]

    yield make
    for desk in made:
        desk.desk.stop(10)
        desk.store.close()


def test_a_job_is_answered_kept_and_sent(make_desk):
    desk = make_desk()
    desk.ask(ProfileRequest(JOB))
    desk.desk.start()
    assert desk.next(ProfileReply).state == "queued"
    sent = desk.sent.get(timeout=20)
    assert (sent.topic, decode(sent.payload, Job), sent.expiry_s) == (topics.agent_topic(NODE, "jobs"), JOB, 100)
    assert [kept.request.job for kept in desk.store.load()] == [JOB]


def test_what_cannot_be_taken_says_why_and_takes_nothing_else_along(make_desk):
    desk = make_desk()
    desk.ask(ProfileRequest(replace(JOB, board="b9")), b"\x00\xc1", ProfileRequest(JOB))
    desk.desk.start()
    for code in ("unknown_board", "bad_request"):
        with pytest.raises(RequestFailed) as caught:
            desk.next(ProfileReply)
        assert caught.value.code == code
    assert desk.next(ProfileReply).state == "queued"
    assert desk.desk.counts["job_requests_failed"] == 2


def test_a_job_that_is_long_over_is_answered_from_the_store_where_it_was_asked_for_before(make_desk):
    desk = make_desk(runs=[result(b"x" * 16), result(JOB.id)])
    desk.desk.start()
    desk.ask(ProfileRequest(JOB, repeated=True))
    found = desk.next(ProfileReply)
    assert (found.state, found.final, found.result) == ("finished", True, result(JOB.id))
    assert not desk.keeper.knows(JOB.id)


def test_the_cache_is_asked_for_a_repeated_request_that_the_store_does_not_answer(make_desk):
    desk = make_desk(cached=ProfileReply(JOB.id, "finished", "cached", True))
    desk.desk.start()
    desk.ask(ProfileRequest(JOB, repeated=True))
    assert desk.next(ProfileReply).message == "cached"
    desk.ask(ProfileRequest(JOB))
    assert desk.next(ProfileReply).state == "queued"


def test_jobs_are_listed_and_cancelled(make_desk):
    desk = make_desk()
    desk.desk.start()
    desk.ask(ProfileRequest(JOB))
    assert desk.next(ProfileReply).state == "queued"
    assert not decode(desk.sent.get(timeout=20).payload, Job).cancel
    desk.ask(JobsRequest("list"), kind="jobs")
    assert desk.next(JobsReply).jobs[0].job == JOB
    desk.ask(JobsRequest("cancel", ids=[JOB.id]), kind="jobs")
    assert decode(desk.sent.get(timeout=20).payload, Job).cancel
    assert desk.next(JobsReply).cancelled == 1


def test_too_many_that_wait_are_turned_away_and_counted(make_desk):
    desk = make_desk()
    message = Message(topics.requests("main", "profile"), b"x", False, TO.topic, b"c1")
    assert all(desk.desk.submit(message, TO) for _ in range(MAX_QUEUED))
    assert not desk.desk.submit(message, TO)
    assert desk.desk.counts["job_requests_over_bound"] == 1


def test_only_what_is_about_jobs_is_for_the_desk():
    assert [is_for_the_desk(topics.requests("main", kind)) for kind in ("profile", "jobs", "boards")] == [
        True,
        True,
        False,
    ]
