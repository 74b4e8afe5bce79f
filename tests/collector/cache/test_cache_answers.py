"""What the cache answers and what it does not: each rule of the contract."""

import itertools
import threading

import pytest
from msgspec import structs

from tinyprof_collector.cache.cache import Cache, Rows
from tinyprof_collector.config import CacheConfig
from tinyprof_protocol.codec import decode, encode, unpack
from tinyprof_protocol.jobs import CachedFrom, ProfileReply, Where
from tinyprof_protocol.records import Record
from tinyprof_protocol.requests import CacheRequest

NOW_NS = 1_800_000_000 * 10**9
S = 10**9
NODE = "lab.pi"
TTL_S = 100.0


class CacheOf(Cache):
    """A cache that is always asked with the agents of one fleet."""

    def __init__(self, fleet, backing, config: CacheConfig) -> None:
        super().__init__(config, 3.0, backing)
        self.agents = fleet.presence.agents

    def take(self, arrivals, now_ns):
        super().take(arrivals, self.agents, now_ns)

    def answer(self, request, now_ns):
        return super().answer(request, self.agents, now_ns)


def cache_for(fleet, backing=None, **config: object) -> CacheOf:
    return CacheOf(fleet, backing, CacheConfig(**{"size": 10, "ttl": TTL_S, **config}))


def counted(cache: Cache, *names: str) -> tuple[int, ...]:
    counters = cache.counters()
    return tuple(counters[f"cache_{name}"] for name in names)


@pytest.fixture
def filled(fleet):
    """A cache with one valid run of the board that its agent lists."""
    fleet.says(fleet.board())
    cache = cache_for(fleet)
    cache.take([fleet.run()], NOW_NS)
    return cache


def test_an_answer_is_a_final_reply_that_names_board_time_age_and_verdict(fleet, filled):
    arrival = fleet.run(at_ns=NOW_NS - 5 * S)
    cache = cache_for(fleet)
    cache.take([arrival], NOW_NS)
    answer = cache.answer(fleet.request(number=7), NOW_NS + 7 * S)
    reply = decode(encode(answer), ProfileReply)
    assert (reply.job_id, reply.state, reply.final) == ((7).to_bytes(16), "finished", True)
    assert reply.result == arrival.record
    assert reply.cached == CachedFrom(NODE, "one", NOW_NS - 5 * S, 12.0, "valid")
    assert (reply.node, reply.board) == (NODE, "one")
    assert reply.message == "from the cache: a run of lab.pi/one, 12 s ago"
    assert reply.joined is None


def test_hits_and_misses_are_counted_where_they_happen(fleet, filled):
    assert filled.answer(fleet.request(), NOW_NS) is not None
    assert filled.answer(fleet.request(max_tokens=3), NOW_NS) is None
    assert filled.answer(fleet.request(use_cache=False), NOW_NS) is None
    assert counted(filled, "hits", "misses", "entries") == (1, 1, 1)


@pytest.mark.parametrize(
    "asked",
    [
        {"use_cache": False},
        {"cancel": True},
        {"deadline_ns": NOW_NS},
        {"prompts": ["Two days"]},
        {"max_tokens": 25},
        {"repetitions": 50},
        {"suite": "soak"},
        {"board": "two"},
        {"node": "lab.other"},
        {"max_age_s": 0.5},
        {"where": Where(platform="esp32")},
        {"where": Where(label="bench")},
    ],
)
def test_what_the_cache_does_not_answer(fleet, filled, asked):
    assert filled.answer(fleet.request(**asked), NOW_NS + S) is None


def test_young_enough_for_the_client_is_young_enough(fleet, filled):
    assert filled.answer(fleet.request(max_age_s=1.1), NOW_NS + S) is not None
    assert filled.answer(fleet.request(max_age_s=1e9), NOW_NS + int(TTL_S + 1) * S) is None


def test_a_result_answers_until_its_ttl_has_passed_and_is_counted_as_expired(fleet, filled):
    last_ns = NOW_NS + int(TTL_S) * S
    fleet.says(fleet.board(), at_ns=last_ns)
    assert filled.answer(fleet.request(), last_ns) is not None
    assert filled.answer(fleet.request(), last_ns + 1) is None
    assert counted(filled, "entries", "expired", "evictions") == (0, 1, 0)


