"""`tinyprof cache` and what `profile` and `status` say of it, against a collector of the test's own."""

import json
import threading

import pytest
from click.testing import CliRunner
from msgspec import structs

from tinyprof.board_names import BoardRef
from tinyprof.cache_warming import choose, kind_of, warm
from tinyprof.cli import tinyprof
from tinyprof.fleet import Fleet
from tinyprof_protocol.jobs import CachedFrom, ProfileReply, ProfileRequest
from tinyprof_protocol.presence import BoardSummary, CollectorStatus
from tinyprof_protocol.records import Build, ClockReport, Conditions, Record, Result
from tinyprof_protocol.requests import (
    BoardsReply,
    CacheItem,
    CacheReply,
    CacheRequest,
    CacheStats,
    LedgerReply,
    StatusReply,
)

NODE = "lab.a1"
S = 10**9
NOW_NS = 1_800_000_000 * S
BUILD = Build("rp2040", "c", "1", "tiny", "0" * 64, "Q8_0", "f32", "float32", 256, "device")
CACHED = CachedFrom(NODE, "pico-1", NOW_NS, 75.0, "valid")
STATS = CacheStats(2, 1000, 3600.0, hits=3, misses=1, joined=4, inserted=5, evicted=6, expired=7)


def board(name: str, platform: str = "rp2040", node: str = NODE, **more: object) -> BoardSummary:
    given = {"health": "healthy", "model": "tiny", "quantisation": "Q8_0", **more}
    return BoardSummary(node, name, reasons=[], time_ns=1, platform=platform, **given)  # type: ignore[arg-type]


def record(name: str, verdict: str, time_ns: int = NOW_NS) -> Record:
    result = Result(
        bytes(16), name, BUILD, "quick", ["One day"], 24, verdict, ["noisy"], "match", ClockReport("host"), {}, [],
        Conditions(), 1.0,
    )  # fmt: skip  # type: ignore[arg-type]
    return Record(time_ns, "clock", bytes(16), 1, result)


def boards_of(*boards: BoardSummary):
    return lambda asked: [
        BoardsReply([one for one in boards if asked.node in (None, one.node)][asked.offset :], len(boards))
    ]


def call(broker, *arguments: str):
    return CliRunner().invoke(tinyprof, [*arguments, "--broker", broker.url])


def test_stats_show_the_hit_rate_and_every_count(collector, broker) -> None:
    collector({"cache": lambda asked: [CacheReply(STATS, total=2)]})
    shown = call(broker, "cache", "stats")
    assert shown.exit_code == 0
    head, row = shown.stdout.splitlines()
    words = "collector entries size ttl hit rate hits misses joined inserted evicted expired"
    assert head.split() == words.split()
    assert row.split() == ["main", "2", "1,000", "3600", "s", "75%", "3", "1", "4", "5", "6", "7"]
    as_json = json.loads(call(broker, "cache", "stats", "--json").stdout)
    assert as_json["collectors"]["main"]["hits"] == 3


def test_a_list_is_asked_for_and_shown_with_board_age_and_verdict(collector, broker) -> None:
    items = [CacheItem(CACHED, "rp2040", "tiny", "quick", "One day", 4, 9)]
    fake = collector({"cache": lambda asked: [CacheReply(STATS, items, 2)]})
    shown = call(broker, "cache", "list", "--limit", "7")
    assert fake.requests[-1][1] == CacheRequest("list", 0, 7)
    row = shown.stdout.splitlines()[1]
    assert all(word in row for word in ("lab.a1/pico-1", "rp2040", "75 s", "valid", "One day and 3 more"))
    assert "2 in the cache" in shown.stderr


def test_clear_says_how_much_went(collector, broker) -> None:
    fake = collector({"cache": lambda asked: [CacheReply(structs.replace(STATS, entries=0), cleared=2)]})
    assert call(broker, "cache", "clear").stdout == "2 taken out\n"
    assert fake.requests[-1][1].action == "clear"


def test_status_has_a_line_on_the_cache(collector, broker) -> None:
    counters = {"cache_hits": 3, "cache_misses": 1, "cache_entries": 2, "cache_evictions": 6, "cache_expired": 7}
    status = CollectorStatus("main", "online", counters={**counters, "jobs_joined": 4})
    collector({"status": lambda _: [StatusReply(status, [], {})], "ledger": lambda _: [LedgerReply([], True)]})
    shown = call(broker, "status").stdout
    assert "cache of main: answered 75% of 4 requests, 4 joined; 2 entries, 6 evicted, 7 expired" in shown


@pytest.mark.parametrize(
    ("arguments", "use_cache", "max_age_s"),
    [([], True, None), (["--no-cache"], False, None), (["--max-age", "1h"], True, 3600.0)],
)
def test_profile_asks_through_the_cache_or_past_it(collector, broker, arguments, use_cache, max_age_s) -> None:
    def answer(asked: ProfileRequest):
        return [ProfileReply(asked.job.id, "finished", "", True, record("pico-1", "valid"), NODE, "pico-1", CACHED)]

    fake = collector({"boards": boards_of(board("pico-1")), "profile": answer})
    shown = call(broker, "profile", "pico-1", *arguments)
    asked = next(request for kind, request in fake.requests if kind == "profile")
    assert (asked.use_cache, asked.max_age_s, asked.repeated) == (use_cache, max_age_s, False)
    assert shown.stdout.startswith("from the cache: a valid run of lab.a1/pico-1, 75 s ago (")
    assert "VALID" in shown.stdout
    as_json = json.loads(call(broker, "profile", "pico-1", *arguments, "--json").stdout)
    assert as_json["cached"]["board"] == "pico-1"


