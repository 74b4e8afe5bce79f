"""The Python API against a collector of the test's own, over a real broker."""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import structs
from protocol_examples import RECORD

import tinyprof
from tinyprof.board_names import UnknownBoard
from tinyprof.embedded_broker import EmbeddedBroker, free_port
from tinyprof.fleet import Fleet
from tinyprof.fleet_errors import FleetError
from tinyprof.request_channel import (
    BrokerUnreachable,
    CollectorSilent,
    Heard,
    NoCollector,
    live_collectors,
    what_to_do,
)
from tinyprof_protocol import topics
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Connection, Hooks, Publication
from tinyprof_protocol.jobs import ProfileReply, ProfileRequest, Progress
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import BoardSummary, CollectorStatus
from tinyprof_protocol.request_reply import RequestFailed
from tinyprof_protocol.requests import (
    BoardsReply,
    BoardsRequest,
    Failure,
    HistoryReply,
    HistoryRequest,
    LedgerReply,
    LedgerRow,
    Point,
    QuarantineReply,
    ResultsReply,
    ResultsRequest,
)

NODE = "lab.a1"
EPOCH = b"e" * 16


def summary(board, node=NODE):
    return BoardSummary(node, board, "healthy", [], 1)


def boards_answer(*boards):
    def answer(request: BoardsRequest):
        kept = [board for board in boards if request.node in (None, board.node)]
        return [BoardsReply(kept[request.offset : request.offset + request.limit], len(kept))]

    return {"boards": answer}


def row(node, stored):
    return LedgerRow(node, EPOCH, head=stored, stored=stored, verified=stored)


class HaltedClock:
    """Seconds that stand still until `step_s` is set, and then go on by so much at each look."""

    def __init__(self) -> None:
        self.now_s = self.step_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


def wait_until_heard(fleet: Fleet, *names: str) -> None:
    """Until their statuses have come, however slow broker and machine are."""
    deadline = time.monotonic() + 30
    while fleet._channel.live_now() != sorted(names):
        assert time.monotonic() < deadline, fleet._channel.live_now()
        time.sleep(0.01)


def test_boards_come_in_pages_and_in_order(collector, broker) -> None:
    many = [summary(f"b{number:03}") for number in range(450)]
    collector(boards_answer(*many))
    with tinyprof.connect(broker.url) as fleet:
        assert fleet.boards().boards == many


def test_boards_of_every_collector_and_no_gap(collector, address) -> None:
    collector(boards_answer(summary("x", "s.one")), name="one", partitions=list(range(8)))
    collector(boards_answer(summary("x", "s.two")), name="two", partitions=list(range(8, 16)))
    with Fleet(address) as fleet:
        found = fleet.boards()
    assert [board.node for board in found.boards] == ["s.one", "s.two"]
    assert found.gaps == []


def test_a_silent_collector_is_named_and_the_others_answer(collector, address) -> None:
    collector(boards_answer(summary("x")), name="loud", partitions=list(range(8)))
    collector({}, name="mute", partitions=list(range(8, 15)))
    with Fleet(address, timeout_s=1.0) as fleet:
        found = fleet.boards()
    assert [board.board for board in found.boards] == ["x"]
    assert found.gaps == ["collector mute is silent", "no live collector owns partition 15"]


def test_when_all_stay_silent_it_is_an_error(collector, address) -> None:
    collector({}, name="mute")
    with Fleet(address, timeout_s=0.5) as fleet, pytest.raises(FleetError, match="collector mute is silent"):
        fleet.status()


def test_history_goes_to_the_collector_that_owns_the_partition(collector, address) -> None:
    own = partition_of(NODE)
    answer = boards_answer(summary("host")) | {"history": lambda _: [HistoryReply([Point(5, 1.5)])]}
    right = collector(answer, name="right", partitions=[own])
    wrong = collector(boards_answer(), name="wrong", partitions=[p for p in range(16) if p != own])
    with Fleet(address, wall_ns=lambda: 10**18) as fleet:
        reply = fleet.history(f"{NODE}/host", "ttft_ms", since_s=60)
    assert reply.points == [Point(5, 1.5)]
    assert right.requests[-1] == ("history", HistoryRequest(NODE, "host", "ttft_ms", 10**18 - 60 * 10**9, 500))
    assert wrong.requests == []