def test_new_firmware_leaves_the_old_result_behind_and_the_old_firmware_finds_it_again(fleet, filled):
    new = structs.replace(fleet.run().record.body.build, firmware_build="b2")
    fleet.says(fleet.board(build=new))
    assert filled.answer(fleet.request(), NOW_NS) is None
    filled.take([fleet.run(build=new)], NOW_NS)
    assert filled.answer(fleet.request(), NOW_NS) is not None
    fleet.says(fleet.board())
    assert filled.answer(fleet.request(), NOW_NS) is not None
    assert counted(filled, "entries") == (2,)


def test_a_board_that_its_agent_cannot_vouch_for_is_not_answered_for(fleet, filled):
    fleet.says(structs.replace(fleet.board(), build="", clock_mode=""))
    assert filled.answer(fleet.request(), NOW_NS) is None


def test_an_agent_that_is_away_cannot_say_what_its_boards_run(fleet, filled):
    assert filled.answer(fleet.request(), NOW_NS + 29 * S) is not None
    assert filled.answer(fleet.request(), NOW_NS + 31 * S) is None
    fleet.says(state="offline")
    assert filled.answer(fleet.request(), NOW_NS) is None


@pytest.mark.parametrize(
    ("accept", "verdict", "enters"),
    [
        ("valid", "valid", True),
        ("valid", "unstable", False),
        ("valid", "invalid", False),
        ("unstable", "valid", True),
        ("unstable", "unstable", True),
        ("unstable", "invalid", False),
    ],
)
def test_only_what_is_good_enough_enters_and_the_answer_says_how_good_it_is(fleet, accept, verdict, enters):
    fleet.says(fleet.board())
    cache = cache_for(fleet, accept=accept)
    cache.take([fleet.run(verdict=verdict)], NOW_NS)
    answer = cache.answer(fleet.request(), NOW_NS)
    assert (answer is not None) == enters
    assert answer is None or answer.cached.verdict == verdict


def test_a_noisy_run_takes_no_better_ones_place_while_that_one_lasts(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet, accept="unstable")
    cache.take([fleet.run(), fleet.run(verdict="unstable", at_ns=NOW_NS + S)], NOW_NS + S)
    assert cache.answer(fleet.request(), NOW_NS + S).cached.verdict == "valid"
    late_ns = NOW_NS + int(TTL_S + 2) * S
    fleet.says(fleet.board(), at_ns=late_ns)
    cache.take([fleet.run(verdict="unstable", at_ns=late_ns)], late_ns)
    assert cache.answer(fleet.request(), late_ns).cached.verdict == "unstable"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_whatever_comes_first_the_best_verdict_and_then_the_youngest_run_answers(fleet, order, together):
    fleet.says(fleet.board())
    cache = cache_for(fleet, accept="unstable")
    runs = [
        fleet.run(at_ns=NOW_NS - 9 * S),
        fleet.run(at_ns=NOW_NS - 8 * S),
        fleet.run(at_ns=NOW_NS - 7 * S, verdict="unstable"),
        fleet.run(at_ns=NOW_NS - 6 * S, verdict="invalid"),
    ]
    arriving = [runs[number] for number in order]
    for part in [arriving] if together else [[one] for one in arriving]:
        cache.take(part, NOW_NS)
    cached = cache.answer(fleet.request(), NOW_NS).cached
    assert (cached.verdict, cached.time_ns) == ("valid", NOW_NS - 8 * S)


def test_an_older_run_that_comes_late_takes_no_younger_ones_place(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet)
    cache.take([fleet.run(at_ns=NOW_NS), fleet.run(at_ns=NOW_NS - 50 * S)], NOW_NS)
    assert cache.answer(fleet.request(), NOW_NS).cached.time_ns == NOW_NS


def test_a_backlog_that_is_too_old_does_not_enter(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet)
    cache.take([fleet.run(at_ns=NOW_NS - int(TTL_S + 1) * S)], NOW_NS)
    assert counted(cache, "entries") == (0,)


