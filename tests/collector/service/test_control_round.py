import threading
from types import SimpleNamespace

from tinyprof_collector.config import Config
from tinyprof_collector.control import BUSY_FROM, SUMMARIES_WHILE_BUSY, Clock, Control, Duties
from tinyprof_collector.ingest import Ingest, Watchdog
from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.keeper import JobKeeper
from tinyprof_collector.jobs.store import JobChanges
from tinyprof_collector.live_state import LiveState, PipelineView
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode, encode
from tinyprof_protocol.connection import Message, Publication
from tinyprof_protocol.presence import AgentStatus, BoardPresence, BoardSummary, CollectorStatus
from tinyprof_protocol.requests import Failure, StatusRequest

S = 10**9
NODE = "lab.pi"
REPLY = topics.replies("ab" * 16)


class FakeConnection:
    """Takes publications, at most `room` of them."""

    def __init__(self) -> None:
        self.state = SimpleNamespace(connected=True, clash=False, counts={})
        self.published: list[Publication] = []
        self.dropped: list[str] = []
        self.room = 10**9
        self.no_room = lambda: None

    def publish(self, publication: Publication) -> int | None:
        if len(self.published) >= self.room:
            self.no_room()
            return None
        self.published.append(publication)
        return 1

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)

    def of(self, topic_part: str, kind):
        return [decode(each.payload, kind) for each in self.published if topic_part in each.topic]


class FakeReplies:
    def __init__(self, room: int = 10) -> None:
        self.room = room
        self.taken: list[Message] = []

    def submit(self, message: Message, _to) -> bool:
        if len(self.taken) >= self.room:
            return False
        self.taken.append(message)
        return True


class FakeOutbox:
    def put(self, publications) -> None:
        assert not list(publications)


class MemoryStore:
    """Keeps jobs for as long as it lives."""

    def load(self):
        return []

    def keep(self, changes: JobChanges) -> None:
        pass

    def result(self, run_id: bytes) -> None:
        return None

    def taken(self):
        return None

    def close(self) -> None:
        pass


class Rig:
    def __init__(self, room: int = 10) -> None:
        self.now_s = 1000.0
        self.connection = FakeConnection()
        self.replies = FakeReplies(room)
        self.noted: list[AgentStatus] = []
        self.quarantined: list[tuple[Message, str]] = []
        self.dead: list[str] = []
        clock = Clock(lambda: int(self.now_s * S), lambda: self.now_s)
        watchdog = Watchdog(30.0)
        self.live = LiveState(Config(), 0, "1")
        self.jobs = JobKeeper(JobBook(10, self.live.agents()), MemoryStore())
        self.desk = FakeReplies()
        self.outbox = FakeOutbox()
        self.ingest = Ingest("main", lambda _: None, watchdog, clock.monotonic_s)
        self.backlog = 0
        duties = Duties(
            self.noted.append, lambda *each: self.quarantined.append(each), lambda: self.dead, lambda: self.backlog
        )
        self.control = Control(
            self.live,
            self.ingest,
            watchdog,
            self.connection,
            self.replies,
            self.jobs,
            self.desk,
            self.outbox,
            duties,
            clock,
            10.0,
        )  # type: ignore[arg-type]
        self.control.connected()

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.control.round()

    def hear(self, status: AgentStatus, topic: str | None = None) -> None:
        where = topic or topics.agent_topic(status.node, "status")
        self.ingest.take(Message(where, encode(status), False, None, None))


def online(*boards: str) -> AgentStatus:
    return AgentStatus(NODE, "online", boards=[BoardPresence(board, "host", "idle") for board in boards])


def test_its_own_status_goes_out_on_connect_and_at_every_interval():
    rig = Rig()
    assert [found.state for found in rig.connection.of("/status", CollectorStatus)] == ["online"]
    for _ in range(20):
        rig.later(1.0)
    assert [found.time_ns for found in rig.connection.of("/status", CollectorStatus)] == [1000 * S, 1010 * S, 1020 * S]
    assert all(each.retain for each in rig.connection.published)


