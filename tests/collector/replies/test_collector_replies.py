import queue
import random
import threading
from contextlib import contextmanager

import pytest
from msgspec.structs import replace as changed

from tinyprof_collector.jobs import ReplyTo
from tinyprof_collector.replies import (
    CannotAnswer,
    Replies,
    Sources,
    answer,
    check_board,
    counted_by_health,
    fit,
    publication,
    reply_to_of,
)
from tinyprof_collector.stores.store import StoreFailed
from tinyprof_protocol import topics
from tinyprof_protocol.codec import MAX_WIRE_BYTES, decode, encode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.jobs import ProfileReply
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.records import Build, ClockReport, Conditions, Record, Result
from tinyprof_protocol.requests import (
    AgentView,
    BoardsReply,
    BoardsRequest,
    CacheReply,
    CacheRequest,
    CacheStats,
    Failure,
    ForgetReply,
    ForgetRequest,
    HistoryReply,
    HistoryRequest,
    LedgerReply,
    LedgerRequest,
    LedgerRow,
    Point,
    QuarantineItem,
    QuarantineReply,
    QuarantineRequest,
    ResultsReply,
    ResultsRequest,
    StatusReply,
    StatusRequest,
)
from tinyprof_protocol.series import SeriesSeen

WAIT_S = 20.0
TO = ReplyTo(topics.replies("ab" * 16), b"c1")
KNOWN = [("lab.pi", "b1"), ("lab.pi", "b2"), ("yard.pi", "stm32")]
BUILD = Build("host", "e", "1", "m", "0" * 64, "Q4_0", "f32", "float32", 256, "device")


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not deflate."""
    return random.Random(seed).randbytes(size)


def strange_text(length: int, seed: int) -> str:
    """Text that deflates badly."""
    return "".join(chr(0x4E00 + (a << 5 | b & 31)) for a, b in zip(*[iter(noise(2 * length, seed))] * 2, strict=True))


def run(job_id: bytes | None = None, prompts: list[str] | None = None) -> Record:
    body = Result(
        bytes(16), "b1", BUILD, "quick", prompts or [], 1, "valid", [], "match", ClockReport("host"), {}, [],
        Conditions(), 1.0,
        job_id=job_id,
    )  # fmt: skip
    return Record(1, "clock", bytes(16), 1, body)


class FakeReader:
    def __init__(self, points: int = 0, runs: list[Record] | None = None) -> None:
        self.points = [Point(n, float(n)) for n in range(points)]
        self.kept_runs = runs or []

    def history(self, node, board, metric, since_ns=0, limit=500, series=None):
        fitting = [point for point in self.points if series is None or point.series in ("", series)]
        return [point for point in fitting if point.time_ns >= since_ns][-limit:]

    def others(self, node, board, metric, series, since_ns=0):
        return sum(point.series not in ("", series) for point in self.points if point.time_ns >= since_ns)

    def shown_series(self, node, board):
        return next((point.series for point in reversed(self.points) if point.series), "")

    def describe(self, node, board, series):
        return [SeriesSeen(one, "quick") for one in series]

    def runs(self, node, board, limit=32):
        return self.kept_runs[:limit]

    def results(self, node, board, after_ns=0, until_ns=None, limit=64):
        fitting = [record for record in self.kept_runs if (node, board) == ("lab.pi", "b1")]
        return [one for one in fitting if after_ns < one.time_ns <= (until_ns or 2**63)][:limit]

    def latest(self, node=None):
        return []


def sources(found=None, **more) -> Sources:
    @contextmanager
    def opened():
        yield found or FakeReader()

    defaults = {
        "reader": opened,
        "boards": lambda: KNOWN,
        "summaries": lambda asked: BoardsReply([], 0),
        "status": lambda: StatusReply(CollectorStatus("main", "online"), [], {}),
        "ledger": lambda asked: LedgerReply([], True),
        "quarantine": lambda asked: QuarantineReply([], 0),
        "forget": lambda asked: ForgetReply(True),
        "cache": lambda asked: CacheReply(CacheStats(size=7)),
    }
    return Sources(**{**defaults, **more})


def request(kind: str, body: object, response_topic: str | None = TO.topic) -> Message:
    return Message(topics.requests("main", kind), encode(body), False, response_topic, TO.correlation)


@pytest.mark.parametrize(
    ("kind", "body", "reply"),
    [
        ("boards", BoardsRequest(), BoardsReply([], 0)),
        ("status", StatusRequest(), StatusReply(CollectorStatus("main", "online"), [], {})),
        ("ledger", LedgerRequest(), LedgerReply([], True)),
        ("quarantine", QuarantineRequest("list"), QuarantineReply([], 0)),
        ("history", HistoryRequest("lab.pi", "b1", "ttft_ms"), HistoryReply([])),
        ("forget", ForgetRequest("lab.pi", "b1"), ForgetReply(True)),
        ("cache", CacheRequest(), CacheReply(CacheStats(size=7))),
    ],
)
def test_each_kind_is_answered(kind, body, reply):
    assert answer(request(kind, body), sources()) == reply


@pytest.mark.parametrize(
    ("points", "limit", "kept", "truncated"), [(5, 5, 5, False), (6, 5, 5, True), (0, 5, 0, False)]
)
def test_history_keeps_the_newest_and_says_when_there_is_more(points, limit, kept, truncated):
    asked = HistoryRequest("lab.pi", "b1", "ttft_ms", limit=limit)
    found = answer(request("history", asked), sources(FakeReader(points)))
    assert isinstance(found, HistoryReply)
    assert [point.time_ns for point in found.points] == list(range(points - kept, points))
    assert found.truncated is truncated


def test_history_is_of_one_series_unless_all_are_asked_for():
    reader = FakeReader()
    ours, theirs = "a" * 16, "b" * 16
    whose = ["", theirs, ours, theirs, ours, theirs, ours]
    reader.points = [Point(n, float(n), series=series) for n, series in enumerate(whose)]

    def times(**asked):
        request_ = request("history", HistoryRequest("lab.pi", "b1", "ttft_ms", **asked))
        found = answer(request_, sources(reader))
        assert isinstance(found, HistoryReply)
        return [point.time_ns for point in found.points], found

    shown, found = times()
    assert (shown, found.series, found.others) == ([0, 2, 4, 6], ours, 3)
    assert found.described == [SeriesSeen(ours, "quick")]
    shown, found = times(limit=2)
    assert (shown, found.truncated, found.others) == ([4, 6], True, 1), "older others are hidden by the limit"
    shown, found = times(series=theirs)
    assert (shown, found.series, found.others) == ([0, 1, 3, 5], theirs, 3)
    shown, found = times(series="all")
    assert (shown, found.series, found.others) == (list(range(7)), "all", 0)
    assert [one.series for one in found.described] == [ours, theirs]


def runs_at(*times, prompts=None) -> list[Record]:
    return [changed(run(prompts=prompts), time_ns=time_ns) for time_ns in times]


@pytest.mark.parametrize(
    ("asked", "times", "more"),
    [
        ({}, [1, 2, 3, 4, 5], False),
        ({"limit": 5}, [1, 2, 3, 4, 5], False),
        ({"limit": 4}, [1, 2, 3, 4], True),
        ({"after_ns": 2, "limit": 2}, [3, 4], True),
        ({"after_ns": 1, "until_ns": 3}, [2, 3], False),
        ({"after_ns": 5}, [], False),
    ],
)
def test_results_are_a_page_in_time_that_says_whether_more_follow(asked, times, more):
    reader = FakeReader(runs=runs_at(1, 2, 3, 4, 5))
    found = answer(request("results", ResultsRequest("lab.pi", "b1", **asked)), sources(reader))
    assert isinstance(found, ResultsReply)
    assert ([record.time_ns for record in found.records], found.more) == (times, more)


def test_results_of_a_board_that_is_not_known_are_none_and_it_says_so():
    found = answer(request("results", ResultsRequest("lab.pi", "b3")), sources())
    assert isinstance(found, Failure)
    assert (found.code, "lab.pi/b" in found.message) == ("unknown_board", True)


def test_results_of_a_board_that_was_forgotten_are_still_there():
    found = answer(
        request("results", ResultsRequest("lab.pi", "b1")), sources(FakeReader(runs=runs_at(1)), boards=list)
    )
    assert isinstance(found, ResultsReply)
    assert len(found.records) == 1


def test_results_that_do_not_fit_a_message_are_cut_and_their_pages_make_the_whole():
    whole = runs_at(*range(1, 65))
    whole = [
        changed(record, body=changed(record.body, prompts=[strange_text(4000, record.time_ns) for _ in range(2)]))
        for record in whole
    ]
    reader, seen, after_ns = FakeReader(runs=whole), [], 0
    for _ in range(len(whole)):
        asked = ResultsRequest("lab.pi", "b1", after_ns, limit=64)
        payload = fit(answer(request("results", asked), sources(reader)))
        assert len(payload) <= MAX_WIRE_BYTES
        page = decode(payload, ResultsReply)
        seen += page.records
        after_ns = seen[-1].time_ns
        if not page.more:
            break
    assert seen == whole
    assert len(page.records) < 64, "it was cut at least once, or the test shows nothing"


@pytest.mark.parametrize("series", ["quick", "A" * 16, "a" * 15, "a" * 17])
def test_what_is_no_series_is_refused(series):
    asked = HistoryRequest("lab.pi", "b1", "ttft_ms", series=series)
    found = answer(request("history", asked), sources())
    assert isinstance(found, Failure)
    assert (found.code, series in found.message) == ("unknown_series", True)


@pytest.mark.parametrize(
    ("node", "board", "hint"),
    [
        ("lab.pi", "b3", "did you mean lab.pi/b"),
        ("lab.px", "stm32", "did you mean yard.pi/stm32?"),
        ("nowhere.at-all", "zzzzzz", "`tinyprof boards` lists"),
    ],
)
def test_an_unknown_board_gets_the_nearest_names(node, board, hint):
    with pytest.raises(CannotAnswer) as raised:
        check_board(node, board, KNOWN)
    assert raised.value.code == "unknown_board"
    assert hint in str(raised.value)


def test_a_failure_in_a_source_is_a_failure_with_its_code():
    def busy(_asked):
        raise CannotAnswer("busy", "later")

    def broken():
        raise StoreFailed("disk full")

    assert answer(request("ledger", LedgerRequest()), sources(ledger=busy)) == Failure("busy", "later")
    found = answer(request("history", HistoryRequest("lab.pi", "b1", "ttft_ms")), sources(reader=broken))
    assert found == Failure("store_failed", "the store cannot be read: disk full")


@pytest.mark.parametrize("payload", [b"", b"\x07", b"\x00\xc1", b"\x00" + b"\x91" * 500, encode({"node": 3})])
def test_hostile_requests_are_bad_requests(payload):
    for kind in ("history", "ledger", "quarantine"):
        bad = Message(topics.requests("main", kind), payload, False, TO.topic, None)
        found = answer(bad, sources())
        assert isinstance(found, Failure)
        assert found.code == "bad_request"


@pytest.mark.parametrize("topic", [None, "", "tinyprof/1/fleet/a.b/c", topics.replies("ab" * 16) + "/x"])
def test_there_is_no_reply_to_other_topics(topic):
    assert reply_to_of(request("status", StatusRequest(), topic)) is None


def test_the_reply_carries_the_correlation_data():
    sent = publication(TO, Failure("a", "b"))
    assert (sent.topic, sent.correlation, sent.qos, sent.retain) == (TO.topic, b"c1", 1, False)


def status_with(agents: int) -> StatusReply:
    views = [
        AgentView(AgentStatus(f"lab.a{n}", "online", boot=noise(16, n), version=noise(24, n).hex()), "healthy", [], n)
        for n in range(agents)
    ]
    return StatusReply(CollectorStatus("main", "online"), views, {"healthy": agents})


def item(number: int) -> QuarantineItem:
    return QuarantineItem(number, 0, strange_text(300, number), strange_text(300, -number), 1)


@pytest.mark.parametrize(
    ("reply", "part", "kept"),
    [
        (HistoryReply([], [run(prompts=[strange_text(4000, n)] * 3) for n in range(32)]), "runs", "first"),
        (HistoryReply([Point(n, n / 7, run_id=noise(120, n)) for n in range(5000)]), "points", "last"),
        (BoardsReply([BoardSummary("l.p", f"b{n}", "healthy", [strange_text(300, n)], n) for n in range(1000)], 9),
         "boards", "first"),
        (LedgerReply([LedgerRow("l.p", noise(16, n), n, cause=noise(60, n).hex()) for n in range(9000)], True),
         "rows", "first"),
        (status_with(6000), "agents", "first"),
        (QuarantineReply([item(n) for n in range(500)], 4000), "items", "first"),
    ],
)  # fmt: skip
def test_a_long_reply_is_cut_to_fit(reply, part, kept):
    payload = fit(reply)
    assert len(payload) <= MAX_WIRE_BYTES
    whole, left = getattr(reply, part), getattr(decode(payload, type(reply)), part)
    assert 0 < len(left) < len(whole)
    assert left == (whole[-len(left) :] if kept == "last" else whole[: len(left)])


def test_cutting_says_so():
    history = decode(fit(HistoryReply([Point(n, n / 7, run_id=noise(120, n)) for n in range(5000)])), HistoryReply)
    assert history.truncated
    rows = [LedgerRow("l.p", noise(16, n), n, cause=noise(60, n).hex()) for n in range(9000)]
    ledger = decode(fit(LedgerReply(rows, True)), LedgerReply)
    assert ledger.problems == [f"only the first {len(ledger.rows):,} rows fit this reply; ask for one node"]
    status = decode(fit(status_with(6000)), StatusReply)
    assert status.collector.reasons == [f"only {len(status.agents)} of the agents fit this reply"]
    assert status.boards_by_health == {"healthy": 6000}


def test_what_cannot_be_cut_is_a_failure():
    giant = QuarantineReply([changed(item(1), data=noise(256 * 1024, 1))], 1)
    found = decode(fit(ProfileReply(b"j" * 16, "queued", noise(400 * 1024, 1).hex())), Failure)
    assert found.code == "too_long"
    assert decode(fit(giant), QuarantineReply).items == []


def test_health_is_counted():
    assert counted_by_health(["healthy", "stale", "healthy"]) == {"healthy": 2, "stale": 1}


def test_a_slow_request_holds_up_only_its_own_queue_which_is_bounded():
    sent: queue.Queue = queue.Queue()
    began, release = threading.Event(), threading.Event()

    def slow(_asked):
        began.set()
        assert release.wait(WAIT_S)
        return LedgerReply([], True)

    replies = Replies(sources(ledger=slow), sent.put, workers=1, max_queued=1)
    replies.start()
    assert replies.submit(request("ledger", LedgerRequest()), TO)
    assert began.wait(WAIT_S)
    assert replies.submit(request("status", StatusRequest()), TO)
    assert not replies.submit(request("status", StatusRequest()), TO)
    release.set()
    kinds = [decode(sent.get(timeout=WAIT_S).payload, LedgerReply | StatusReply) for _ in range(2)]
    assert [type(each) for each in kinds] == [LedgerReply, StatusReply]
    replies.stop(WAIT_S)
    assert replies.dead_threads() == []
    assert replies.counters() == {"requests_answered": 2, "requests_failed": 0, "requests_over_bound": 1}


def test_a_defect_is_answered_and_the_thread_lives():
    sent: queue.Queue = queue.Queue()

    def defect():
        raise RuntimeError("a defect")

    replies = Replies(sources(status=defect), sent.put, workers=1, max_queued=4)
    replies.start()
    replies.submit(request("status", StatusRequest()), TO)
    assert decode(sent.get(timeout=WAIT_S).payload, Failure).code == "internal"
    replies.submit(request("boards", BoardsRequest()), TO)
    assert decode(sent.get(timeout=WAIT_S).payload, BoardsReply).total == 0
    assert replies.dead_threads() == []
    replies.stop(WAIT_S)
    assert replies.counters()["requests_failed"] == 1


def test_a_reply_that_cannot_be_packed_is_a_failure_and_the_thread_lives():
    sent: queue.Queue = queue.Queue()
    unpackable = LedgerReply([LedgerRow("lab.pi", bytes(16), 2**70)], True)
    replies = Replies(sources(ledger=lambda _asked: unpackable), sent.put, workers=1, max_queued=4)
    replies.start()
    replies.submit(request("ledger", LedgerRequest()), TO)
    assert decode(sent.get(timeout=WAIT_S).payload, Failure).code == "internal"
    replies.submit(request("boards", BoardsRequest()), TO)
    assert decode(sent.get(timeout=WAIT_S).payload, BoardsReply).total == 0
    assert replies.dead_threads() == []
    replies.stop(WAIT_S)
