"""A collector behind a broker that answers from its cache: no run is made, over restarts, and only where it may."""

import time
from pathlib import Path

import fake_agent
import pytest
from msgspec import structs
from started_collector import started

from tinyprof_collector.cache.disk import CacheFile
from tinyprof_collector.config import CacheConfig, Config, SqliteConfig, StoreConfig
from tinyprof_collector.service import CannotStart, Collector
from tinyprof_platforms.suites import Suite, offered, suite_terms
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.records import ClockReport
from tinyprof_protocol.requests import CacheReply, CacheRequest, StatusReply, StatusRequest

CLIENT = "cd" * 16
SUITE = Suite(prompts=("One day",), max_tokens=24)
TICK_HZ = 10**9


class Bench(fake_agent.FakeAgent):
    """An agent whose board's firmware can be changed, and that answers a job only when it is told to."""

    build = fake_agent.BUILD

    def say_status(self) -> None:
        board = BoardPresence(
            "b1", "probe", "idle", self.build.platform, self.build.model, build=build_fingerprint(self.build),
            clock_mode=clock_mode(TICK_HZ, None),
        )  # fmt: skip
        status = AgentStatus(
            self.node, "online", time_ns=time.time_ns(), interval_s=30.0, boards=[board], jobs=self.jobs,
            offers=["quick"], suites=[offered("quick", SUITE)],
        )  # fmt: skip
        self.send(topics.agent_topic(self.node, "status"), status, retain=True)

    def run(self, verdict: str = "valid", job: Job | None = None) -> None:
        """Measures, and waits until the collector has it."""
        self.now_ns = time.time_ns()
        result = structs.replace(
            fake_agent.result(100.0, verdict, job.id if job else None), build=self.build, prompts=list(SUITE.prompts),
            max_tokens=SUITE.max_tokens, suite_terms=suite_terms(SUITE), clock=ClockReport("checked", tick_hz=TICK_HZ),
        )  # fmt: skip
        self.send_batch(result)
        self.next_sack(self.next_seq - 1)


class Site:
    """A collector that can be started anew, a bench, and a client."""

    def __init__(self, url: str, folder: Path, **cache: object) -> None:
        self.config = Config(
            broker=url, state_dir=str(folder / "state"), status_interval_s=0.2, cache=CacheConfig(**cache)
        )
        self.collector = started(self.config)
        self.bench = Bench(url, time.time_ns())
        self.client = fake_agent.Client(url, CLIENT, [topics.replies(CLIENT)])
        self.asked = 0
        self.say_status()

    def say_status(self) -> None:
        """Says what the board runs now, and waits until the collector has heard it."""
        self.bench.say_status()
        board = build_fingerprint(self.bench.build)
        deadline = time.monotonic() + fake_agent.WAIT_S
        while True:
            agents = self.ask("status", StatusRequest(), StatusReply).agents
            if any(one.build == board for view in agents for one in view.status.boards):
                return
            assert time.monotonic() < deadline

    def restart(self) -> None:
        assert self.collector.stop()
        self.collector = started(self.config)
        self.say_status()

    def ask(self, kind: str, request: object, reply: type) -> object:
        self.asked += 1
        correlation = self.asked.to_bytes(4)
        self.client.send(
            topics.requests("main", kind), request, response_topic=topics.replies(CLIENT), correlation=correlation
        )
        while True:
            message = self.client.messages.get(timeout=fake_agent.WAIT_S)
            if message.correlation == correlation:
                return decode(message.payload, reply)

    def profile(self, **more: object) -> ProfileReply:
        """The first reply to a request for a run of a new job."""
        job = Job(time.time_ns().to_bytes(16), self.bench.node, "b1", time.time_ns() + 60 * 10**9)
        return self.ask("profile", ProfileRequest(job, **more), ProfileReply)

    def cache(self, action: str = "stats") -> CacheReply:
        return self.ask("cache", CacheRequest(action), CacheReply)

    def close(self) -> None:
        self.client.stop()
        self.bench.stop()
        assert self.collector.stop()


@pytest.fixture
def make_site(broker, tmp_path):
    sites = []

    def make(**cache: object) -> Site:
        sites.append(Site(broker.url, tmp_path, **cache))
        return sites[-1]

    yield make
    for site in sites:
        site.close()