def test_of_two_that_say_they_own_a_partition_the_one_started_last_is_asked(collector, address) -> None:
    answer = boards_answer(summary("host")) | {"history": lambda _: [HistoryReply([Point(5, 1.5)])]}
    own = partition_of(NODE)
    frozen = collector({}, name="a-frozen", started_ns=1, partitions=list(range(own + 1)))
    collector(answer, name="taker", started_ns=2, partitions=list(range(own, 16)))
    with Fleet(address) as fleet:
        fleet._channel.collectors()
        assert fleet.history(f"{NODE}/host", "ttft_ms").points == [Point(5, 1.5)]
    assert frozen.requests == []


def test_a_collector_is_live_until_it_was_silent_for_three_of_its_intervals() -> None:
    slow, quick = CollectorStatus("slow", "online", interval_s=10.0), CollectorStatus("quick", "online", interval_s=0.1)
    heard = {"slow": Heard(slow, 100.0), "quick": Heard(quick, 100.0)}
    assert set(live_collectors(heard, 103.0)) == {"slow", "quick"}
    assert set(live_collectors(heard, 103.1)) == {"slow"}
    assert set(live_collectors(heard, 130.1)) == set()
    heard["slow"] = Heard(structs.replace(slow, state="offline"), 130.0)
    assert live_collectors(heard, 130.0) == {}


def test_history_of_a_series_asks_for_it(collector, address) -> None:
    right = collector(boards_answer(summary("host")) | {"history": lambda _: [HistoryReply([])]})
    with Fleet(address, wall_ns=lambda: 10**18) as fleet:
        fleet.history(f"{NODE}/host", "ttft_ms", series="all")
    assert right.requests[-1][1].series == "all"


def test_results_are_asked_for_page_by_page_by_the_time_of_the_last(collector, address) -> None:
    stored = [structs.replace(RECORD, time_ns=10**18 + number) for number in range(7)]

    def answer(asked: ResultsRequest):
        after = [record for record in stored if record.time_ns > asked.after_ns]
        return [ResultsReply(after[: asked.limit], len(after) > asked.limit)]

    owner = collector(boards_answer(summary("host")) | {"results": answer})
    with Fleet(address, wall_ns=lambda: 10**18 + 100) as fleet:
        pages = list(fleet.results("host", page=3))
        assert list(fleet.results(f"{NODE}/host", since_s=98e-9)) == [stored[3:]]
    assert pages == [stored[:3], stored[3:6], stored[6:]]
    assert [kind for kind, _ in owner.requests] == ["boards", *4 * ["results"]]


def test_results_end_at_the_time_when_they_were_asked_for(collector, address) -> None:
    """A board that measures faster than its results are read keeps nobody for ever."""

    def answer(asked: ResultsRequest):
        return [ResultsReply([structs.replace(RECORD, time_ns=asked.after_ns + 40_000 * 10**9)], more=True)]

    collector(boards_answer(summary("host")) | {"results": answer})
    with Fleet(address, wall_ns=lambda: 5 * 10**9) as fleet:
        assert len(list(fleet.results("host"))) == 3, "40,000 s are under a day three times, and then no more"


def test_an_unknown_board_gets_the_nearest_name(collector, address) -> None:
    collector(boards_answer(summary("pico-1"), summary("host")))
    with Fleet(address) as fleet:
        for wrong in ("pico-2", f"{NODE}/pico-2"):
            with pytest.raises(UnknownBoard, match=f"{NODE}/pico-1"):
                fleet.find(wrong)


def test_a_partition_without_owner_names_the_live_collectors(collector, address) -> None:
    own = partition_of(NODE)
    collector(boards_answer(), name="other", partitions=[p for p in range(16) if p != own])
    clock = HaltedClock()
    with Fleet(address, monotonic_s=clock) as fleet:
        wait_until_heard(fleet, "other")
        clock.step_s = 0.5
        with pytest.raises(NoCollector, match=f"partition {own:02d}.*live are other"):
            fleet.find(f"{NODE}/host")


def test_a_failure_is_an_exception_with_its_code(collector, address) -> None:
    collector({"status": lambda _: [Failure("busy", "ask again in a minute")]})
    with Fleet(address) as fleet, pytest.raises(RequestFailed, match="ask again in a minute") as caught:
        fleet.status()
    assert caught.value.code == "busy"


def test_a_reply_of_garbage_is_one_line(collector, address) -> None:
    collector(boards_answer(summary("host")) | {"history": lambda _: [{"reply": "nonsense"}]})
    with Fleet(address) as fleet, pytest.raises(FleetError, match="cannot be read"):
        fleet.history("host", "ttft_ms")


