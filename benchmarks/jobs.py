"""Jobs end to end: a client, a broker, a collector, and an agent with 50 boards that answer at once.

`python benchmarks/jobs.py [--jobs 3000] [--boards 50] [--broker mosquitto] [--json]`: the boards are the tests' own and
say so in their data (engine `instant-test`), so that what is measured is the way of a job and its result: kept by the
collector, sent, accepted, run, spooled, delivered, stored, answered. First a rate (at least 300 jobs/s), with how long
one job alone takes; then jobs are queued, collector and agent are killed and started again, and each job must have one
result in the store.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "tests" / "integration")]

from brokers import make_broker  # noqa: E402
from figures_table import table  # noqa: E402
from job_site import JobSite  # noqa: E402

from tinyprof.fleet import Fleet  # noqa: E402
from tinyprof.job_handle import FleetJob  # noqa: E402

MIN_JOBS_S = 300.0
ALONE = 50
PATIENCE_S = 600.0


def cpu_s(site: JobSite) -> dict[str, float]:
    """CPU time that each role has taken, in seconds."""
    taken = {}
    for role in (site.collector, site.agent):
        assert role.process is not None
        fields = Path(f"/proc/{role.process.pid}/stat").read_text().rpartition(")")[2].split()
        taken[role.name] = (int(fields[11]) + int(fields[12])) / 100
    return taken


def submitted(fleet: Fleet, site: JobSite, count: int) -> list[FleetJob]:
    """So many jobs, board by board; none may be joined to another or come from the cache."""
    names = [f"lab.bench/{site.boards[n % len(site.boards)]}" for n in range(count)]
    return [fleet.submit(name, suite="instant", use_cache=False) for name in names]


def alone_ms(fleet: Fleet, site: JobSite) -> dict[str, float]:
    """One job after the other: median and worst, in milliseconds."""
    took = []
    for _ in range(ALONE):
        began = time.perf_counter()
        submitted(fleet, site, 1)[0].result(timeout=PATIENCE_S)
        took.append((time.perf_counter() - began) * 1e3)
    return {"median_ms": round(statistics.median(took), 1), "worst_ms": round(max(took), 1)}


def rate(fleet: Fleet, site: JobSite, count: int) -> dict[str, float]:
    """Many jobs at once: how many have their result in a second, and what each costs."""
    before, began = cpu_s(site), time.perf_counter()
    jobs = submitted(fleet, site, count)
    asked_s = time.perf_counter() - began
    for job in jobs:
        job.result(timeout=PATIENCE_S)
    took_s = time.perf_counter() - began
    spent = {name: round((after - before[name]) / count * 1e3, 2) for name, after in cpu_s(site).items()}
    return {
        "jobs": count,
        "asked_per_s": round(count / asked_s),
        "jobs_per_s": round(count / took_s),
        **{f"{name}_cpu_ms_per_job": ms for name, ms in spent.items()},
    }


def over_restarts(fleet: Fleet, site: JobSite, count: int) -> dict[str, object]:
    """Jobs that are queued while the agent is away, over kills of the collector and the agent."""
    before = sum(site.results().values())
    site.agent.stop()
    jobs = submitted(fleet, site, count)
    while fleet.stats()["jobs_queued"] < count:
        time.sleep(0.2)
    site.collector.kill()
    site.start_collector()
    site.start_agent()
    while sum(job.done() for job in jobs) < count // 5:
        time.sleep(0.05)
    site.collector.kill()
    site.start_collector()
    for job in jobs:
        job.result(timeout=PATIENCE_S)
    counted = site.results()
    made = [counted[bytes.fromhex(job.id)] for job in jobs]
    return {"queued": count, "lost": made.count(0), "twice": sum(n > 1 for n in made),
            "strangers": sum(counted.values()) - before - sum(made)}  # fmt: skip


def measure(count: int, boards: int, broker: str) -> dict[str, object]:
    """All figures, with a site of its own."""
    with tempfile.TemporaryDirectory() as folder:
        running = make_broker(broker, Path(folder))
        running.start()
        site = JobSite(Path(folder), running, [f"b{n}" for n in range(boards)])
        try:
            site.start()
            with site.connect() as fleet:
                return {
                    "boards": boards,
                    "broker": broker,
                    "alone": alone_ms(fleet, site),
                    "at_once": rate(fleet, site, count),
                    "over_restarts": over_restarts(fleet, site, 5000),
                }
        finally:
            site.stop()
            running.stop()


def main() -> int:
    """1 if a target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--boards", type=int, default=50)
    parser.add_argument("--broker", choices=["embedded", "mosquitto"], default="mosquitto")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(options.jobs, options.boards, options.broker)
    print(json.dumps(measured) if options.json else table(measured))
    at_once, kept = measured["at_once"], measured["over_restarts"]
    assert isinstance(at_once, dict)
    assert isinstance(kept, dict)
    return 0 if at_once["jobs_per_s"] >= MIN_JOBS_S and not (kept["lost"] or kept["twice"]) else 1


if __name__ == "__main__":
    sys.exit(main())
