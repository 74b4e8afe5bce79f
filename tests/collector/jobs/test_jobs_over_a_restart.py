"""What the book takes up after a restart."""

from job_book_site import (
    AGAIN,
    ID,
    JOB,
    NOW,
    S,
    Site,
    client,
    event,
    ids,
    job,
    result,
    sent,
    states,
)
from msgspec.structs import replace

from tinyprof_protocol.jobs import Where

CANCEL = replace(JOB, cancel=True)


def test_a_restart_loses_no_job_and_doubles_none():
    site = Site()
    site.hear(state="offline")
    jobs = [job(max_tokens=n) for n in range(1, 6)]
    for each in jobs:
        site.ask(each)
    again = site.restarted()
    order = ids(again.hear("b1"))
    while len(order) < len(jobs):
        order += ids(again.stored(result(order[-1])))
    assert order == [each.id for each in jobs]


def test_what_its_agent_had_at_the_restart_is_not_sent_again_and_its_result_answers():
    site = Site()
    site.ask()
    again = site.restarted()
    assert sent(again.hear("b1", jobs=[ID])) == []
    assert states(again.ask(to=AGAIN)) == ["accepted"]
    assert states(again.stored(result()), AGAIN) == ["finished"]


def test_a_result_that_comes_before_any_status_after_a_restart_is_taken():
    site = Site()
    site.ask()
    again = site.restarted()
    again.stored(event("job_finished"), result())
    assert again.book.state_of(ID) == "finished"
    assert sent(again.hear("b1")) == []


def test_a_run_that_any_board_could_make_stays_with_the_one_it_was_sent_to_over_a_restart():
    site = Site(boards=("b1", "b2"))
    (placed,) = sent(site.ask(where=Where(site="lab")))
    again = site.restarted()
    assert [one.board for one in sent(again.hear("b1", "b2"))] == [placed.board]


def test_joined_jobs_are_joined_over_a_restart_even_where_the_leader_was_cancelled():
    site = Site()
    leader, follower = job(), job()
    site.ask(leader, client(1))
    site.ask(follower, client(2))
    site.ask(replace(leader, cancel=True), client(1))
    again = site.restarted()
    assert ids(again.hear("b1", jobs=[leader.id])) == []
    again.ask(follower, client(3))
    assert states(again.stored(result(leader.id)), client(3)) == ["finished"]


def test_an_ended_job_is_ended_after_a_restart_with_its_result():
    site = Site()
    site.ask()
    site.stored(result())
    (answer,) = site.restarted().ask(to=AGAIN)
    assert (answer.reply.state, answer.result_of) == ("finished", ID)


def test_a_cancellation_is_a_cancellation_after_a_restart():
    site = Site()
    site.ask()
    site.stored(event("job_started"))
    site.ask(CANCEL)
    again = site.restarted()
    assert [one.cancel for one in sent(again.hear("b1", jobs=[ID], now_ns=NOW + 5 * S))] == [True]