def test_the_ledger_is_ok_only_when_every_collector_says_so(collector, address) -> None:
    collector({"ledger": lambda _: [LedgerReply([row("s.a", 3)], ok=True)]}, name="one", partitions=list(range(8)))
    collector(
        {"ledger": lambda _: [LedgerReply([row("s.b", 4)], ok=False, problems=["1 is missing"])]},
        name="two",
        partitions=list(range(8, 16)),
    )
    with Fleet(address) as fleet:
        ledger = fleet.ledger(verify=True)
    assert sum(r.stored for r in ledger.rows) == 7
    assert not ledger.ok
    assert ledger.problems == ["1 is missing"]


def test_an_epoch_that_changes_hands_has_one_row_that_of_who_knows_more(collector, address) -> None:
    early = LedgerRow("s.a", EPOCH, head=9, stored=2, in_spool=7)
    collector({"ledger": lambda _: [LedgerReply([early], ok=True)]}, name="one", partitions=list(range(9)))
    collector({"ledger": lambda _: [LedgerReply([row("s.a", 8)], ok=True)]}, name="two", partitions=list(range(8, 16)))
    with Fleet(address) as fleet:
        assert fleet.ledger().rows == [row("s.a", 8)]


def test_the_ledger_is_not_ok_while_partitions_have_no_owner(collector, address) -> None:
    collector({"ledger": lambda _: [LedgerReply([row("s.a", 3)], ok=True)]}, partitions=[0])
    with Fleet(address) as fleet:
        assert not fleet.ledger().ok


def profile_answer(*states):
    def answer(request: ProfileRequest):
        return [ProfileReply(request.job.id, state, final=final) for state, final in states]

    return boards_answer(summary("host")) | {"profile": answer}


def test_a_run_is_followed_to_its_final_reply(collector, address) -> None:
    fake = collector(profile_answer(("queued", False), ("started", False), ("finished", True)))
    heard = []
    with Fleet(address) as fleet:
        reply = fleet.profile("host", prompts=["One day"], max_tokens=8, on_update=lambda r: heard.append(r.state))
    assert reply.state == "finished"
    assert heard == ["queued", "started", "finished"]
    job = fake.requests[-1][1].job
    assert (job.node, job.board, job.prompts, job.max_tokens) == (NODE, "host", ["One day"], 8)


def test_an_interrupt_cancels_the_job(collector, address) -> None:
    fake = collector(profile_answer(("started", False)))

    def interrupt(_reply: ProfileReply) -> None:
        raise KeyboardInterrupt

    with Fleet(address) as fleet, pytest.raises(KeyboardInterrupt):
        fleet.profile("host", on_update=interrupt)
    asked, cancelled = [request.job for kind, request in fake.requests if kind == "profile"]
    assert (asked.cancel, cancelled.cancel) == (False, True)
    assert cancelled.id == asked.id


def test_another_thread_cancels_a_job_and_its_last_state_comes_back(collector, address) -> None:
    def answer(request: ProfileRequest):
        state = "cancelled" if request.job.cancel else "started"
        return [ProfileReply(request.job.id, state, final=request.job.cancel)]

    fake = collector(boards_answer(summary("host")) | {"profile": answer})
    cancelled = threading.Event()
    with Fleet(address) as fleet:
        reply = fleet.profile("host", on_update=lambda _: cancelled.set(), use_cache=False, cancelled=cancelled)
    assert (reply.state, reply.final) == ("cancelled", True)
    asked = [request for kind, request in fake.requests if kind == "profile"]
    assert [request.job.cancel for request in asked] == [False, True]
    assert not asked[0].use_cache


def a_clock_that_jumps(by_s: float) -> Callable[[], int]:
    """A wall clock that is further on at each look, so that a deadline has passed as soon as it is set."""
    return itertools.count(time.time_ns(), round(by_s * 1e9)).__next__


def test_a_run_that_nobody_answers_ends_with_its_time(collector, address) -> None:
    collector(profile_answer(("queued", False)))
    said = "had not ended after"
    with Fleet(address, wall_ns=a_clock_that_jumps(19.5)) as fleet, pytest.raises(FleetError, match=said):
        fleet.profile("host", within_s=0)


def test_a_run_that_waits_for_its_agent_says_so_and_goes_on_waiting(collector, address) -> None:
    said = iter(["its agent is offline", "its agent is offline", ""])

    def answer(request: ProfileRequest):
        waiting = [ProfileReply(request.job.id, "queued", text) for text in said]
        return [*waiting, ProfileReply(request.job.id, "finished", final=True)]

    collector(boards_answer(summary("host")) | {"profile": answer})
    heard = []
    with Fleet(address) as fleet:
        fleet.profile("host", on_update=lambda r: heard.append((r.state, r.message)))
    assert heard == [("queued", "its agent is offline"), ("queued", ""), ("finished", "")]


