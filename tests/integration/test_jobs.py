"""What happens to jobs when something is killed: each rule of the contract, at its moment, with the real roles."""

import pytest
from job_site import JobSite
from roles import HERE, until

from tinyprof.fleet import Fleet
from tinyprof.job_handle import FleetJob, JobFailed


@pytest.fixture
def make_site(tmp_path, broker):
    made: list[JobSite] = []

    def make(boards=("b0",), **more) -> JobSite:
        made.append(JobSite(tmp_path, broker, boards, **more))
        return made[-1]

    yield make
    for site in made:
        site.stop()


def started(fleet: Fleet) -> FleetJob:
    """A job that its board is at."""
    job = fleet.submit("b0", suite="instant")
    until("it has started", lambda: job.state == "started")
    return job


def test_a_collector_killed_between_keeping_and_sending_sends_it_after_its_restart(make_site):
    site = make_site().start()
    site.collector.kill()
    program = [str(HERE / "dying_job_collector.py"), "--config", str(site.folder / "collector.toml")]
    dying = site.also("dying", program)
    dying.start()
    dying.wait_for("is ready")
    with site.connect() as fleet:
        job = fleet.submit("b0", suite="instant")
        until("it dies once the job is kept", lambda: not dying.running())
        assert job.state == "queued"
        site.start_collector()
        assert job.result(timeout=60).verdict == "valid"
    assert site.results() == {bytes.fromhex(job.id): 1}


