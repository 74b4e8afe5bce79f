"""The fleet as it is now: what the collector counts, answers and says of itself."""

from tinyprof_collector.config import Config
from tinyprof_collector.jobs import ReplyTo
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.news import Known, News
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol import topics
from tinyprof_protocol.codec import pack
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.records import Build, ClockReport, Conditions, Record, Result
from tinyprof_protocol.requests import BoardsRequest

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"
JOB = Job(b"j" * 16, NODE, "b1", NOW + 100 * S)
ASK = ReplyTo(topics.replies("ab" * 16), b"q1")
BUILD = Build("host", "e", "1", "m", "0" * 64, "Q4_0", "f32", "float32", 256, "device")


def live_state() -> LiveState:
    live = LiveState(Config(), NOW, "1")
    live.hear(AgentStatus(NODE, "online", boards=[BoardPresence("b1", "host", "idle")]), NOW, retained=False)
    return live


def arrival(seq: int, job_id: bytes | None = None) -> Arrival:
    body = Result(
        seq.to_bytes(16, "big"), "b1", BUILD, "quick", [], 1, "valid", [], "match", ClockReport("host"), {}, [],
        Conditions(), 1.0, job_id=job_id,
    )  # fmt: skip
    record = Record(NOW, "clock", bytes(16), seq, body)
    return Arrival(NODE, bytes(16), seq, pack(record), record)


def news(new: Arrival, *held: Arrival) -> News:
    told, known = News(), Known()
    told.add([new], known)
    told.add_held(held, known)
    return told


def test_what_is_newly_stored_is_counted_with_its_board():
    live = live_state()
    live.stored([news(arrival(1))], NOW)
    live.stored([news(arrival(2), arrival(1))], NOW)
    (board,) = live.boards_page(BoardsRequest(), NOW).boards
    assert (board.results, board.valid) == (2, 2)


def test_what_another_collector_has_claimed_is_told_by_it_alone():
    live = live_state()
    live.stored([news(arrival(1))], NOW)
    live.leave({partition_of(NODE): "b"})
    assert live.boards_page(BoardsRequest(), NOW).total == 0
    assert not live.status_reply(NOW).agents
    status = live.collector_status(NOW)
    assert status.partitions == [partition for partition in range(16) if partition != partition_of(NODE)]
    assert status.health == "critical"
    assert f"collector b has claimed partitions {partition_of(NODE)} after this one" in status.reasons[0]
    live.stored([news(arrival(2))], NOW)
    live.hear(AgentStatus(NODE, "online", boards=[BoardPresence("b1", "host", "idle")]), NOW, retained=False)
    assert not live.due_summaries(NOW, 10.0)
    live.leave({})
    assert live.collector_status(NOW).partitions == list(range(16))