def test_a_run_that_did_not_end_in_time_says_what_it_waited_for(collector, address) -> None:
    def answer(request: ProfileRequest):
        return [ProfileReply(request.job.id, "queued", "its agent is offline")]

    collector(boards_answer(summary("host")) | {"profile": answer})
    said = r"\(queued: its agent is offline\)"
    with Fleet(address, wall_ns=a_clock_that_jumps(18)) as fleet, pytest.raises(FleetError, match=said):
        fleet.profile("host", within_s=0)


def test_progress_of_this_board_is_heard_and_of_others_is_not(collector, address) -> None:
    sender = Connection(address, NODE, Hooks())
    sender.start()
    done = threading.Event()

    def answer(request: ProfileRequest):
        job = request.job
        return [ProfileReply(job.id, "finished" if done.is_set() else "started", final=done.is_set())]

    fake = collector(boards_answer(summary("host")) | {"profile": answer})
    heard = []

    def say() -> None:
        while not done.wait(0.05):
            for board in ("other", "host"):
                progress = Progress(NODE, board, "timed", repetition=3)
                sender.publish(Publication(topics.agent_topic(NODE, "progress"), encode(progress), qos=0))

    def hear(progress: Progress) -> None:
        heard.append(progress.board)
        done.set()

    teller = threading.Thread(target=say)
    teller.start()
    try:
        with Fleet(address) as fleet:
            assert fleet.profile("host", on_progress=hear).final
    finally:
        done.set()
        teller.join()
        sender.stop()
    assert set(heard) == {"host"}
    jobs = {request.job.id for kind, request in fake.requests if kind == "profile"}
    assert len(jobs) == 1


def test_many_threads_may_ask_at_once(collector, address) -> None:
    def answer(request: HistoryRequest):
        return [HistoryReply([Point(request.limit, float(request.limit))])]

    collector(boards_answer(summary("host")) | {"history": answer})
    with Fleet(address) as fleet, ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: fleet.history("host", "ttft_ms", limit=n), range(1, 65)))
    assert [reply.points[0].time_ns for reply in replies] == list(range(1, 65))


def test_an_item_of_the_quarantine_needs_its_collector_where_there_are_two(collector, address) -> None:
    answer = {"quarantine": lambda _: [QuarantineReply([], 0)]}
    collector(answer, name="one", partitions=list(range(8)))
    collector(answer, name="two", partitions=list(range(8, 16)))
    with Fleet(address) as fleet:
        assert sorted(fleet.quarantine("list").collectors) == ["one", "two"]
        with pytest.raises(FleetError, match="--collector: one, two"):
            fleet.quarantine("show", item=3)
        assert sorted(fleet.quarantine("show", item=3, collector="two").collectors) == ["two"]
        with pytest.raises(FleetError, match="no live collector is called 'three'"):
            fleet.quarantine("list", collector="three")


def test_no_broker_is_one_line_that_says_what_to_do() -> None:
    with pytest.raises(BrokerUnreachable, match=r"no broker at .*TINYPROF_BROKER"):
        tinyprof.connect(f"127.0.0.1:{free_port()}").__enter__()


def test_a_broker_without_a_collector_says_so_after_two_seconds() -> None:
    with EmbeddedBroker() as lonely, tinyprof.connect(lonely.url) as fleet:
        began = time.monotonic()
        with pytest.raises(NoCollector, match=r"no collector is behind it.*tinyprof collector run"):
            fleet.boards()
        assert time.monotonic() - began >= 1.9


def test_a_collector_that_went_offline_is_not_asked(collector, address) -> None:
    gone = collector(boards_answer(), name="gone")
    gone.__exit__()
    with Fleet(address) as fleet, pytest.raises(NoCollector):
        fleet.boards()
    assert gone.requests == []


def test_a_collector_that_never_answers_a_single_request_is_named(collector, address) -> None:
    collector(boards_answer(summary("host")), name="mute")
    with Fleet(address, timeout_s=0.5) as fleet, pytest.raises(CollectorSilent, match="collector mute"):
        fleet.history("host", "ttft_ms")


def test_a_certificate_that_is_not_trusted_is_no_missing_broker() -> None:
    said = what_to_do("no broker at mqtts://b:8883 ([SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed)")
    assert "TINYPROF_BROKER_CA_FILE" in said
    assert "start a broker" not in said
    assert what_to_do("no broker at mqtt://b:1883 (Connection refused)").startswith("start a broker")
