"""Jobs over the Python API, against a collector of the test's own over a real broker."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tinyprof.board_finder import BELIEVED_AFTER_S
from tinyprof.board_names import UnknownBoard
from tinyprof.fleet import Fleet
from tinyprof.fleet_errors import BadArgument, FleetError
from tinyprof.job_handle import FleetJob, JobFailed, JobTimeout
from tinyprof.request_channel import NoCollector
from tinyprof_protocol.jobs import Job, JobsReply, JobsRequest, JobView, ProfileReply, ProfileRequest, Where
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.records import Build, ClockReport, Conditions, Figure, Record, Result
from tinyprof_protocol.request_reply import RequestFailed
from tinyprof_protocol.requests import AgentView, BoardsReply, BoardsRequest, Failure, StatusReply

NODE = "lab.a1"
BUILD = Build("rp2040", "c", "1", "m", "0" * 64, "Q8_0", "f32", "float32", 256, "device")
BOARDS = [
    BoardSummary(NODE, "host", "healthy", [], 1, platform="host"),
    BoardSummary(NODE, "pico-1", "healthy", [], 1, platform="rp2040", labels=["fast"]),
]


def result(job_id: bytes, tps: float = 5.0) -> Record:
    body = Result(
        bytes(16), "host", BUILD, "quick", [], 1, "valid", [], "match", ClockReport("host"),
        {"decode_tps": Figure(tps)}, [], Conditions(), 1.0, job_id=job_id,
    )  # fmt: skip
    return Record(1, "clock", bytes(16), 1, body)


def boards(request: BoardsRequest):
    kept = [board for board in BOARDS if request.node in (None, board.node)]
    return [BoardsReply(kept, len(kept))]


def finished(request: ProfileRequest):
    job = request.job
    return [
        ProfileReply(job.id, "queued"),
        ProfileReply(job.id, "finished", "", True, result(job.id, float(job.max_tokens or 1)), NODE, job.board),
    ]


def asked(fake) -> list[ProfileRequest]:
    return [request for kind, request in fake.requests if kind == "profile"]


def test_a_job_is_submitted_and_its_result_waited_for(collector, address) -> None:
    fake = collector({"boards": boards, "profile": finished})
    with Fleet(address) as fleet:
        job = fleet.submit("host", prompts=["One day"], max_tokens=7, priority=3, max_age_s=60.0)
        assert job.result(timeout=20).decode_tps.median == 7.0
        assert (job.state, job.done(), job.node, job.board) == ("finished", True, NODE, "host")
    (request,) = asked(fake)
    assert (request.job.prompts, request.job.priority, request.max_age_s, request.where) == (["One day"], 3, 60.0, None)


@pytest.mark.parametrize("kind", [{"platform": "rp2040"}, {"label": "fast"}, {"label": "fast", "site": "lab"}])
def test_a_job_for_any_board_names_its_first_choice(collector, address, kind) -> None:
    fake = collector({"boards": boards, "profile": finished})
    with Fleet(address) as fleet:
        fleet.submit(**kind).result(timeout=20)
    (request,) = asked(fake)
    assert (request.where, request.job.board) == (Where(**kind), "pico-1")


def test_what_is_nowhere_is_said_at_once(collector, address) -> None:
    collector({"boards": boards})
    with Fleet(address) as fleet:
        with pytest.raises(UnknownBoard, match="no board has label 'fats'"):
            fleet.submit(label="fats")
        with pytest.raises(UnknownBoard, match=r"nearest: lab\.a1/pico-1"):
            fleet.submit("pico-11")
        with pytest.raises(ValueError, match="name a board"):
            fleet.submit()
        with pytest.raises(ValueError, match="name a board"):
            fleet.submit("host", label="fast")


def test_hundreds_of_jobs_at_once_need_one_look_for_the_boards_and_no_thread_each(collector, address) -> None:
    fake = collector({"boards": boards, "profile": finished})
    with Fleet(address) as fleet:
        before = threading.active_count()
        with ThreadPoolExecutor(8) as pool:
            jobs = list(pool.map(lambda n: fleet.submit("host", max_tokens=n), range(1, 401)))
        assert [job.result(timeout=60).decode_tps.median for job in jobs] == [float(n) for n in range(1, 401)]
        assert threading.active_count() <= before + 1
    assert len({request.job.id for request in asked(fake)}) == 400
    assert sum(kind == "boards" for kind, _ in fake.requests) <= 2


def test_a_job_that_has_no_end_in_time_says_how_it_is(collector, address) -> None:
    waiting = {"boards": boards, "profile": lambda r: [ProfileReply(r.job.id, "queued", "its agent is offline")]}
    collector(waiting)
    with Fleet(address) as fleet:
        job = fleet.submit("host")
        with pytest.raises(JobTimeout, match=r"has not ended in 1 s \(queued: its agent is offline\)") as caught:
            job.result(timeout=1)
    assert isinstance(caught.value, TimeoutError)


def test_a_job_that_ended_without_a_result_says_how(collector, address) -> None:
    collector({"boards": boards, "profile": lambda r: [ProfileReply(r.job.id, "refused", "no suite", True)]})
    with Fleet(address) as fleet, pytest.raises(JobFailed, match="was refused: no suite") as caught:
        fleet.submit("host").result(timeout=20)
    assert caught.value.state == "refused"


def test_a_collector_that_says_no_is_an_exception_with_its_code(collector, address) -> None:
    collector({"boards": boards, "profile": lambda _: [Failure("too_long", "its prompts are too long")]})
    with Fleet(address) as fleet, pytest.raises(RequestFailed, match="too long") as caught:
        fleet.submit("host").result(timeout=20)
    assert caught.value.code == "too_long"


@pytest.mark.parametrize("code", ["busy", "not_kept", "store_failed"])
def test_a_collector_that_is_busy_or_whose_store_is_away_is_asked_again(collector, address, code) -> None:
    answers = iter([[Failure(code, "ask again later")]])
    fake = collector({"boards": boards, "profile": lambda r: next(answers, None) or finished(r)})
    with Fleet(address) as fleet:
        assert fleet.submit("host").result(timeout=20).verdict == "valid"
    first, second = asked(fake)
    assert (first.job, first.repeated, second.repeated) == (second.job, False, True)


def test_a_collector_that_started_anew_is_asked_again_at_once(collector, address) -> None:
    """It knows of no client any more: without the question the answer would never come."""
    silent = collector({"boards": boards, "profile": lambda r: [ProfileReply(r.job.id, "queued")]})
    with Fleet(address) as fleet:
        job = fleet.submit("host")
        assert not job.wait(0.1)
        silent.answers["profile"] = finished
        silent.started_ns += 1
        silent.connection.publish(silent.status("online"))
        assert job.result(timeout=4.0).verdict == "valid"


def test_cancelling_asks_for_the_end_and_waiting_sees_it(collector, address) -> None:
    def answer(request: ProfileRequest):
        cancelled = request.job.cancel
        return [ProfileReply(request.job.id, "cancelled" if cancelled else "started", final=cancelled)]

    collector({"boards": boards, "profile": answer})
    with Fleet(address) as fleet:
        job = fleet.submit("host")
        job.cancel()
        assert job.wait(20)
        assert job.state == "cancelled"
        job.cancel()


def test_a_job_is_found_again_by_its_id(collector, address) -> None:
    job = Job(b"j" * 16, NODE, "host", 5)

    def listed(request: JobsRequest):
        return [JobsReply([JobView(job, "finished")] if request.ids == [job.id] else [], 1)]

    fake = collector({"boards": boards, "profile": finished, "jobs": listed})
    with Fleet(address) as fleet:
        assert fleet.job(job.id.hex()).result(timeout=20).verdict == "valid"
        with pytest.raises(FleetError, match="no collector knows a job"):
            fleet.job("00" * 16)
        with pytest.raises(FleetError, match="is no job's id"):
            fleet.job("abc")
    assert [request.repeated for request in asked(fake)] == [True]


def test_a_collector_that_is_silent_hides_no_job_of_another_and_keeps_none_from_being_cancelled(
    collector, address
) -> None:
    job = Job(b"j" * 16, NODE, "host", 5)

    def answer(request: JobsRequest):
        known = request.ids in ([], [job.id])
        return [JobsReply([JobView(job, "finished")] if known else [], int(known), int(request.action == "cancel"))]

    collector({"jobs": lambda _: []}, name="frozen", partitions=[0])
    rest = [n for n in range(16) if n]
    collector({"boards": boards, "profile": finished, "jobs": answer}, name="well", partitions=rest)
    with Fleet(address, timeout_s=1.0) as fleet:
        assert fleet.job(job.id.hex()).result(timeout=20).verdict == "valid"
        listed = fleet.jobs()
        assert [view.job.id for view in listed.jobs] == [job.id]
        assert listed.gaps == ["collector frozen is silent"]
        with pytest.raises(FleetError, match=r"no collector that answers knows a job .* silent: frozen"):
            fleet.job("00" * 16)
        with pytest.raises(FleetError, match="1 job cancelled; no answer from frozen"):
            fleet.cancel_jobs([job.id.hex()])


def test_jobs_are_listed_in_pages_and_cancelled(collector, address) -> None:
    views = [JobView(Job(n.to_bytes(16), NODE, "host", 5), "queued") for n in range(450)]

    def answer(request: JobsRequest):
        if request.action == "cancel":
            return [JobsReply([], 2, 2)]
        return [JobsReply(views[request.offset : request.offset + request.limit], len(views))]

    fake = collector({"boards": boards, "jobs": answer})
    with Fleet(address) as fleet:
        assert fleet.jobs().jobs == views
        assert len(fleet.jobs(limit=10).jobs) == 10
        with pytest.raises(BadArgument, match="limit 0 is out of range"):
            fleet.jobs(limit=0)
        assert fleet.cancel_jobs(["00" * 16, "11" * 16]) == 2
        assert fleet.cancel_jobs(board="host") == 2
        with pytest.raises(ValueError, match="name jobs"):
            fleet.cancel_jobs()
    assert [r.board for kind, r in fake.requests if kind == "jobs" and r.action == "cancel"] == [None, "host"]


def test_leaving_tells_whoever_waits_that_the_job_goes_on(collector, address) -> None:
    collector({"boards": boards, "profile": lambda r: [ProfileReply(r.job.id, "started")]})
    with Fleet(address) as fleet:
        job = fleet.submit("host")
    with pytest.raises(FleetError, match="it goes on: ask for it by its id"):
        job.result(timeout=5)
    with pytest.raises(FleetError):
        fleet.submit("host")


def submit_until(fleet: Fleet, end_s: float) -> None:
    while time.monotonic() < end_s:
        fleet.submit("host")


def test_without_a_collector_a_submit_says_so_after_two_seconds(collector, address) -> None:
    gone = collector({"boards": boards}, name="gone")
    with Fleet(address) as fleet:
        fleet.find("host")
        gone.__exit__()
        began = time.monotonic()
        with pytest.raises(NoCollector, match="tinyprof collector run"):
            submit_until(fleet, began + 20)


def status(health: str, agent: str, counters: dict[str, int]) -> StatusReply:
    view = AgentView(AgentStatus(NODE, "online"), agent, ["its clock is off"] if agent != "healthy" else [], 1)
    return StatusReply(
        CollectorStatus("main", "online", health=health, reasons=[], counters=counters), [view], {"healthy": 2}
    )


@pytest.mark.parametrize(
    ("collectors", "agents", "word"),
    [("healthy", "healthy", "healthy"), ("healthy", "stale", "warning"), ("warning", "healthy", "warning"),
     ("healthy", "offline", "critical"), ("critical", "healthy", "critical")],
)  # fmt: skip
def test_the_fleets_health_is_one_of_three_words_with_reasons(collector, address, collectors, agents, word) -> None:
    collector({"status": lambda _: [status(collectors, agents, {})]})
    with Fleet(address) as fleet:
        health = fleet.health()
    assert health["status"] == word
    assert (health["boards"], health["agents"], health["collectors"]) == (
        {"healthy": 2},
        {agents: 1},
        {"main": collectors},
    )
    assert health["reasons"] == ([] if agents == "healthy" else [f"agent {NODE}: its clock is off"])


def test_a_fleet_of_which_a_part_is_silent_is_critical(collector, address) -> None:
    collector({"status": lambda _: [status("healthy", "healthy", {})]}, partitions=[0])
    with Fleet(address) as fleet:
        assert fleet.health()["status"] == "critical"


def test_stats_are_sums_with_the_caches_hit_rate(collector, address) -> None:
    for name, partitions in (("one", range(8)), ("two", range(8, 16))):
        counters = {"cache_hits": 3, "cache_misses": 1, "jobs_finished": 2}
        answer = {"status": lambda _, counters=counters: [status("healthy", "healthy", counters)]}
        collector(answer, name=name, partitions=list(partitions))
    with Fleet(address) as fleet:
        stats = fleet.stats()
    assert (stats["cache_hit_rate"], stats["jobs_finished"], stats["boards"], stats["agents"]) == (0.75, 4, 4, 2)


# ---- several collectors


def test_that_no_such_board_is_known_is_believed_after_a_moment_only(collector, address) -> None:
    """A collector that has just started has not heard of all its boards."""
    answers = iter([[Failure("unknown_board", "not heard of")]] * 2)
    fake = collector({"boards": boards, "profile": lambda r: next(answers, None) or finished(r)})
    with Fleet(address) as fleet:
        assert fleet.submit("host").result(timeout=20).verdict == "valid"
    assert len(asked(fake)) == 3
    fake.answers["profile"] = lambda _: [Failure("unknown_board", "not heard of")]
    with Fleet(address) as fleet:
        before = time.monotonic()
        with pytest.raises(RequestFailed, match="not heard of"):
            fleet.submit("host").result(timeout=20)
        assert time.monotonic() - before >= BELIEVED_AFTER_S


def test_a_job_of_any_board_is_asked_for_where_it_has_gone(collector, address) -> None:
    """The other collector has taken it for a board of its own."""
    other = "lab.bench"
    near = [n for n in range(16) if n != partition_of(other)]
    moved = lambda r: [ProfileReply(r.job.id, "queued", "it is there", node=other, board="b2")]  # noqa: E731
    one = collector({"boards": boards, "profile": moved}, name="one", partitions=near)
    done = lambda r: [ProfileReply(r.job.id, "finished", "", True, result(r.job.id), other, "b2")]  # noqa: E731
    two = collector({"boards": lambda _: [BoardsReply([], 0)], "profile": done}, name="two", partitions=[9])
    assert partition_of(other) == 9
    with Fleet(address) as fleet:
        job = fleet.submit(label="fast")
        assert job.result(timeout=4.0).verdict == "valid"
        assert (job.node, job.board) == (other, "b2")
    assert [request.repeated for request in asked(one)] == [False]
    assert [(request.repeated, request.where) for request in asked(two)] == [(True, Where(label="fast"))]


def test_where_the_collector_that_was_asked_is_gone_any_other_knows_where_the_job_is(collector, address) -> None:
    near = [n for n in range(16) if n != 9]
    one = collector(
        {"boards": boards, "profile": lambda r: [ProfileReply(r.job.id, "queued")]}, name="one", partitions=near
    )
    two = collector({"boards": lambda _: [BoardsReply([], 0)]}, name="two", partitions=[9])
    two.answers["profile"] = lambda r: [
        ProfileReply(r.job.id, "finished", "", True, result(r.job.id), "lab.bench", "b")
    ]
    with Fleet(address) as fleet:
        job, named = fleet.submit(label="fast"), fleet.submit("host")
        one.connection.publish(one.status("offline"))
        assert job.result(timeout=20).verdict == "valid"
        assert not named.done()
    assert [request.job.id.hex() for request in asked(two)] == [job.id]


def test_a_job_that_has_just_been_taken_is_listed_once_as_who_took_it_sees_it(collector, address) -> None:
    def listed(state: str, board: str):
        return lambda _: [JobsReply([JobView(Job(b"j" * 16, NODE, board, 5), state)], 1)]

    collector({"jobs": listed("queued", "near")}, name="one", partitions=list(range(8)))
    collector({"jobs": listed("started", "far")}, name="two", partitions=list(range(8, 16)))
    with Fleet(address) as fleet:
        assert [(view.state, view.job.board) for view in fleet.jobs().jobs] == [("started", "far")]


def test_what_a_job_waited_for_is_not_said_of_one_that_has_ended() -> None:
    job = FleetJob(ProfileRequest(Job(bytes(16), NODE, "host", 1)), lambda _: None)
    job.waits_for("no live collector takes it now")
    assert job.message == "no live collector takes it now"
    job.note(ProfileReply(bytes(16), "refused", "the board is gone", final=True))
    job.waits_for("the client library is full")
    assert (job.state, job.message) == ("refused", "the board is gone")
