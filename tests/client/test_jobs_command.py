"""`tinyprof jobs` against a collector of the test's own."""

import json

import pytest
from click.testing import CliRunner

from tinyprof.cli import tinyprof
from tinyprof_protocol.jobs import Job, JobsReply, JobsRequest, JobView, Where
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.requests import BoardsReply

NODE = "lab.a1"
S = 10**9
WAITING = JobView(
    Job(b"w" * 16, NODE, "host", 5, prompts=["One\nday", "Two"], priority=3), "queued", "its agent is offline",
    Where(site="lab"), ahead=4,
)  # fmt: skip
DONE = JobView(
    Job(b"d" * 16, NODE, "host", 5), "finished", started_ns=5 * S, ended_ns=7 * S, joined=b"l" * 16
)  # fmt: skip


@pytest.fixture
def fake(collector):
    def answer(request: JobsRequest):
        if request.action == "cancel":
            return [JobsReply([], 0, 0 if request.ids == [b"n" * 16] else 1)]
        kept = [view for view in (WAITING, DONE) if not request.open_only or view.state == "queued"]
        return [JobsReply(kept, len(kept))]

    boards = [BoardSummary(NODE, "host", "healthy", [], 1)]
    return collector({"jobs": answer, "boards": lambda _: [BoardsReply(boards, 1)]})


def run(broker, *arguments: str):
    return CliRunner().invoke(tinyprof, [*arguments, "--broker", broker.url], standalone_mode=False)


def test_jobs_are_listed_in_words(fake, broker):
    done = run(broker, "jobs")
    lines = done.stdout.splitlines()
    assert lines[1].split()[:6] == [(b"w" * 16).hex(), "lab.a1/host", "(or", "another)", "queued", "quick"]
    assert "One day +1" in lines[1]
    assert lines[1].endswith("its agent is offline; 4 before it")
    assert "2.0 s" in lines[2]
    assert f"joined to {(b'l' * 16).hex()}" in lines[2]


def test_a_collector_that_hangs_is_named_and_the_jobs_of_the_others_are_listed(collector, broker):
    collector({"jobs": lambda _: [JobsReply([DONE], 1)]}, name="one", partitions=list(range(8)))
    collector({}, name="frozen", partitions=list(range(8, 16)))
    listed = run(broker, "jobs")
    assert "finished" in listed.stdout
    assert listed.stderr == "incomplete: collector frozen is silent\n"
    assert json.loads(run(broker, "jobs", "--json").stdout)["gaps"] == ["collector frozen is silent"]


def test_open_ones_of_a_board_as_json(fake, broker):
    done = run(broker, "jobs", "list", "--open", "--board", "host", "--json")
    (only,) = json.loads(done.stdout)["jobs"]
    assert (only["state"], only["job"]["id"]) == ("queued", (b"w" * 16).hex())
    request = fake.requests[-1][1]
    assert (request.node, request.board, request.open_only) == (NODE, "host", True)


def test_cancelling_says_how_many_and_fails_where_there_was_none(fake, broker):
    done = run(broker, "jobs", "cancel", (b"w" * 16).hex())
    assert (done.stdout, done.return_value) == ("1 job told to end\n", 0)
    assert run(broker, "jobs", "cancel", "--board", "host").return_value == 0
    none = run(broker, "jobs", "cancel", (b"n" * 16).hex(), "--json")
    assert (json.loads(none.stdout), none.return_value) == ({"cancelled": 0}, 1)


def test_cancelling_wants_ids_or_a_board(broker):
    assert "name jobs by their ids" in str(run(broker, "jobs", "cancel").exception)


@pytest.mark.parametrize("broker_url", ["mqtt://127.0.0.1:9", None])
def test_what_is_no_id_is_wrong_use_whether_anybody_answers_or_not(fake, broker, broker_url):
    arguments = ["jobs", "cancel", (b"w" * 16).hex(), "zz", "--broker", broker_url or broker.url]
    done = CliRunner().invoke(tinyprof, arguments)
    assert done.exit_code == 2
    assert done.stderr == "tinyprof: 'zz' is no job's id: 32 hexadecimal digits are\n"
    assert fake.requests == []


@pytest.mark.parametrize(("board", "code"), [("hots", 1), ("no board", 2), ("no-node/host", 2)])
def test_a_board_that_is_not_there_could_be_and_a_name_of_none_could_not(fake, broker, board, code):
    for command in (["jobs", "cancel", "--board", board], ["profile", board], ["history", board, "ttft_ms"]):
        assert CliRunner().invoke(tinyprof, [*command, "--broker", broker.url]).exit_code == code