def test_a_run_ages_by_the_collectors_clock(fleet):
    fleet.says(fleet.board())
    fleet.presence.agents[NODE].skew_ms = -3_600_000.0
    cache = cache_for(fleet)
    cache.take([fleet.run(at_ns=NOW_NS - 3600 * S)], NOW_NS)
    assert cache.answer(fleet.request(), NOW_NS + 2 * S).cached.age_s == 2.0
    ahead = cache_for(fleet)
    fleet.presence.agents[NODE].skew_ms = None
    ahead.take([fleet.run(at_ns=NOW_NS + 3600 * S)], NOW_NS)
    assert ahead.answer(fleet.request(), NOW_NS + 2 * S).cached.age_s == 2.0


def test_boards_of_one_build_answer_for_each_other_and_the_answer_says_which_it_was(fleet):
    fleet.says(fleet.board("one"), fleet.board("two"))
    cache = cache_for(fleet)
    cache.take([fleet.run(board="two")], NOW_NS)
    assert cache.answer(fleet.request(board="one"), NOW_NS).board == "two"


def test_where_any_board_would_do_the_youngest_run_answers(fleet):
    other = structs.replace(fleet.run().record.body.build, platform="stm32f405")
    fleet.says(fleet.board("one"), node="lab.a")
    fleet.says(fleet.board("two", other, labels=["bench"]), node="yard.b")
    cache = cache_for(fleet)
    runs = [
        fleet.run(node="lab.a", at_ns=NOW_NS - 9 * S),
        fleet.run(build=other, board="two", node="yard.b", at_ns=NOW_NS - 5 * S),
    ]
    cache.take(runs, NOW_NS)

    def board_of(where: Where) -> str | None:
        answer = cache.answer(fleet.request(node="lab.a", where=where), NOW_NS)
        return answer and answer.board

    assert board_of(Where()) == "two"
    assert board_of(Where(site="lab")) == "one"
    assert board_of(Where(platform="rp2040")) == "one"
    assert board_of(Where(label="bench")) == "two"
    assert board_of(Where(node="yard.b", board="two")) == "two"
    assert board_of(Where(node="yard.b", board="one")) is None


def test_what_is_listed_is_newest_first_and_in_pages(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet)
    tokens = [3, 4, 5]
    cache.take([fleet.run(fleet.job(max_tokens=n, prompts=["a\nb"]), at_ns=NOW_NS - n * S) for n in tokens], NOW_NS)
    cache.answer(fleet.request(max_tokens=4, prompts=["a\nb"]), NOW_NS)
    listed = cache.reply(CacheRequest("list", 0, 2), 6, NOW_NS)
    assert [item.cached.age_s for item in listed.items] == [3.0, 4.0]
    assert [item.hits for item in listed.items] == [0, 1]
    assert listed.items[0].prompt == "a b"
    assert (listed.total, listed.stats.entries, listed.stats.size, listed.stats.joined) == (3, 3, 10, 6)
    assert (listed.stats.hits, listed.stats.inserted, listed.stats.ttl_s) == (1, 3, TTL_S)
    assert [item.cached.age_s for item in cache.reply(CacheRequest("list", 2, 2), 0, NOW_NS).items] == [5.0]
    assert cache.reply(CacheRequest("stats"), 0, NOW_NS).items == []


def test_clear_empties_it_and_says_how_much_that_was(fleet, filled):
    cleared = filled.reply(CacheRequest("clear"), 0, NOW_NS)
    assert (cleared.cleared, cleared.total, cleared.stats.entries) == (1, 0, 0)
    assert filled.answer(fleet.request(), NOW_NS) is None


def test_the_least_recently_used_goes_first(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet, size=2)
    cache.take([fleet.run(fleet.job(max_tokens=n)) for n in (1, 2)], NOW_NS)
    assert cache.answer(fleet.request(max_tokens=1), NOW_NS) is not None
    cache.take([fleet.run(fleet.job(max_tokens=3))], NOW_NS)
    answered = [cache.answer(fleet.request(max_tokens=n), NOW_NS) is not None for n in (1, 2, 3)]
    assert answered == [True, False, True]
    assert counted(cache, "evictions", "entries") == (1, 2)