def test_a_collector_killed_while_a_job_runs_has_its_result_after_the_restart(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet:
        job = started(fleet)
        site.collector.kill()
        site.release()
        site.start_collector()
        assert job.result(timeout=60).verdict == "valid"
    assert site.results() == {bytes.fromhex(job.id): 1}


def test_a_client_that_goes_and_asks_again_by_the_id_has_the_same_result(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet:
        job = started(fleet)
    site.release()
    with site.connect() as fleet:
        first = fleet.job(job.id).result(timeout=60)
    with site.connect() as fleet:
        assert fleet.job(job.id).result(timeout=60).record == first.record
    assert site.results() == {bytes.fromhex(job.id): 1}


def test_an_agent_killed_while_a_job_runs_makes_a_second_attempt_and_then_it_is_interrupted(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet:
        job = fleet.submit("b0", suite="instant")
        for attempt in (1, 2):
            until(f"attempt {attempt} has started", lambda: ("started", attempt) in site.told(job.id))  # noqa: B023
            site.agent.kill()
            site.start_agent()
        with pytest.raises(JobFailed, match="the agent ended while it ran, twice") as caught:
            job.result(timeout=60)
    assert caught.value.state == "interrupted"
    assert site.told(job.id) == [
        ("accepted", 1), ("started", 1), ("accepted", 2), ("started", 2), ("interrupted", 2),
    ]  # fmt: skip
    assert site.results() == {}


def test_an_agent_killed_once_while_a_job_runs_finishes_it_as_a_second_attempt(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet:
        job = started(fleet)
        site.agent.kill()
        site.release()
        site.start_agent()
        assert job.result(timeout=60).run.attempt == 2
    assert site.results() == {bytes.fromhex(job.id): 1}


def test_a_job_that_its_agent_lost_ends_as_cancelled_as_soon_as_the_agent_says_that_it_has_none(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet:
        job = started(fleet)
        site.agent.kill()
        job.cancel()
        until("it is known to be away", lambda: "offline" in fleet.health()["agents"])
        site.lose_spool()
        site.start_agent()
        with pytest.raises(JobFailed) as caught:
            job.result(timeout=60)
    assert caught.value.state == "cancelled"
    assert site.results() == {}


def test_an_agent_told_to_stop_finishes_what_runs(make_site):
    site = make_site(more="finish_s = 60.0").start()
    site.hold()
    with site.connect() as fleet:
        job = started(fleet)
        assert site.agent.process is not None
        site.agent.process.terminate()
        until("it is to stop", lambda: site.agent.said("the agent stops"))
        site.release()
        assert job.result(timeout=60).run.attempt == 1
        assert site.agent.process.wait(60) == 0


def test_an_agent_told_to_stop_that_does_not_finish_in_time_makes_the_run_after_its_next_start(make_site):
    site = make_site(more="finish_s = 0.1").start()
    site.hold()
    with site.connect() as fleet:
        job, waiting = (fleet.submit("b0", suite="instant", use_cache=False) for _ in range(2))
        until("it has started", lambda: job.state == "started")
        assert site.agent.stop() == 0
        site.release()
        site.start_agent()
        assert (job.result(timeout=60).run.attempt, waiting.result(timeout=60).run.attempt) == (1, 1)
    assert site.told(job.id) == [
        ("accepted", 1),
        ("started", 1),
        ("accepted", 1),
        ("accepted", 1),
        ("started", 1),
        ("finished", 1),
    ]
    assert set(site.results().values()) == {1}


def test_an_offline_agent_gets_its_jobs_when_it_returns_unless_their_deadline_has_passed(make_site):
    site = make_site().start()
    site.agent.kill()
    with site.connect() as fleet:
        until("it is known to be away", lambda: "offline" in fleet.health()["agents"])
        late, waiting = fleet.submit("b0", suite="instant", within_s=0.5), fleet.submit("b0", suite="instant")
        assert late.wait(60)
        assert (late.state, waiting.state) == ("expired", "queued")
        site.start_agent()
        assert waiting.result(timeout=60).verdict == "valid"
    assert site.results() == {bytes.fromhex(waiting.id): 1}


def test_equal_jobs_share_one_run_and_one_client_may_leave_it(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet, site.connect() as other:
        leader = fleet.submit("b0", suite="instant")
        until("it has started", lambda: leader.state == "started")
        follower = other.submit("b0", suite="instant")
        until("they are joined", lambda: follower.joined == leader.id)
        leader.cancel()
        assert leader.wait(60)
        assert leader.state == "cancelled"
        site.release()
        assert follower.result(timeout=60).verdict == "valid"
    assert site.results() == {bytes.fromhex(leader.id): 1}


def test_cancelled_while_it_runs(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as fleet:
        job = started(fleet)
        job.cancel()
        assert job.wait(60)
    assert (job.state, site.results()) == ("cancelled", {})


def test_one_client_with_many_jobs_does_not_hold_up_another(make_site):
    site = make_site().start()
    site.hold()
    with site.connect() as busy, site.connect() as other:
        many = [busy.submit("b0", suite="instant", use_cache=False) for _ in range(300)]
        until("the first is under way", lambda: many[0].state == "started")
        one = other.submit("b0", suite="instant", use_cache=False)
        until("it waits", lambda: len(other.jobs(open_only=True).jobs) == 301)
        site.release()
        assert one.result(timeout=60).verdict == "valid"
        assert sum(job.done() for job in many) < 100
        assert all(job.result(timeout=120).verdict == "valid" for job in many)


@pytest.mark.timeout(600)
def test_five_thousand_queued_jobs_and_a_killed_collector_none_is_lost_and_none_made_twice(make_site):
    boards = [f"b{n}" for n in range(50)]
    site = make_site(boards).start()
    site.agent.stop()
    with site.connect() as fleet:
        jobs = [fleet.submit(f"lab.bench/b{n % 50}", suite="instant", use_cache=False) for n in range(5000)]
        until("all are kept", lambda: fleet.stats()["jobs_kept"] == 5000, every_s=0.3)
        site.collector.kill()
        site.start_collector()
        site.start_agent()
        until("some are made", lambda: sum(job.done() for job in jobs) > 500)
        site.collector.kill()
        site.start_collector()
        assert all(job.result(timeout=300).verdict == "valid" for job in jobs)
    counted = site.results()
    assert len(counted) == 5000
    assert set(counted.values()) == {1}
