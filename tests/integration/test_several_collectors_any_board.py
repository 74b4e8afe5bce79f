"""A run that any board of a kind may make, with several collectors: the first board that is free makes it, whoever
serves that one, and the job is one with one result whatever dies or is handed over meanwhile.
"""

import time
from collections import Counter

import pytest
from roles import until
from several_job_site import BOARDS, SeveralJobSite
from several_site import ALL, HALVES, HIGH, redis_in, several_site

import tinyprof
from tinyprof.fleet import Fleet
from tinyprof.fleet_jobs import Place
from tinyprof.job_handle import FleetJob
from tinyprof_protocol.jobs import Where

LAB = Where(site="lab")
"""All boards there are."""
FAR, NEAR = BOARDS
"""The first choice of all jobs here, which collector two serves; and the one that collector one serves."""


@pytest.fixture
def redis(tmp_path):
    with redis_in(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def site(tmp_path, redis):
    with several_site(SeveralJobSite, tmp_path, redis) as made:
        yield made


def submit(fleet: Fleet, count: int = 1, within_s: float = 300.0) -> list[FleetJob]:
    """Jobs for any board of the lab, each with a run of its own; they go to the collector of the first choice."""
    terms = {"suite": "instant", "use_cache": False, "max_age_s": None}
    return [fleet._jobs.submit(Place(NEAR, LAB), within_s, **terms) for _ in range(count)]


def test_a_board_of_another_collector_that_is_free_makes_the_runs(site):
    site.start(HALVES)
    with tinyprof.connect(site.broker.url) as fleet:
        busy = site.keep_busy(fleet, NEAR)
        jobs = submit(fleet, 6)
        assert {job.result(timeout=60).verdict for job in jobs} == {"valid"}
        assert {(job.node, job.board) for job in jobs} == {(FAR.node, FAR.board)}
        views = Counter(view.job.id.hex() for view in fleet.jobs().jobs)
        assert views == Counter(job.id for job in [*busy, *jobs])
        site.release(NEAR)
        assert busy[0].result(timeout=60).verdict == "valid"
    with tinyprof.connect(site.broker.url) as fleet:
        assert [fleet.job(job.id).result(timeout=30).verdict for job in jobs] == ["valid"] * 6
    assert site.results() == Counter(job.id for job in [*busy, *jobs])


def test_what_the_dead_collector_offered_is_made_by_the_other_and_its_client_hears_of_it(site, redis):
    site.start(HALVES)
    with tinyprof.connect(site.broker.url) as fleet:
        busy = site.keep_busy(fleet, NEAR, FAR)
        jobs = submit(fleet, 4)
        until("all are offered", lambda: site.offered(redis) == len(jobs))
        site.collectors["two"].kill()
        site.release(FAR)
        assert {job.result(timeout=60).verdict for job in jobs} == {"valid"}
        site.release(NEAR)
        site.serve("two", HIGH)
        assert {job.result(timeout=60).verdict for job in busy} == {"valid"}
        assert not fleet.jobs(open_only=True).jobs
    assert site.results() == Counter(job.id for job in [*busy, *jobs])


def test_jobs_of_a_collector_that_is_killed_once_they_are_promised_have_one_result_each(site):
    site.start(HALVES)
    with tinyprof.connect(site.broker.url) as fleet:
        busy = site.keep_busy(fleet, NEAR, FAR)
        jobs = submit(fleet, 20)
        until("all are promised", lambda: len(fleet.jobs(open_only=True).jobs) == len(busy) + len(jobs))
        site.collectors["two"].kill()
        site.release(NEAR, FAR)
        site.serve("one", ALL)
        assert {job.result(timeout=120).verdict for job in [*busy, *jobs]} == {"valid"}
    assert site.results() == Counter(job.id for job in [*busy, *jobs])


def test_one_that_wakes_late_makes_none_of_the_runs_that_were_taken_from_it(site, redis):
    site.start(HALVES)
    with tinyprof.connect(site.broker.url) as fleet:
        busy = site.keep_busy(fleet, NEAR, FAR)
        jobs = submit(fleet, 10)
        until("all are offered", lambda: site.offered(redis) == len(jobs))
        site.collectors["two"].freeze()
        site.release(FAR)
        until("all were taken", lambda: site.offered(redis) == 0, patience_s=60.0)
        site.release(NEAR)
        site.collectors["two"].thaw()
        assert {job.result(timeout=120).verdict for job in [*busy, *jobs]} == {"valid"}
    assert site.results() == Counter(job.id for job in [*busy, *jobs])


def test_a_run_on_another_node_stays_with_its_collector_when_the_first_choice_is_handed_over(site):
    site.start({"one": ALL})
    with tinyprof.connect(site.broker.url) as fleet:
        busy = site.keep_busy(fleet, NEAR)
        site.hold(FAR)
        jobs = submit(fleet, 3)
        until("the free one is at it", lambda: any(job.state == "started" for job in jobs))
        site.serve("two", HIGH)
        site.until_says("one", "leaves them", lambda status: status.partitions == list(range(8)))
        site.release(NEAR, FAR)
        assert {job.result(timeout=60).verdict for job in [*busy, *jobs]} == {"valid"}
        assert not fleet.jobs(open_only=True).jobs
    assert site.results() == Counter(job.id for job in [*busy, *jobs])


def test_what_another_collector_has_taken_is_cancelled_and_listed_there(site):
    site.start(HALVES)
    with tinyprof.connect(site.broker.url) as fleet:
        site.keep_busy(fleet, NEAR)
        site.hold(FAR)
        by_handle, by_id = submit(fleet, 2)
        until("they were taken", lambda: {by_handle.node, by_id.node} & {FAR.node})
        by_handle.cancel()
        assert fleet.cancel_jobs([by_id.id]) == 1
        assert (by_handle.wait(30), by_id.wait(30)) == (True, True)
        assert (by_handle.state, by_id.state) == ("cancelled", "cancelled")
        assert [view.state for view in fleet.jobs().jobs if view.where is not None] == ["cancelled"] * 2
        site.release(NEAR, FAR)
    assert not {by_handle.id, by_id.id} & set(site.results())


def test_whatever_dies_freezes_or_is_handed_over_each_job_has_one_result(site, redis, chance):
    site.start(HALVES)
    with tinyprof.connect(site.broker.url) as fleet:
        jobs: list[FleetJob] = []
        for _ in range(4):
            site.hold(NEAR, FAR)
            jobs += submit(fleet, 30)
            time.sleep(chance.uniform(0.0, 2.5))
            dies, lives = chance.sample(["one", "two"], 2)
            match chance.choice(["killed", "frozen", "redis killed", "redis frozen"]):
                case "killed":
                    site.collectors[dies].kill()
                    site.release(NEAR, FAR)
                    site.serve(lives, ALL)
                case "frozen":
                    site.collectors[dies].freeze()
                    site.release(NEAR, FAR)
                    site.serve(lives, ALL)
                    site.collectors[dies].thaw()
                case "redis killed":
                    redis.kill()
                    site.release(NEAR, FAR)
                    time.sleep(chance.uniform(0.0, 2.0))
                    redis.start()
                case _:
                    redis.freeze()
                    site.release(NEAR, FAR)
                    time.sleep(chance.uniform(0.0, 2.0))
                    redis.thaw()
            time.sleep(chance.uniform(0.0, 2.0))
            for name, partitions in HALVES.items():
                site.serve(name, partitions)
        assert Counter(job.result(timeout=120).verdict for job in jobs) == {"valid": len(jobs)}
        assert not fleet.jobs(open_only=True).jobs
    assert site.results() == Counter(job.id for job in jobs)
