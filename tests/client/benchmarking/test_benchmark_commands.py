"""`benchmark`, `compare` and `convert` as a person calls them: against a collector of the test's own, and on files."""

import json
import signal
import subprocess
import sys

import msgspec
import pytest
from click.testing import CliRunner

from tinyprof.benchmarking.results_file import BoardResults as Board
from tinyprof.benchmarking.results_file import Machine, Results, RunMade, iso, read_results, write_results
from tinyprof.cli import tinyprof
from tinyprof_platforms.suites import offered, shipped_suites
from tinyprof_protocol.jobs import ProfileReply
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus
from tinyprof_protocol.records import Figure, Record
from tinyprof_protocol.requests import AgentView, BoardsReply, StatusReply

NODE = "lab.a1"
BOARDS = [
    BoardSummary(NODE, "b1", "healthy", [], 1, driver="host", platform="host", labels=["bench"]),
    BoardSummary(NODE, "b2", "healthy", [], 1, driver="probe", platform="rp2040"),
]
SUITES = [offered(name, suite) for name, suite in shipped_suites().items()]
AGENT = AgentStatus(NODE, "online", "0.1.0", bytes(16), offers=[one.name for one in SUITES], suites=SUITES)


def call(*arguments, broker=None):
    return CliRunner().invoke(tinyprof, arguments, env={"TINYPROF_BROKER": broker, "LOG_LEVEL": None})


def one_line(result):
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


@pytest.fixture
def fleet(collector, result, noisy):
    """A collector with two boards; `profile` may be another answer."""

    def profile(request):
        job = request.job
        made = result(noisy(10.0), board=job.board, suite=job.suite, figures={"ttft_ms": Figure(10.0)})
        record = Record(10**18 + 7, "clock", bytes(16), 5, made)
        return [ProfileReply(job.id, "started"), ProfileReply(job.id, "finished", final=True, result=record)]

    def start(profile=profile, agent=AGENT):
        return collector(
            {
                "boards": lambda asked: [BoardsReply([b for b in BOARDS if asked.node in (None, b.node)], len(BOARDS))],
                "status": lambda _: [
                    StatusReply(CollectorStatus("main", "online"), [AgentView(agent, "healthy", [], 1)], {})
                ],
                "profile": profile,
            }
        )

    return start


def asked_of(fake):
    return [request for kind, request in fake.requests if kind == "profile" and not request.job.cancel]


def test_a_benchmark_of_the_fleet_leaves_a_file_with_everything(fleet, broker, tmp_path) -> None:
    fake, path = fleet(), tmp_path / "r.json"
    done = call("benchmark", "--suite", "quick", "--repeat-runs", "2", "--output", str(path), broker=broker.url)
    assert done.exit_code == 0, done.stderr
    results = read_results(path)
    assert results.complete
    assert [(board.board, board.driver, len(board.runs)) for board in results.boards] == [
        ("lab.a1/b1", "host", 2), ("lab.a1/b2", "probe", 2),
    ]  # fmt: skip
    assert results.boards[0].labels == ["bench"]
    assert [(agent.node, agent.version, agent.boot) for agent in results.agents] == [(NODE, "0.1.0", "0" * 32)]
    assert results.suites["quick"]["prompts"] == ["One day"]
    run = results.boards[0].runs[1]
    assert (run.run, run.recorded_ns, len(run.result.repetitions)) == (2, 10**18 + 7, 12)
    assert all(not request.use_cache for request in asked_of(fake))
    assert len({request.job.id for request in asked_of(fake)}) == 4
    assert "lab.a1/b1: run 2 of 2: valid" in done.stderr
    assert done.stdout.splitlines()[1].split()[:4] == ["lab.a1/b1", "quick", "2/2", "2"]


@pytest.mark.parametrize(
    ("options", "boards"),
    [(["--boards", "b2"], ["b2"]), (["--platform", "rp2040"], ["b2"]), (["--label", "bench"], ["b1"]),
     (["--site", "lab"], ["b1", "b2"])],
)  # fmt: skip
def test_boards_are_chosen(fleet, broker, tmp_path, options, boards) -> None:
    fake = fleet()
    path = str(tmp_path / "r.json")
    done = call("benchmark", *options, "--suite", "quick", "--output", path, "--json", broker=broker.url)
    assert done.exit_code == 0
    assert [board["board"] for board in json.loads(done.stdout)["boards"]] == [f"{NODE}/{board}" for board in boards]
    assert sorted(request.job.board for request in asked_of(fake)) == boards


