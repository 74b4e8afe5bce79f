"""A site of real processes is benchmarked, and its results are compared with themselves and with a slowed copy."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Broker
from roles import Role, until

import tinyprof
from tinyprof.benchmarking.results_file import read_results

BOARDS = ("q4", "q8")
BOARD = '[[boards]]\nname = "{name}"\ndriver = "host"\nevery_s = 0\n[boards.options]\nmodel = "stories260k-{name}_0"\n'
SLOWED = 100.0
"""By so much that no noise of a busy machine hides it."""
SUITE = 'prompts = ["One day"]\ngate = ["One day"]\nmax_tokens = 8\nmin_repetitions = 8\nmin_timed_s = 0.0\n'


class BenchSite:
    """A collector and an agent with two boards on this machine, which are measured on request only."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        (folder / "tiny.toml").write_text(SUITE)
        (folder / "endless.toml").write_text(
            SUITE.replace("min_timed_s = 0.0", "min_timed_s = 300.0\nmax_timed_s = 300.0")
        )
        files = ", ".join(f'"{folder / name}"' for name in ("tiny.toml", "endless.toml"))
        boards = "".join(BOARD.format(name=name) for name in BOARDS)
        (folder / "agent.toml").write_text(
            f'site = "lab"\nagent = "bench"\nbroker = "{broker.url}"\nstate_dir = "{folder / "agent"}"\n'
            f'suite_files = [{files}]\n[clock]\ntrust = "always"\n[uplink]\nstatus_every_s = 1.0\n{boards}'
        )
        (folder / "collector.toml").write_text(
            f'broker = "{broker.url}"\nstate_dir = "{folder / "collector"}"\nstatus_interval_s = 1.0\n'
        )
        self.roles = [
            Role(role, folder, ["-m", "tinyprof", role, "run", "--config", str(folder / f"{role}.toml")])
            for role in ("collector", "agent")
        ]

    def start(self) -> None:
        for role in self.roles:
            role.start()
            role.wait_for("is ready")
        with tinyprof.connect(self.broker.url) as fleet:
            until("both boards are idle", lambda: [b.state for b in fleet.boards().boards] == ["idle", "idle"])

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "tinyprof", *arguments]

    def benchmark(self, *arguments: str) -> list[str]:
        return self.command("benchmark", "--broker", self.broker.url, *arguments)


@pytest.fixture
def site(tmp_path: Path, broker: Broker) -> Iterator[BenchSite]:
    made = BenchSite(tmp_path, broker)
    made.start()
    yield made
    for role in made.roles:
        role.kill()


def test_a_benchmark_is_the_same_as_itself_and_a_slowed_copy_is_a_regression(site: BenchSite) -> None:
    path, slow = site.folder / "results.json", site.folder / "slow.json"
    arguments = ("--suite", "tiny", "--site", "lab", "--repeat-runs", "2", "--output", str(path))
    done = subprocess.run(site.benchmark(*arguments), capture_output=True, text=True, timeout=120)
    assert path.exists(), done.stderr
    results = read_results(path)
    assert results.complete, results.why
    assert [(board.board, len(board.runs)) for board in results.boards] == [("lab.bench/q4", 2), ("lab.bench/q8", 2)]
    made = [one for board in results.boards for one in board.runs]
    assert {(run.result.suite, run.result.golden, len(run.result.repetitions)) for run in made} == {
        ("tiny", "match", 8)
    }
    assert len({one.result.job_id for one in made}) == 4, "each run is a job of its own, none from the cache"
    assert len({one.recorded_ns for one in made}) == 4

    same = subprocess.run(site.command("compare", str(path), str(path)), capture_output=True, text=True, timeout=60)
    assert same.returncode == 0, same.stdout + same.stderr
    assert same.stdout.count("  same") == 8
    slow.write_text(json.dumps(_slowed(json.loads(path.read_text()))))
    worse = subprocess.run(site.command("compare", str(path), str(slow)), capture_output=True, text=True, timeout=60)
    assert worse.returncode == 1
    assert worse.stdout.count("  slower") == 6
    assert worse.stderr.startswith("regression: lab.bench/q4: TTFT is slower, +9900.00%")


def test_ctrl_c_cancels_the_jobs_and_keeps_what_there_is(site: BenchSite) -> None:
    path = site.folder / "results.json"
    command = site.benchmark("--suite", "endless", "--boards", "q4,q8", "--output", str(path))
    with (
        tinyprof.connect(site.broker.url) as fleet,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run,
    ):
        until("a board runs", lambda: "running" in [board.state for board in fleet.boards().boards])
        run.send_signal(signal.SIGINT)
        _, stderr = run.communicate(timeout=60)
        assert run.returncode == 130, stderr
        until("no board runs", lambda: "running" not in [board.state for board in fleet.boards().boards])
    results = read_results(path)
    assert results.why == "interrupted after 0 of 2 runs"
    assert {failure.state for board in results.boards for failure in board.failures} == {"cancelled"}


def _slowed(file: dict) -> dict:
    for board in file["boards"]:
        for run in board["runs"]:
            for repetition in run["result"]["repetitions"]:
                repetition["ttft_ms"] *= SLOWED
                repetition["tpot_ms"] *= SLOWED
    return file
