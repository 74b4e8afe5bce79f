"""The cache in a real Redis: what one collector has measured all answer; one that is away costs nothing else."""

import pytest
from msgspec import structs
from redis_server import RedisServer

from tinyprof_collector.cache.cache import Cache
from tinyprof_collector.cache.opening import open_backing
from tinyprof_collector.cache.redis import RETRY_S, SharedCache, SharedEntry
from tinyprof_collector.config import CacheConfig, Config, InfluxConfig, StateConfig, StoreConfig
from tinyprof_collector.redis_link import RedisLink
from tinyprof_protocol.codec import pack, unpack
from tinyprof_protocol.requests import CacheRequest

NOW_NS = 1_800_000_000 * 10**9
S = 10**9
TTL_S = 100.0


class Collector:
    """A cache on the shared server, as a collector has it."""

    def __init__(self, server: RedisServer, fleet, size: int = 10, **more: object) -> None:
        self.link = RedisLink(StateConfig("redis", server.url, timeout_s=0.5))
        self.now_s = 0.0
        self.shared = SharedCache(self.link, size, TTL_S, lambda: self.now_s)
        self.cache = Cache(CacheConfig(size=size, ttl=TTL_S, **more), 3.0, self.shared)  # type: ignore[arg-type]
        self.agents = fleet.presence.agents
        self.cache.restore(NOW_NS)

    def take(self, *arrivals, at_ns: int = NOW_NS) -> None:
        self.cache.take(arrivals, self.agents, at_ns)
        self.cache.keep(at_ns)

    def answers(self, request, at_ns: int = NOW_NS):
        answer = self.cache.answer(request, self.agents, at_ns)
        return answer and answer.cached

    def entries(self) -> int:
        return self.cache.counters()["cache_entries"]


@pytest.fixture
def two(clean, fleet):
    fleet.says(fleet.board())
    pair = [Collector(clean, fleet), Collector(clean, fleet)]
    yield pair
    for one in pair:
        one.shared.close()


def test_what_one_has_measured_the_other_answers_after_its_next_look(two, fleet):
    one, other = two
    one.take(fleet.run(at_ns=NOW_NS - S))
    assert other.answers(fleet.request()) is None
    other.cache.keep(NOW_NS)
    assert other.answers(fleet.request()).time_ns == NOW_NS - S
    assert other.cache.reply(CacheRequest(), 0, NOW_NS).stats.inserted == 0


def test_a_collector_that_starts_later_begins_with_what_is_there(two, clean, fleet):
    two[0].take(*(fleet.run(fleet.job(max_tokens=n)) for n in (1, 2, 3)))
    late = Collector(clean, fleet)
    assert late.entries() == 3
    assert late.answers(fleet.request(max_tokens=2)) is not None
    late.shared.close()


def test_the_younger_run_wins_whoever_made_it_and_a_noisy_one_takes_no_valid_ones_place(clean, fleet):
    fleet.says(fleet.board())
    one, other = (Collector(clean, fleet, accept="unstable") for _ in range(2))
    one.take(fleet.run(at_ns=NOW_NS - 9 * S))
    other.cache.keep(NOW_NS)
    other.take(fleet.run(at_ns=NOW_NS - 5 * S))
    one.cache.keep(NOW_NS)
    assert one.answers(fleet.request()).time_ns == NOW_NS - 5 * S
    other.take(fleet.run(at_ns=NOW_NS - S, verdict="unstable"))
    one.cache.keep(NOW_NS)
    assert one.answers(fleet.request()).verdict == "valid"
    for each in (one, other):
        each.shared.close()


def test_an_unstable_run_of_one_does_not_enter_where_only_valid_ones_do(clean, fleet):
    fleet.says(fleet.board())
    noisy, strict = Collector(clean, fleet, accept="unstable"), Collector(clean, fleet)
    noisy.take(fleet.run(verdict="unstable"))
    strict.cache.keep(NOW_NS)
    assert noisy.answers(fleet.request()) is not None
    assert strict.answers(fleet.request()) is None
    for each in (noisy, strict):
        each.shared.close()


def test_to_be_asked_is_no_news_to_others_and_what_they_tell_is_not_told_back(two, clean, fleet):
    one, other = two
    one.take(fleet.run())
    other.cache.keep(NOW_NS)
    with clean.client() as client:
        before = client.get("tinyprof:cache:revision")
        for _ in range(3):
            for each in two:
                assert each.answers(fleet.request()) is not None
                each.cache.keep(NOW_NS)
        assert client.get("tinyprof:cache:revision") == before


def test_what_is_cleared_or_too_old_is_taken_out_of_the_server(two, clean, fleet):
    one, other = two
    one.take(fleet.run())
    one.cache.reply(CacheRequest("clear"), 0, NOW_NS)
    one.cache.keep(NOW_NS)
    with clean.client() as client:
        assert (client.hlen("tinyprof:cache:entries"), client.zcard("tinyprof:cache:order")) == (0, 0)
        other.take(fleet.run())
        assert client.hlen("tinyprof:cache:entries") == 1
        assert 0 < client.pttl("tinyprof:cache:entries") <= TTL_S * 1000
        other.cache.keep(NOW_NS + int(TTL_S + 20) * S)
        assert client.hlen("tinyprof:cache:entries") == 0