def test_results_of_agents_that_do_not_tell_the_terms_of_their_suites_do_not_enter(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet)
    cache.take([fleet.run(suite_terms="")], NOW_NS)
    assert counted(cache, "entries") == (0,)


class Kept:
    """A backing that keeps what it is told, and can be made to fail."""

    def __init__(self) -> None:
        self.rows: dict[bytes, object] = {}
        self.failing = False
        self.told = 0

    def load(self) -> Rows:
        return list(self.rows.items())  # type: ignore[arg-type]

    def keep(self, rows: Rows, gone: list[bytes], *, everything: bool) -> bool:
        self.told += 1
        if self.failing:
            return False
        self.rows = {} if everything else {key: held for key, held in self.rows.items() if key not in gone}
        for key, held in rows:
            self.rows.pop(key, None)
            self.rows[key] = held
        return True

    def news(self) -> Rows:
        return []

    def close(self) -> None:
        self.rows = dict(self.rows)


def test_what_was_kept_is_there_after_a_restart_in_the_order_of_its_use(fleet):
    fleet.says(fleet.board())
    kept = Kept()
    cache = cache_for(fleet, kept, size=2)
    cache.take([fleet.run(fleet.job(max_tokens=n)) for n in (1, 2)], NOW_NS)
    cache.answer(fleet.request(max_tokens=1), NOW_NS)
    cache.keep(NOW_NS)
    again = cache_for(fleet, kept, size=2)
    again.restore(NOW_NS)
    again.take([fleet.run(fleet.job(max_tokens=3))], NOW_NS)
    answered = [again.answer(fleet.request(max_tokens=n), NOW_NS) is not None for n in (1, 2, 3)]
    assert answered == [True, False, True]
    again.keep(NOW_NS)
    assert len(kept.rows) == 2


def test_what_could_not_be_kept_is_kept_with_the_next_change(fleet):
    fleet.says(fleet.board())
    kept = Kept()
    cache = cache_for(fleet, kept)
    kept.failing = True
    cache.take([fleet.run(fleet.job(max_tokens=1))], NOW_NS)
    cache.keep(NOW_NS)
    kept.failing = False
    cache.keep(NOW_NS)
    assert len(kept.rows) == 1
    told = kept.told
    cache.keep(NOW_NS)
    assert kept.told == told


def test_cleared_and_expired_entries_do_not_come_back(fleet, filled):
    kept = Kept()
    cache = cache_for(fleet, kept)
    cache.take([fleet.run()], NOW_NS)
    cache.keep(NOW_NS)
    cache.keep(NOW_NS + int(TTL_S + 20) * S)
    assert kept.rows == {}
    cache.take([fleet.run(at_ns=NOW_NS + 200 * S)], NOW_NS + 200 * S)
    cache.keep(NOW_NS + 200 * S)
    assert len(kept.rows) == 1
    cache.reply(CacheRequest("clear"), 0, NOW_NS + 200 * S)
    cache.keep(NOW_NS + 200 * S)
    assert kept.rows == {}


def test_many_threads_may_ask_while_results_come(fleet):
    fleet.says(fleet.board())
    cache = cache_for(fleet, size=5)
    wrong: list[object] = []

    def ask() -> None:
        for n in range(300):
            answer = cache.answer(fleet.request(max_tokens=n % 8 + 1), NOW_NS)
            if answer is not None and unpack(bytes(answer.result), Record).body.max_tokens != n % 8 + 1:
                wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(300):
        cache.take([fleet.run(fleet.job(max_tokens=n % 8 + 1))], NOW_NS)
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(counted(cache, "hits", "misses")) == 1200
    assert counted(cache, "entries") == (5,)


@pytest.mark.parametrize("set_back_s", [0, 3600])
def test_who_wants_nothing_from_before_gets_nothing_whatever_the_clock(filled, fleet, set_back_s):
    assert filled.answer(fleet.request(max_age_s=0.0), NOW_NS - set_back_s * S) is None