def test_a_change_of_its_health_is_told_at_once():
    rig = Rig()
    rig.live.note_pipeline(PipelineView({"sqlite": "disk full"}), 1000 * S)
    rig.later(1.0)
    assert rig.connection.of("/status", CollectorStatus)[-1].reasons == ["store sqlite: disk full"]
    rig.dead = ["pipeline"]
    rig.live.note_pipeline(PipelineView({"sqlite": ""}), 1000 * S)
    rig.later(1.0)
    rig.later(10.0)
    assert "thread pipeline has ended" in rig.connection.of("/status", CollectorStatus)[-1].reasons[0]


def test_a_connection_that_carries_nothing_is_dropped_once_and_counted():
    rig = Rig()
    rig.later(30.0)
    assert rig.connection.dropped == []
    rig.later(1.0)
    rig.later(1.0)
    assert rig.connection.dropped == ["connected, but not even its own status has come back for 31 s"]
    assert rig.control.counts["watchdog_drops"] == 1
    rig.control.connected()
    rig.later(31.0)
    assert len(rig.connection.dropped) == 2


def test_its_own_status_that_comes_back_keeps_the_connection():
    rig = Rig()
    for _ in range(10):
        rig.ingest.take(Message(topics.collector_status("main"), b"", False, None, None))
        rig.later(20.0)
    assert rig.connection.dropped == []


def test_statuses_are_heard_noted_and_shown():
    rig = Rig()
    rig.hear(online("b1", "b2"))
    rig.later(1.0)
    assert rig.noted == [online("b1", "b2")]
    assert sorted(found.board for found in rig.connection.of("/fleet/", BoardSummary)) == ["b1", "b2"]


def test_a_board_that_is_forgotten_is_cleared_on_the_broker_and_again_where_there_was_no_room():
    rig = Rig()
    rig.hear(online("b1", "b2"))
    rig.later(1.0)
    rig.live.forget(NODE, "b1", int(rig.now_s * S))
    rig.connection.room = len(rig.connection.published)
    rig.later(1.0)
    rig.connection.room = 10**9
    rig.later(1.0)
    rig.later(1.0)
    cleared = [each for each in rig.connection.published if not each.payload]
    assert [(each.topic, each.retain) for each in cleared] == [(topics.fleet(NODE, "b1"), True)]


def test_a_status_that_is_not_its_topics_is_quarantined():
    rig = Rig()
    wrong_partition = topics.agent_topic(NODE, "status").replace("/1/", "/1/9")
    rig.hear(online("b1"), topics.agent_topic("lab.other", "status"))
    rig.hear(online("b1"), wrong_partition)
    rig.ingest.take(Message(topics.agent_topic(NODE, "status"), b"\x07", False, None, None))
    rig.later(1.0)
    assert rig.noted == []
    assert len(rig.quarantined) == 3
    assert rig.control.counts["statuses_quarantined"] == 3
    assert rig.quarantined[0][1] == "status of lab.pi under the topic of lab.other"


def test_a_cleared_status_is_passed_over():
    rig = Rig()
    rig.ingest.take(Message(topics.agent_topic(NODE, "status"), b"", True, None, None))
    rig.later(1.0)
    assert (rig.noted, rig.quarantined) == ([], [])


def peer(status: CollectorStatus, name: str = "two") -> Message:
    return Message(topics.collector_status(name), encode(status), False, None, None)


def test_another_collector_with_its_partitions_is_a_warning_while_it_lives():
    rig = Rig()
    rig.ingest.take(peer(CollectorStatus("two", "online", partitions=[3, 4])))
    rig.ingest.take(peer(CollectorStatus("three", "online", partitions=[5])))
    rig.later(1.0)
    said = rig.connection.of("/status", CollectorStatus)[-1]
    assert said.health == "warning"
    assert said.reasons == ["collector two serves its partitions too (3-4); each may have one collector"]
    rig.ingest.take(peer(CollectorStatus("two", "offline")))
    rig.later(1.0)
    assert rig.connection.of("/status", CollectorStatus)[-1].health == "healthy"
    assert rig.control.counts["peer_statuses_ignored"] == 1


def request(response_topic: str | None) -> Message:
    return Message(topics.requests("main", "status"), encode(StatusRequest()), False, response_topic, b"c")


