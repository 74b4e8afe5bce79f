"""Requests for runs have a thread of their own: what it answers, what it hands on, and what is sent by nobody."""

import queue

import pytest
from msgspec import Raw

from tinyprof_collector.ingest import BoundedQueue, Ingest, Watchdog
from tinyprof_collector.profile_requests import ProfileRequests
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode, encode, pack
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.jobs import CachedFrom, EncodedProfileReply, Job, ProfileReply, ProfileRequest
from tinyprof_protocol.request_reply import RequestFailed, decode_reply
from tinyprof_protocol.requests import StatusRequest

WAIT_S = 20.0
TO = topics.replies("ab" * 16)
ID = bytes(range(16))


def message(body: object, kind: str = "profile", topic: str | None = TO) -> Message:
    return Message(topics.requests("main", kind), encode(body), False, topic, b"c1")


def asked(suite: str = "quick") -> ProfileRequest:
    return ProfileRequest(Job(ID, "lab.pi", "one", 10**18, suite=suite))


@pytest.fixture
def ingest():
    return Ingest("main", lambda _: None, Watchdog(30.0), lambda: 0.0)


class Taker:
    """The thread, with a cache that knows the suite `quick` alone, and what it sends and hands on."""

    def __init__(self, waiting: BoundedQueue, room: bool = True) -> None:
        self.sent: queue.Queue[Publication] = queue.Queue()
        self.handed_on: queue.Queue[Message] = queue.Queue()
        self.room = room
        self.requests = ProfileRequests(waiting, self.cached, self.hand_on, self.sent.put)

    def cached(self, request: ProfileRequest) -> EncodedProfileReply | None:
        if request.job.suite == "defect":
            raise RuntimeError("a defect")
        found = CachedFrom("lab.pi", "one", 1, 2.0, "valid")
        nothing = Raw(pack(None))
        known = request.job.suite == "quick"
        return EncodedProfileReply(ID, "finished", "", True, nothing, "lab.pi", "one", found) if known else None

    def hand_on(self, message: Message, _: object) -> bool:
        if self.room:
            self.handed_on.put(message)
        return self.room


@pytest.fixture
def taker(ingest):
    found = Taker(ingest.profile_requests)
    found.requests.start()
    yield found
    found.requests.stop(WAIT_S)
    assert not found.requests.alive()


def test_what_the_cache_knows_is_answered_and_all_else_is_handed_on(ingest, taker):
    ingest.take(message(asked("other")))
    ingest.take(message(asked()))
    sent = taker.sent.get(timeout=WAIT_S)
    assert (sent.topic, sent.correlation) == (TO, b"c1")
    assert decode(sent.payload, ProfileReply).cached is not None
    assert taker.handed_on.get(timeout=WAIT_S).payload == encode(asked("other"))
    assert taker.sent.empty()


def test_other_requests_do_not_come_here(ingest, taker):
    ingest.take(message(StatusRequest(), "status"))
    assert len(ingest.profile_requests) == 0
    assert len(ingest.requests) == 1


@pytest.mark.parametrize("topic", [None, "tinyprof/1/fleet/lab.pi/one"])
def test_there_is_no_answer_to_other_topics(ingest, taker, topic):
    ingest.take(message(asked(), topic=topic))
    ingest.take(message(asked()))
    assert taker.sent.get(timeout=WAIT_S).topic == TO
    assert taker.requests.counts["profile_requests_without_reply_topic"] == 1
    assert taker.sent.empty()


def test_what_cannot_be_read_gets_a_failure(ingest, taker):
    ingest.take(Message(topics.requests("main", "profile"), b"\x00\xc1", False, TO, b"c1"))
    with pytest.raises(RequestFailed, match="this profile request cannot be read"):
        decode_reply(taker.sent.get(timeout=WAIT_S).payload, ProfileReply)


def test_where_no_room_is_left_the_client_hears_so(ingest, taker):
    taker.room = False
    ingest.take(message(asked("other")))
    with pytest.raises(RequestFailed, match="too many requests waiting"):
        decode_reply(taker.sent.get(timeout=WAIT_S).payload, ProfileReply)


def test_a_defect_is_counted_and_the_thread_lives(ingest, taker, caplog):
    ingest.take(message(asked("defect")))
    ingest.take(message(asked()))
    assert taker.sent.get(timeout=WAIT_S).topic == TO
    assert taker.requests.counts["profile_request_errors"] == 1
    assert "could not be answered" in caplog.text