def test_the_server_keeps_no_more_than_the_size(two, clean, fleet):
    big = Collector(clean, fleet, size=100)
    for n in range(1, 26):
        (two[0] if n % 2 else two[1]).take(fleet.run(fleet.job(max_tokens=n)))
    with clean.client() as client:
        assert client.hlen("tinyprof:cache:entries") == client.zcard("tinyprof:cache:order") <= 10
    assert max(each.entries() for each in two) <= 10
    big.cache.keep(NOW_NS)
    assert big.answers(fleet.request(max_tokens=25)) is not None
    big.shared.close()


def test_what_is_known_of_others_entries_is_bounded_though_none_of_them_is_taken(clean, fleet):
    fleet.says(fleet.board())
    noisy, strict = Collector(clean, fleet, accept="unstable"), Collector(clean, fleet)
    for n in range(1, 61):
        noisy.take(fleet.run(fleet.job(max_tokens=n), verdict="unstable"))
        strict.cache.keep(NOW_NS)
    assert strict.entries() == 0
    assert len(strict.shared._known) <= 2 * 10
    for one in (noisy, strict):
        one.shared.close()


def test_a_server_that_is_away_costs_nothing_but_the_sharing_and_is_told_when_it_is_back(tmp_path, fleet, caplog):
    fleet.says(fleet.board())
    server = RedisServer(tmp_path)
    server.start()
    one, other = Collector(server, fleet), Collector(server, fleet)
    server.kill()
    one.take(fleet.run())
    one.take(fleet.run(fleet.job(max_tokens=2)))
    assert one.answers(fleet.request()) is not None
    assert one.shared.errors == 1, "a server that does not answer is not asked again and again"
    assert caplog.text.count("the cache is not shared now") == 1
    server.start()
    one.cache.keep(NOW_NS)
    assert one.shared.errors == 1
    for each in (one, other):
        each.now_s += RETRY_S
        each.cache.keep(NOW_NS)
    assert other.entries() == 2
    for each in (one, other):
        each.shared.close()
    server.stop()


def test_a_server_that_has_forgotten_is_filled_again_by_what_is_used(two, clean, fleet):
    one, other = two
    one.take(fleet.run())
    other.cache.keep(NOW_NS)
    with clean.client() as client:
        client.flushall()
    other.take(fleet.run(fleet.job(max_tokens=2)))
    one.answers(fleet.request())
    for _ in range(2):
        one.cache.keep(NOW_NS)
        one.answers(fleet.request())
    with clean.client() as client:
        assert client.hlen("tinyprof:cache:entries") == 2


def test_what_cannot_be_read_there_is_passed_over(two, clean, fleet):
    one, other = two
    one.take(fleet.run())
    with clean.client() as client:
        client.hset("tinyprof:cache:entries", b"k" * 16, b"\xc1")
        client.zadd("tinyprof:cache:order", {b"k" * 16: 7})
    other.cache.keep(NOW_NS)
    assert other.entries() == 1


def test_where_the_state_is_in_a_redis_the_cache_is_there_too(tmp_path):
    store = StoreConfig(["influxdb"], influxdb=InfluxConfig("http://127.0.0.1:1"))
    shared = open_backing(Config(store=store, state=StateConfig("redis", "redis://127.0.0.1:1")), tmp_path)
    assert isinstance(shared, SharedCache)
    assert shared.load() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("score", [7.5, float("inf"), 1e300])
def test_rubbish_among_the_revisions_neither_holds_nor_ends_the_reading(two, clean, fleet, score):
    one, other = two
    one.take(fleet.run())
    with clean.client() as client:
        client.set("tinyprof:cache:revision", 20)
        client.zadd("tinyprof:cache:order", {b"k" * 16: score, b"short": 5})
    other.cache.keep(NOW_NS)
    assert other.entries() == 1
    one.take(fleet.run(fleet.job(max_tokens=2)))
    other.cache.keep(NOW_NS)
    assert other.entries() == 2


@pytest.mark.parametrize("name", ["entries", "order", "revision", "life"])
def test_a_key_of_another_kind_costs_the_sharing_and_no_more(two, clean, fleet, name):
    one, other = two
    with clean.client() as client:
        client.delete(f"tinyprof:cache:{name}")
        client.rpush(f"tinyprof:cache:{name}", "rubbish")
    one.take(fleet.run())
    other.cache.keep(NOW_NS)
    assert one.answers(fleet.request()) is not None
    assert one.shared.errors + other.shared.errors > 0


@pytest.mark.parametrize("under", ["another key", "no record"])
def test_what_is_not_the_answer_to_its_key_is_passed_over(two, clean, fleet, under):
    one, other = two
    one.take(fleet.run(fleet.job(max_tokens=2)))
    with clean.client() as client:
        ((key, image),) = client.hgetall("tinyprof:cache:entries").items()
        if under == "another key":
            key = bytes(reversed(key))
        else:
            shared = unpack(image, SharedEntry)
            image = pack(structs.replace(shared, entry=structs.replace(shared.entry, record=b"rubbish")))
        client.delete("tinyprof:cache:entries", "tinyprof:cache:order")
        client.hset("tinyprof:cache:entries", key, image)
        client.zadd("tinyprof:cache:order", {key: 1})
    other.cache.keep(NOW_NS)
    assert other.entries() == 0


def test_a_server_that_is_full_costs_the_sharing_and_no_more(two, clean, fleet):
    with clean.client() as client:
        client.config_set("maxmemory", 1)
        try:
            two[0].take(fleet.run())
            assert two[0].answers(fleet.request()) is not None
            assert two[0].shared.errors == 1
        finally:
            client.config_set("maxmemory", 0)
    two[0].now_s += RETRY_S
    for each in two:
        each.cache.keep(NOW_NS)
    assert two[1].answers(fleet.request()) is not None
