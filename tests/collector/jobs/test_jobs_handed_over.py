"""What becomes of jobs that share a run when the partitions of some of them are handed over, of others not."""

from job_book_site import NOW, Site, answers, board, client, ids, job, result, sent, states

from tinyprof_collector.jobs.book import JobBook
from tinyprof_collector.jobs.entry import KeptJob
from tinyprof_protocol.jobs import JobsRequest, ProfileRequest, Where
from tinyprof_protocol.names import partition_of

HERE, THERE = "lab.one", "lab.bench"
"""Nodes of two partitions."""
LAB = Where(site="lab")
CLIENT = "ab" * 16


def site(partitions=range(16)) -> Site:
    made = Site(boards=())
    made.book = JobBook(100, made.presence.agents, 3.0, partitions, shared=True)
    return made


def kept(request: ProfileRequest, run_id: bytes, node: str = "", name: str = "") -> KeptJob:
    return KeptJob(request, CLIENT, NOW, "queued", run_id, "", node, name)


def leave(made: Site, node: str):
    left, actions = made.book.leave({partition_of(node)}, {}, NOW)
    return left, made.keep(actions)


def test_who_takes_over_a_job_that_had_joined_a_run_elsewhere_makes_one_for_it():
    mine, leader = job(node=HERE), job(node=THERE)
    made = site({partition_of(HERE)})
    made.book.restore([kept(ProfileRequest(mine), leader.id, THERE, "b1")])
    assert [(one.id, one.node, one.board) for one in sent(made.hear("b1", node=HERE))] == [(mine.id, HERE, "b1")]
    assert made.rows[mine.id].run_id == mine.id


def test_who_takes_over_jobs_that_waited_with_one_of_another_makes_one_run_for_them():
    leader, first, second = (job(node=HERE) for _ in range(3))
    made = site({partition_of(HERE)})
    made.book.restore([kept(ProfileRequest(one, LAB), leader.id) for one in (first, second)])
    assert ids(made.hear("b1", node=HERE)) == [first.id]
    made.stored(result(first.id), node=HERE)
    assert [made.book.state_of(one.id) for one in (first, second)] == ["finished", "finished"]


def test_a_job_that_had_joined_one_that_is_handed_over_waits_for_a_run_of_its_own():
    made = site()
    first, second = job(node=HERE), job(node=THERE)
    made.ask(first, client(1), where=LAB)
    made.ask(second, client(2), where=LAB)
    left, actions = leave(made, HERE)
    assert (left, states(actions)) == ({first.id}, [])
    assert [made.rows[one.id].run_id for one in (first, second)] == [first.id, second.id]
    assert ids(made.hear("b1", node=THERE)) == [second.id]


def test_jobs_that_share_a_run_on_a_node_that_is_handed_over_go_with_it():
    made = site()
    first, second = job(node=THERE), job(node=THERE)
    made.hear(board("b1", "open"), node=THERE)
    made.hear("b1", node=HERE)
    assert [one.node for one in sent(made.ask(first, client(1), where=LAB))] == [HERE]
    made.ask(second, client(2), where=LAB)
    assert {row.request.job.node for row in made.rows.values()} == {HERE}
    assert leave(made, THERE)[0] == set()
    left, actions = leave(made, HERE)
    assert (left, answers(actions), sent(actions)) == ({first.id, second.id}, [], [])


def test_nothing_is_sent_to_a_board_of_a_partition_that_was_handed_over():
    made = site()
    made.hear("b1", node=HERE)
    leave(made, HERE)
    assert sent(made.ask(job(node=THERE), where=LAB)) == []
    made.hear("b1", node=THERE)
    assert made.book.gauges()["jobs_running"] == 1


def test_where_jobs_are_shared_no_board_here_is_no_reason_to_refuse_what_others_may_have():
    made = site()
    assert states(made.ask(job(node=HERE), where=LAB)) == ["queued"]
    made.hear("b1", node=HERE)
    (refused,) = answers(made.ask(job(node=HERE), where=Where(label="fats")))
    assert refused.code == "unknown_board"
    assert states(made.ask(job(board="b7", node=HERE), where=Where(label="fats"))) == ["queued"]


def test_a_job_of_any_board_is_the_same_whichever_board_it_names_by_now():
    made = site()
    made.hear("b1", node=HERE)
    asked = job(node=THERE)
    made.ask(asked, client(1), where=LAB)
    (view,) = made.book.listing(JobsRequest("list")).jobs
    assert (view.job.node, view.where) == (HERE, LAB)
    for again in (asked, view.job):
        assert states(made.ask(again, client(2), where=LAB)) == ["queued"]
    (refused,) = answers(made.ask(asked, client(2)))
    assert refused.code == "job_exists"