def test_the_same_request_again_makes_no_run(make_site):
    site = make_site()
    first = site.profile()
    assert (first.state, first.final) == ("queued", False)
    job = site.bench.next_job()
    assert job.id == first.job_id
    site.bench.run(job=job)
    again = site.profile()
    assert (again.state, again.final, again.job_id != job.id) == ("finished", True, True)
    assert again.cached is not None
    assert (again.cached.node, again.cached.board, again.cached.verdict) == ("lab.pi", "b1", "valid")
    assert 0 <= again.cached.age_s < fake_agent.WAIT_S
    assert again.result.body.job_id == job.id
    stats = site.cache().stats
    assert (stats.hits, stats.misses, stats.entries, stats.inserted) == (1, 1, 1, 1)
    # The next job that comes to the agent is one that was asked for past the cache.
    past = site.profile(use_cache=False)
    assert past.state == "queued"
    assert site.bench.next_job().id == past.job_id


def test_a_job_that_is_asked_for_again_is_the_same_job_and_not_answered_with_anothers_result(make_site):
    site = make_site()
    job = Job(b"j" * 16, "lab.pi", "b1", time.time_ns() + 60 * 10**9)
    assert site.ask("profile", ProfileRequest(job), ProfileReply).state == "queued"
    site.bench.run()
    repeated = site.ask("profile", ProfileRequest(job, repeated=True), ProfileReply)
    assert (repeated.state, repeated.cached) == ("queued", None)
    assert site.ask("profile", ProfileRequest(job), ProfileReply).cached is None


def test_a_repeated_request_that_had_been_lost_is_answered_from_the_cache(make_site):
    site = make_site()
    site.bench.run()
    assert site.profile(repeated=True).cached is not None


def test_a_restart_keeps_what_was_cached(make_site):
    site = make_site()
    site.bench.run()
    assert site.profile().cached is not None
    site.restart()
    assert site.profile().cached is not None
    assert site.cache().stats.entries == 1


def test_new_firmware_misses_and_the_status_counts_it(make_site):
    site = make_site()
    site.bench.run()
    site.bench.build = structs.replace(site.bench.build, firmware_build="new")
    site.say_status()
    assert site.profile().state == "queued"
    counters = site.ask("status", StatusRequest(), StatusReply).collector.counters
    assert {name: counters[name] for name in counters if name.startswith("cache_")} == {
        "cache_hits": 0, "cache_misses": 1, "cache_entries": 1, "cache_evictions": 0, "cache_expired": 0,
    }  # fmt: skip


def test_what_is_older_than_its_ttl_is_no_answer(make_site):
    site = make_site(ttl=0.2)
    site.bench.run()
    deadline = time.monotonic() + fake_agent.WAIT_S
    while not site.cache().stats.expired:
        assert time.monotonic() < deadline
    assert site.profile().state == "queued"
    assert (site.cache().stats.entries, site.cache().stats.inserted) == (0, 1)


def test_the_clients_own_limit_holds(make_site):
    site = make_site()
    site.bench.run()
    assert site.profile(max_age_s=0.0).state == "queued"
    assert site.profile(max_age_s=1e6).cached is not None


def test_a_cleared_cache_answers_nothing(make_site):
    site = make_site()
    site.bench.run()
    assert [item.platform for item in site.cache("list").items] == ["host"]
    assert site.cache("clear").cleared == 1
    assert site.profile().state == "queued"


@pytest.mark.parametrize(("accept", "state"), [("valid", "queued"), ("unstable", "finished")])
def test_an_unstable_run_answers_only_where_that_is_accepted_and_says_so(make_site, accept, state):
    site = make_site(accept=accept)
    site.bench.run("unstable")
    reply = site.profile()
    assert reply.state == state
    assert reply.cached is None or reply.cached.verdict == "unstable"


def test_figures_of_the_cache_are_served_as_metrics(make_site):
    import urllib.request

    site = make_site()
    site.bench.run()
    site.profile()
    with urllib.request.urlopen(site.collector.endpoints.url + "/metrics", timeout=10) as answered:
        text = answered.read().decode()
    assert "tinyprof_collector_cache_hits_total 1.0" in text
    assert "tinyprof_collector_cache_entries 1.0" in text


def test_a_store_that_cannot_be_opened_is_said_and_the_caches_file_let_go(broker, tmp_path):
    state = tmp_path / "state"
    config = Config(broker=broker.url, state_dir=str(state), store=StoreConfig(sqlite=SqliteConfig(path=str(tmp_path))))
    with pytest.raises(CannotStart, match=str(tmp_path)):
        Collector(config).start()
    again = CacheFile(state / "cache.sqlite")
    assert again.errors == 0
    again.close()
