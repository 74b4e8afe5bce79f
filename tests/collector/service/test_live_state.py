"""The fleet as it is now: what the collector counts, answers and says of itself."""

from tinyprof_collector.config import Config
from tinyprof_collector.jobs import ReplyTo
from tinyprof_collector.live_state import LiveState
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol import topics
from tinyprof_protocol.codec import pack
from tinyprof_protocol.jobs import Job
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


def test_what_is_stored_is_counted_with_its_board():
    live = live_state()
    live.stored([arrival(1)], NOW)
    live.stored([arrival(2)], NOW)
    (board,) = live.boards_page(BoardsRequest(), NOW).boards
    assert (board.results, board.valid) == (2, 2)
