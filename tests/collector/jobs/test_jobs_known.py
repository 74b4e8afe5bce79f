"""How many jobs are known, for how long, and how they are listed."""

from job_book_site import (
    AGAIN,
    ID,
    JOB,
    NOW,
    S,
    Site,
    answers,
    client,
    event,
    ids,
    job,
    result,
    sent,
    states,
)

from tinyprof_collector.jobs.boards import WINDOW
from tinyprof_collector.jobs.book import KEEP_S
from tinyprof_protocol.jobs import JobsRequest
from tinyprof_protocol.requests import Failure


def test_jobs_are_bounded_and_an_ended_one_makes_room():
    site = Site(max_jobs=1)
    site.ask()
    other = job(max_tokens=3)
    (answer,) = answers(site.ask(other))
    assert isinstance(answer, Failure)
    assert answer.code == "busy"
    site.stored(result())
    assert ids(site.ask(other)) == [other.id]
    assert site.book.state_of(ID) is None
    assert (list(site.rows), list(site.results)) == ([other.id], [])
    assert (site.book.counts()["jobs_over_bound"], site.book.counts()["jobs_let_go"]) == (1, 1)


def test_the_result_of_a_run_is_kept_as_long_as_any_job_has_it():
    site = Site(max_jobs=2)
    leader, follower = job(), job()
    site.ask(leader)
    site.ask(follower, AGAIN)
    site.stored(result(leader.id))
    site.ask(job(max_tokens=3))
    assert site.book.state_of(leader.id) is None
    assert list(site.results) == [leader.id]
    assert [action.result_of for action in site.ask(follower, client(5))] == [leader.id]


def test_prompts_that_no_agent_would_take_are_refused_before_they_are_kept():
    (answer,) = answers(Site().ask(job(prompts=["x" * 4000] * 3)))
    assert answer.code == "too_long"


def test_an_id_is_kept_for_a_day_after_its_deadline():
    site = Site()
    site.ask()
    site.stored(result())
    site.tick(JOB.deadline_ns + KEEP_S * S)
    assert site.book.state_of(ID) == "finished"
    site.tick(JOB.deadline_ns + KEEP_S * S + 1)
    assert (len(site.book), site.rows, site.results) == (0, {}, {})


def test_jobs_are_listed_open_ones_first_with_how_many_go_before_them():
    site = Site()
    jobs = [job(max_tokens=n) for n in range(1, WINDOW + 4)]
    for each in jobs:
        site.ask(each)
    site.stored(event("job_started", jobs[0].id), event("job_refused", jobs[1].id, "no"))
    reply = site.book.listing(JobsRequest("list"))
    assert [(view.state, view.ahead) for view in reply.jobs[:4]] == [
        ("started", 0),
        ("queued", 0),
        ("queued", 0),
        ("queued", 1),
    ]
    assert (reply.jobs[-1].state, reply.jobs[-1].message, reply.total) == ("refused", "no", len(jobs))
    assert site.book.listing(JobsRequest("list", open_only=True)).total == len(jobs) - 1
    assert site.book.listing(JobsRequest("list", ids=[jobs[0].id])).jobs[0].job == jobs[0]
    assert site.book.listing(JobsRequest("list", node="lab.other")).total == 0
    assert site.book.listing(JobsRequest("list", offset=2, limit=1)).jobs[0].job.id == reply.jobs[2].job.id


def test_jobs_are_cancelled_by_client_and_none_by_leaving_everything_out():
    site = Site()
    mine, theirs = [job(max_tokens=n) for n in (1, 2, 3)], job(max_tokens=4)
    for each in mine:
        site.ask(each, client(1))
    site.ask(theirs, client(2))
    reply, actions = site.book.cancel(JobsRequest("cancel"), NOW)
    assert (reply.cancelled, actions) == (0, [])
    reply, actions = site.book.cancel(JobsRequest("cancel", client=client(1).client), NOW)
    assert reply.cancelled == 3
    assert {one.id for one in sent(actions)} == {each.id for each in mine[:WINDOW]}
    assert states(actions) == ["cancelled"] * (3 - WINDOW)
    assert site.book.state_of(theirs.id) == "queued"