def test_options_of_the_cache_have_no_effect_without_a_fleet() -> None:
    refused = CliRunner().invoke(tinyprof, ["profile", "--model", "stories260k-q4_0", "--no-cache"])
    assert refused.exit_code == 2
    assert "--no-cache has an effect with a BOARD of the fleet only" in refused.stderr


def test_one_board_of_each_kind_is_chosen_the_healthiest() -> None:
    boards = [
        board("a", health="critical"),
        board("b"),
        board("c"),
        board("d", "esp32"),
        board("e", model="other"),
        board("f", "host"),
        board("f", "host", node="lab.a2"),
        board("g", "netduinoplus2", emulated=True),
        board("g", "netduinoplus2", node="lab.a2", emulated=True),
        board("h", "stm32f405", health="offline"),
        board("i", "stm32f746", state="disabled"),
        board("j", ""),
    ]
    chosen, left_out = choose(boards)
    assert [str(one) for one in chosen] == [
        "lab.a1/b", "lab.a1/d", "lab.a1/e", "lab.a1/f", "lab.a1/g", "lab.a2/f",
    ]  # fmt: skip
    assert [(one.board.board, one.message.split(": ")[1]) for one in left_out] == [
        ("h", "it is offline"), ("i", "it is disabled"), ("j", "what runs on it is not known"),
    ]  # fmt: skip
    assert len({kind_of(one) for one in boards if one.platform and one.health != "offline"}) == 7


def warming(collector, *, held: bool = True):
    """A collector that knows of `known`, runs `runs` and `noisy`, and refuses or breaks the others."""

    def answer(asked: ProfileRequest):
        job = asked.job
        if job.board == "known":
            return [ProfileReply(job.id, "finished", "", True, record("known", "valid"), NODE, "known", CACHED)]
        ends = {"runs": "valid", "noisy": "unstable", "wrong": "invalid"}
        if job.board in ends:
            found = record(job.board, ends[job.board], NOW_NS + ord(job.board[0]))
            return [ProfileReply(job.id, "started"), ProfileReply(job.id, "finished", "", True, found)]
        return [ProfileReply(job.id, "refused", "no suite is called 'night'", True)]

    def cache(asked: CacheRequest):
        kept = CachedFrom(NODE, "runs", NOW_NS + ord("r"), 1.0, "valid")
        items = [CacheItem(kept, "rp2040", "tiny", "quick")] if held and asked.offset == 0 else []
        return [CacheReply(STATS, items, len(items))]

    names = ["known", "runs", "noisy", "wrong", "picky"]
    boards = [board(name, "rp2040", model=name) for name in names]
    return collector({"boards": boards_of(*boards), "profile": answer, "cache": cache})


def test_warming_says_of_each_board_what_was_known_what_ran_and_what_failed(collector, broker) -> None:
    fake = warming(collector)
    shown = call(broker, "cache", "warm", "night")
    assert shown.exit_code == 1
    assert shown.stdout.splitlines()[0].split() == ["board", "outcome", "verdict", "note"]
    lines = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.stdout.splitlines()[1:]}
    assert lines["lab.a1/known"] == "known valid 75 s ago on lab.a1/pico-1"
    assert lines["lab.a1/runs"] == "ran valid"
    assert lines["lab.a1/noisy"].startswith("ran unstable not kept: ")
    assert lines["lab.a1/wrong"] == "failed invalid the run was invalid: noisy"
    assert lines["lab.a1/picky"] == "failed - the run was refused: no suite is called 'night'"
    assert "night: 1 known, 2 ran, 2 failed" in shown.stderr
    asked = [request for kind, request in fake.requests if kind == "profile"]
    assert {request.job.suite for request in asked} == {"night"}
    assert all(request.use_cache for request in asked)


def test_boards_may_be_named_and_the_rest_is_left_alone(collector, broker) -> None:
    fake = warming(collector)
    shown = call(broker, "cache", "warm", "quick", "--boards", "known,lab.a1/runs", "--json")
    assert shown.exit_code == 0
    found = json.loads(shown.stdout)
    assert [(one["board"], one["outcome"], one["kept"]) for one in found["boards"]] == [
        ("known", "known", None), ("runs", "ran", True),
    ]  # fmt: skip
    assert {request.job.board for kind, request in fake.requests if kind == "profile"} == {"known", "runs"}


def test_a_fleet_without_a_board_is_a_failed_check(collector, broker) -> None:
    collector({"boards": boards_of()})
    shown = call(broker, "cache", "warm", "quick")
    assert shown.exit_code == 1
    assert "no agent has announced any board yet" in shown.stderr


def test_an_interrupt_cancels_the_runs_that_are_under_way(collector, address) -> None:
    started = threading.Barrier(3)

    def answer(asked: ProfileRequest):
        state = "cancelled" if asked.job.cancel else "started"
        return [ProfileReply(asked.job.id, state, "", asked.job.cancel)]

    fake = collector({"boards": boards_of(board("one"), board("two")), "profile": answer})

    def progressed(_: BoardRef, what: str) -> None:
        if what == "started":
            started.wait(20)

    class Interrupted(Exception):
        pass

    def interrupting():
        yield BoardRef(NODE, "one")
        yield BoardRef(NODE, "two")
        started.wait(20)
        raise Interrupted

    with Fleet(address) as fleet, pytest.raises(Interrupted):
        warm(fleet, interrupting(), "quick", at_once=2, within_s=60.0, on_progress=progressed, on_end=lambda _: None)  # type: ignore[arg-type]
    cancelled = {request.job.board for kind, request in fake.requests if kind == "profile" and request.job.cancel}
    assert cancelled == {"one", "two"}