def test_a_suite_of_ones_own_goes_with_the_job_where_the_agent_has_it_otherwise(fleet, broker, tmp_path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text('prompts = ["Hello"]\nmax_tokens = 5\nmin_repetitions = 7\n')
    theirs = offered("mine", msgspec.structs.replace(shipped_suites()["quick"], gate=(), min_timed_s=10.0))
    agent = msgspec.structs.replace(AGENT, offers=["mine"], suites=[theirs])
    fake = fleet(agent=agent)
    path = str(tmp_path / "r.json")
    done = call("benchmark", "--boards", "b1", "--suite", str(suite), "--output", path, broker=broker.url)
    assert done.exit_code == 0, done.stderr
    [request] = asked_of(fake)
    assert (request.job.suite, request.job.prompts, request.job.max_tokens, request.job.repetitions) == (
        "mine", ["Hello"], 5, 7,
    )  # fmt: skip


def test_a_board_that_refuses_is_in_the_file_and_exit_1(fleet, broker, tmp_path) -> None:
    fleet(profile=lambda request: [ProfileReply(request.job.id, "refused", "the board is disabled", final=True)])
    path = tmp_path / "r.json"
    done = call("benchmark", "--boards", "b1", "--suite", "quick", "--output", str(path), broker=broker.url)
    assert done.exit_code == 1
    results = read_results(path)
    assert results.why == "1 of 1 run has no result: lab.a1/b1: the board is disabled"
    assert [(one.state, one.why) for one in results.boards[0].failures] == [("refused", "the board is disabled")]
    assert "incomplete: 1 of 1 run" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--boards", "b3"], 1, "nearest: lab.a1/b2, lab.a1/b1"),
        (["--boards", "b1,B 3"], 2, "write BOARD or SITE.AGENT/BOARD"),
        (["--platform", "esp32"], 1, "no board has the platform 'esp32'; there are host, rp2040"),
        (["--suite", "quik"], 1, "offers no suite called 'quik'; did you mean 'quick'?"),
        (["--suite", "none.toml"], 2, "none.toml: cannot be read"),
    ],
)
def test_what_cannot_be_measured_is_one_line(fleet, broker, tmp_path, arguments, code, says) -> None:
    fleet()
    done = call("benchmark", *arguments, "--output", str(tmp_path / "r.json"), broker=broker.url)
    assert done.exit_code == code
    assert says in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--output"),
        (
            ["--output", "/no/such/folder/r.json", "--model", "stories260k-q4_0"],
            "/no/such/folder/r.json: cannot be wri",
        ),
        (["--output", "r.json", "--model", "a", "--port", "b"], "give one of --port, --model and --target"),
        (
            ["--output", "r.json", "--model", "a", "--boards", "b"],
            "--boards has an effect with boards of the fleet only",
        ),
        (["--output", "r.json", "--baud", "9600"], "--baud has an effect with --port only"),
        (["--output", "r.json", "--model", "no-such"], "model 'no-such' is neither a file nor one of"),
        (["--output", "r.json", "--model", "stories260k-q4_0", "--suite", "quik"], "there are emulated, quick, soak"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(tmp_path, monkeypatch, arguments, says) -> None:
    monkeypatch.chdir(tmp_path)
    done = call("benchmark", *arguments)
    assert done.exit_code == 2
    assert says in one_line(done)


def test_a_benchmark_of_this_machine_without_a_broker(tmp_path) -> None:
    suite, path = tmp_path / "tiny.toml", tmp_path / "r.json"
    suite.write_text('prompts = ["One day"]\nmax_tokens = 4\nmin_repetitions = 6\nmin_timed_s = 0\nruns = 2\n')
    done = call("benchmark", "--model", "stories260k-q4_0", "--suite", str(suite), "--output", str(path), "--json")
    assert json.loads(done.stdout)["boards"][0]["runs"] == 2, done.stderr
    results = read_results(path)
    assert (results.boards[0].board, results.boards[0].driver) == ("host", "host")
    assert {len(run.result.repetitions) for run in results.boards[0].runs} == {6}
    assert results.machine.cpus >= 1


@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_and_keeps_what_there_is(tmp_path) -> None:
    suite, path = tmp_path / "tiny.toml", tmp_path / "r.json"
    suite.write_text('prompts = ["One day"]\nmax_tokens = 4\nmin_repetitions = 2\nmin_timed_s = 0\nruns = 1000\n')
    command = [sys.executable, "-m", "tinyprof", "benchmark", "--model", "stories260k-q4_0", "--suite", str(suite),
               "--output", str(path)]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stderr:
            if "run 2 of 1000" in line:
                break
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=60)
    assert run.returncode == 130, stderr
    assert "Traceback" not in stderr
    results = read_results(path)
    assert not results.complete
    assert results.why == f"interrupted after {len(results.boards[0].runs)} of 1,000 runs"
    assert len(results.boards[0].runs) >= 2
    assert f"incomplete: {results.why}" in stdout


# ---- compare and convert


@pytest.fixture
def files(tmp_path, result, noisy):
    """Writes a results file of boards with these times to first token."""

    def write(name, **boards):
        def runs(times):
            return [
                RunMade(1, iso(0), iso(0), result(times, [2.0] * len(times), figures={"ttft_ms": Figure(times[0])}))
            ]

        made = [Board(f"lab.a1/{board}", "quick", 1, runs=runs(times)) for board, times in boards.items()]
        path = tmp_path / name
        write_results(path, Results("tinyprof-results", 1, "0.1.0", "", "", True, Machine(), boards=made))
        return str(path)

    return write