def test_requests_are_answered_only_under_reply_topics():
    rig = Rig()
    for topic in (None, topics.fleet("a.b", "c"), "tinyprof/1/replies/short", REPLY):
        rig.ingest.take(request(topic))
    rig.later(0.1)
    assert [message.response_topic for message in rig.replies.taken] == [REPLY]
    assert rig.control.counts["requests_without_reply_topic"] == 3


def test_a_request_too_many_is_told_so():
    rig = Rig(room=1)
    rig.ingest.take(request(REPLY))
    rig.ingest.take(request(REPLY))
    rig.later(0.1)
    sent = rig.connection.published[-1]
    assert (sent.topic, sent.correlation) == (REPLY, b"c")
    assert decode(sent.payload, Failure).code == "busy"


def test_summaries_that_found_no_room_go_out_later():
    rig = Rig()
    rig.hear(online("b1", "b2", "b3"))
    rig.connection.room = len(rig.connection.published) + 1
    rig.later(1.0)
    assert len(rig.connection.of("/fleet/", BoardSummary)) == 1
    rig.connection.room = 10**9
    rig.later(0.1)
    assert len(rig.connection.of("/fleet/", BoardSummary)) == 3


def test_while_many_records_wait_only_a_few_summaries_go_out_in_a_round():
    rig = Rig()
    rig.backlog = BUSY_FROM
    rig.hear(online(*(f"b{number}" for number in range(30))))
    rig.later(1.0)
    assert len(rig.connection.of("/fleet/", BoardSummary)) == SUMMARIES_WHILE_BUSY
    rig.later(0.1)
    assert len(rig.connection.of("/fleet/", BoardSummary)) == 2 * SUMMARIES_WHILE_BUSY
    rig.backlog = 0
    rig.later(0.1)
    assert len({each.board for each in rig.connection.of("/fleet/", BoardSummary)}) == 30


def test_a_step_that_fails_leaves_the_others_to_do_theirs():
    rig = Rig()

    def fail(*_):
        raise RuntimeError("a defect")

    rig.control = Control(
        rig.live, rig.ingest, Watchdog(30.0), rig.connection, rig.replies, rig.jobs, rig.desk, rig.outbox,
        Duties(fail, fail, list), Clock(lambda: 1, lambda: rig.now_s), 10.0,
    )  # type: ignore[arg-type]  # fmt: skip
    rig.hear(online("b1"))
    rig.ingest.take(request(REPLY))
    rig.later(1.0)
    assert len(rig.replies.taken) == 1
    assert rig.control.counts["control_errors"] == 1


def agents_of(boards: int) -> list[AgentStatus]:
    names = [f"b{number}" for number in range(200)]
    presences = [BoardPresence(name, "host", "idle") for name in names]
    return [AgentStatus(f"lab.pi{n}", "online", boards=presences) for n in range(boards // len(names))]


def test_at_a_stop_every_changed_summary_is_published():
    rig = Rig()
    for status in agents_of(1200):
        rig.live.hear(status, int(rig.now_s * S), retained=False)
    rig.control.start()
    rig.control.stop(30.0)
    found = rig.connection.of("/fleet/", BoardSummary)
    assert len({(each.node, each.board) for each in found}) == 1200


def test_at_a_stop_summaries_that_find_no_room_are_not_waited_for_longer_than_told():
    rig = Rig()
    for status in agents_of(400):
        rig.live.hear(status, int(rig.now_s * S), retained=False)
    tries = []

    def no_room() -> None:
        tries.append(rig.now_s)
        rig.now_s += 1.0

    rig.connection.room = 0
    rig.connection.no_room = no_room
    rig.control.start()
    rig.control.stop(5.0)
    assert not rig.control.alive()
    assert tries == [1000.0, 1001.0, 1002.0, 1003.0, 1004.0]


def test_the_thread_ends_when_told():
    rig = Rig()
    rig.control.start()
    assert rig.control.alive()
    rig.control.stop(10.0)
    assert not rig.control.alive()
    assert not any(thread.name == "control" for thread in threading.enumerate())
