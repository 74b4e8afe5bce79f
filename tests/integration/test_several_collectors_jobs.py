"""Jobs of two collectors that share a Redis: one of them dies or freezes, and each job has one result all the same."""

from collections import Counter
from contextlib import ExitStack, suppress

import instant_agent
import pytest
from brokers import make_broker
from influxd import Influxd
from redis_server import RedisServer
from roles import HERE, Role, until
from several_site import AGENTS, ALL, HALVES, SeveralSite

import tinyprof
from tinyprof.fleet import FleetError
from tinyprof_protocol.records import Result

JOBS = 200


class SharedJobSite(SeveralSite):
    """An agent on each half whose boards answer at once; `hold()` makes them go on until `release()`."""

    def _make_agent_of(self, name: str) -> Role:
        config = self.folder / f"{name}.toml"
        config.write_text(instant_agent.configuration(self.broker.url, self.folder, [f"{name}-0"], name))
        program = [str(HERE / "instant_agent.py"), "--config", str(config), "--hold", str(self.folder / "hold")]
        self.roles.append(Role(name, self.folder, program))
        return self.roles[-1]

    def start_all(self) -> None:
        for name, partitions in HALVES.items():
            self.serve(name, partitions)
        for agent in self.agents.values():
            agent.start()
            agent.wait_for("the agent is ready")
        until("the boards are known", self._boards_are_known)

    def _boards_are_known(self) -> bool:
        with suppress(FleetError), self.fleet(3.0) as fleet:
            return len(fleet.boards().boards) == len(AGENTS)
        return False

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def release(self) -> None:
        (self.folder / "hold").unlink()

    def results(self) -> Counter[str]:
        """How many results each job has in the database."""
        bodies = [record.body for _, _, record in self.stored()]
        return Counter(body.job_id.hex() for body in bodies if isinstance(body, Result) and body.job_id is not None)


@pytest.fixture
def site(tmp_path):
    with ExitStack() as closing:
        for name in ("redis", "influxd"):
            (tmp_path / name).mkdir()
        database = Influxd(tmp_path / "influxd").start()
        closing.callback(database.stop)
        redis = RedisServer(tmp_path / "redis").start()
        closing.callback(redis.stop)
        broker = make_broker("mosquitto", tmp_path)
        broker.start()
        closing.callback(broker.stop)
        made = SharedJobSite(tmp_path, broker, database, redis)
        for role in made.roles:
            closing.callback(role.kill)
        yield made
        for role in made.roles:
            if role.running():
                role.thaw()


def submit(fleet, count: int) -> list:
    boards = [f"{node}/{name}-0" for name, node in AGENTS.items()]
    return [fleet.submit(boards[n % 2], suite="instant", use_cache=False, within_s=300) for n in range(count)]


def test_jobs_of_a_collector_that_was_killed_are_taken_over_and_none_is_lost_or_made_twice(site):
    site.start_all()
    site.hold()
    with tinyprof.connect(site.broker.url) as fleet:
        jobs = submit(fleet, JOBS)
        until("all are promised", lambda: len(fleet.jobs(open_only=True)) == JOBS)
        until("each board is at one", lambda: sum(job.state == "started" for job in jobs) == len(AGENTS))
        site.collectors["one"].kill()
    # Nobody asks again: what is made now is what was kept.
    site.release()
    site.serve("two", ALL)
    until("each has a result", lambda: len(site.results()) == JOBS, patience_s=120.0, every_s=1.0)
    with tinyprof.connect(site.broker.url) as fleet:
        assert {fleet.job(job.id).result(timeout=60).verdict for job in jobs} == {"valid"}
    assert site.results() == Counter(job.id for job in jobs)


def test_a_collector_that_wakes_late_leaves_its_jobs_to_the_one_that_took_them(site):
    site.start_all()
    site.hold()
    with tinyprof.connect(site.broker.url) as fleet:
        jobs = submit(fleet, 40)
        until("each board is at one", lambda: sum(job.state == "started" for job in jobs) == len(AGENTS))
        site.collectors["one"].freeze()
        site.serve("two", ALL)
        site.collectors["one"].thaw()
        status = site.until_says("one", "sees the newer claim", lambda status: not status.partitions)
        assert status.health == "critical"
        site.collectors["one"].wait_for("jobs are left to the collectors")
        site.release()
        assert {job.result(timeout=120).verdict for job in jobs} == {"valid"}
    assert site.results() == Counter(job.id for job in jobs)