def test_a_file_is_the_same_as_itself_and_worse_than_a_quicker_one(files, noisy) -> None:
    old, new = files("old.json", b1=noisy(10.0), b2=noisy(20.0)), files("new.json", b1=noisy(12.0), b2=noisy(20.0))
    same = call("compare", old, old)
    assert same.exit_code == 0
    assert same.stdout.count("same") == 6
    assert same.stderr == ""
    worse = call("compare", old, new)
    assert worse.exit_code == 1
    assert worse.stderr.startswith("regression: lab.a1/b1: TTFT is slower, +20.00%")
    assert call("compare", new, old).exit_code == 0
    assert call("compare", old, new, "--fail-on", "30%").exit_code == 0
    assert call("compare", old, new, "--metric", "tpot_ms").exit_code == 0


def test_a_stricter_limit_makes_smaller_changes_worth_telling(files, noisy) -> None:
    old, new = files("old.json", b1=noisy(10.0, 40)), files("new.json", b1=[1.03 * time for time in noisy(10.0, 40)])
    assert call("compare", old, new).exit_code == 0
    assert call("compare", old, new, "--fail-on", "2%").exit_code == 1
    said = json.loads(call("compare", old, new, "--effect", "0.01", "--json").stdout)
    assert (said["effect"], said["fail_on"]) == (0.01, 0.01)
    assert said["boards"][0]["metrics"][0]["verdict"] == "slower"


def test_compare_writes_markdown_too(files, noisy) -> None:
    old = files("old.json", b1=noisy(10.0))
    assert call("compare", old, old, "--markdown", "--metric", "ttft_ms").stdout.startswith("| board | old TTFT ms |")


def test_what_was_not_compared_is_no_success(files, noisy) -> None:
    old, other = files("old.json", b1=noisy(10.0)), files("other.json", b9=noisy(10.0))
    few = files("few.json", b1=[10.0])
    nothing = call("compare", old, other)
    assert nothing.exit_code == 1
    assert "no board in common" in nothing.stderr
    undecided = call("compare", old, few)
    assert undecided.exit_code == 1
    assert "not enough samples" in undecided.stdout
    assert "nothing could be compared" in undecided.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compare", "OLD", "none.json"], "none.json: cannot be read"),
        (["compare", "OLD", "OLD", "--fail-on", "lots"], "write 5% or 0.05"),
        (["compare", "OLD", "OLD", "--metric", "decode_tsp"], "decode_tps"),
        (["compare", "OLD", "OLD", "--json", "--markdown"], "leave one of them out"),
        (["compare", "FUTURE", "OLD"], "is of version 2 of the results' schema"),
        (["convert", "FUTURE", "--to", "markdown"], "is of version 2 of the results' schema"),
        (["convert", "OLD", "--to", "yaml"], "llama-bench"),
        (["convert", "OLD", "--to", "badge-svg", "--metric", "nope"], "no metric is called 'nope'"),
        (["convert", "OLD", "--to", "badge-svg"], "a badge is of one board, and these are 2"),
        (["convert", "OLD", "--to", "markdown", "--boards", "b7"], "no board of the file is called 'b7'"),
    ],
)
def test_files_and_options_of_no_use_are_one_line(files, noisy, tmp_path, arguments, says) -> None:
    old = files("old.json", b1=noisy(10.0), b2=noisy(10.0))
    future = tmp_path / "future.json"
    future.write_text('{"schema": "tinyprof-results", "version": 2}')
    done = call(*({"OLD": old, "FUTURE": str(future)}.get(word, word) for word in arguments))
    assert done.exit_code == 2
    assert says in one_line(done)


def test_a_file_is_turned_into_what_others_read(files, noisy, tmp_path) -> None:
    old = files("old.json", b1=noisy(10.0), b2=noisy(10.0))
    tests = json.loads(call("convert", old, "--to", "llama-bench", "--boards", "b1").stdout)
    assert [(one["n_prompt"], one["n_gen"]) for one in tests] == [(5, 0), (0, 23)]
    table = call("convert", old, "--to", "markdown").stdout.splitlines()
    assert [row.split(" | ")[0] for row in table[2:]] == ["| lab.a1/b1", "| lab.a1/b2"]
    badge = json.loads(call("convert", old, "--to", "badge-json", "--boards", "b2").stdout)
    assert (badge["schemaVersion"], badge["label"], badge["message"]) == (1, "b2 decode", "500.0 tokens/s")
    path = tmp_path / "badge.svg"
    done = call("convert", old, "--to", "badge-svg", "--boards", "b2", "--output", str(path), "--json")
    assert path.read_text() == json.loads(done.stdout)["text"]
    assert path.read_text().startswith("<svg ")
