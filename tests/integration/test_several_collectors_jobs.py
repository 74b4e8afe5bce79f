"""Jobs of two collectors that share a Redis: one of them dies or freezes, and each job has one result all the same."""

from collections import Counter

import pytest
from roles import until
from several_job_site import BOARDS, SeveralJobSite
from several_site import ALL, HALVES, redis_in, several_site

import tinyprof

JOBS = 200


@pytest.fixture
def redis(tmp_path):
    with redis_in(tmp_path / "redis") as running:
        yield running


@pytest.fixture
def site(tmp_path, redis):
    with several_site(SeveralJobSite, tmp_path, redis) as made:
        yield made


def submit(fleet, count: int) -> list:
    boards = [f"{board.node}/{board.board}" for board in BOARDS]
    return [fleet.submit(boards[n % 2], suite="instant", use_cache=False, within_s=300) for n in range(count)]


def test_jobs_of_a_collector_that_was_killed_are_taken_over_and_none_is_lost_or_made_twice(site):
    site.start(HALVES)
    site.hold(*BOARDS)
    with tinyprof.connect(site.broker.url) as fleet:
        jobs = submit(fleet, JOBS)
        until("all are promised", lambda: len(fleet.jobs(open_only=True).jobs) == JOBS)
        until("each board is at one", lambda: sum(job.state == "started" for job in jobs) == len(BOARDS))
        site.collectors["one"].kill()
    # Nobody asks again: what is made now is what was kept.
    site.release(*BOARDS)
    site.serve("two", ALL)
    until("each has a result", lambda: len(site.results()) == JOBS, patience_s=120.0, every_s=1.0)
    with tinyprof.connect(site.broker.url) as fleet:
        assert {fleet.job(job.id).result(timeout=60).verdict for job in jobs} == {"valid"}
    assert site.results() == Counter(job.id for job in jobs)


def test_a_collector_that_wakes_late_leaves_its_jobs_to_the_one_that_took_them(site):
    site.start(HALVES)
    site.hold(*BOARDS)
    with tinyprof.connect(site.broker.url) as fleet:
        jobs = submit(fleet, 40)
        until("each board is at one", lambda: sum(job.state == "started" for job in jobs) == len(BOARDS))
        site.collectors["one"].freeze()
        site.serve("two", ALL)
        site.collectors["one"].thaw()
        status = site.until_says("one", "sees the newer claim", lambda status: not status.partitions)
        assert status.health == "critical"
        site.collectors["one"].wait_for("jobs are left to the collectors")
        site.release(*BOARDS)
        assert {job.result(timeout=120).verdict for job in jobs} == {"valid"}
    assert site.results() == Counter(job.id for job in jobs)
