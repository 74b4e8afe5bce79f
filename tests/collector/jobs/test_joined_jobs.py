"""Jobs that share a run."""

import pytest
from job_book_site import (
    NOW,
    S,
    Site,
    answers,
    board,
    client,
    event,
    ids,
    job,
    result,
    sent,
    states,
)
from msgspec.structs import replace

from tinyprof_protocol.job_states import STATE_OF_EVENT


def test_equal_jobs_under_way_are_joined_and_have_the_leaders_result():
    site = Site()
    leader, follower = job(prompts=["One day"]), job(prompts=["One day"])
    site.ask(leader, client(1))
    assert sent(site.ask(follower, client(2))) == []
    ended = site.stored(result(leader.id))
    (reply,) = answers(ended, client(2))
    assert (reply.job_id, reply.state, reply.joined, reply.result) == (
        follower.id,
        "finished",
        leader.id,
        result(leader.id),
    )
    assert site.book.counts()["jobs_joined"] == 1
    (later,) = site.ask(follower, client(3))
    assert (later.result_of, later.reply.joined) == (leader.id, leader.id)


@pytest.mark.parametrize(
    "other",
    [{"prompts": ["Another day"]}, {"max_tokens": 7}, {"repetitions": 7}, {"suite": "standard"}, {"board": "b2"}],
)
def test_unequal_jobs_are_not_joined(other):
    site = Site(boards=("b1", "b2"))
    site.ask(job())
    assert len(sent(site.ask(job(**other)))) == 1


def test_boards_of_one_build_join_and_boards_of_another_do_not():
    one = {"build": "0" * 16, "clock_mode": "1", "platform": "stm32f405", "emulated": True}
    site = Site(boards=(board("b1", **one), board("b2", **one), board("b3", **{**one, "build": "1" * 16})))
    site.ask(job("b1"))
    assert sent(site.ask(job("b2"))) == []
    assert len(sent(site.ask(job("b3")))) == 1


def test_who_wants_a_run_of_its_own_is_not_joined():
    site = Site()
    site.ask(job())
    assert len(sent(site.ask(job(), use_cache=False))) == 1


def test_cancelling_the_leader_detaches_it_and_the_run_goes_on_while_others_are_joined():
    site = Site()
    leader, follower = job(), job()
    site.ask(leader, client(1))
    site.ask(follower, client(2))
    cancelled = site.ask(replace(leader, cancel=True), client(1))
    assert (states(cancelled), sent(cancelled)) == (["cancelled"], [])
    assert sent(site.hear("b1", jobs=[leader.id], now_ns=NOW + 5 * S)) == []
    assert states(site.stored(result(leader.id)), client(2)) == ["finished"]
    assert site.book.state_of(leader.id) == "cancelled"
    alone = Site()
    alone.ask(leader, client(1))
    alone.ask(follower, client(2))
    alone.ask(replace(leader, cancel=True), client(1))
    assert [one.cancel for one in sent(alone.ask(replace(follower, cancel=True), client(2)))] == [True]


@pytest.mark.parametrize("name", ["job_refused", "job_interrupted", "job_cancelled"])
def test_a_leader_that_ends_without_a_result_leaves_its_followers_a_run_of_their_own(name):
    site = Site()
    leader, second, third = job(), job(), job()
    for number, each in enumerate((leader, second, third)):
        site.ask(each, client(number))
    ended = site.stored(event(name, leader.id))
    assert states(ended, client(0)) == [STATE_OF_EVENT[name]]
    assert ids(ended) == [second.id]
    finished = site.stored(result(second.id))
    assert [reply.joined for reply in answers(finished, client(2))] == [second.id]


def test_a_follower_with_a_nearer_deadline_expires_alone():
    site = Site()
    leader, hurried = job(), job(deadline_ns=NOW + 5 * S)
    site.ask(leader, client(1))
    site.ask(hurried, client(2))
    assert [(reply.job_id, reply.state) for reply in answers(site.tick(NOW + 6 * S))] == [(hurried.id, "expired")]
    assert states(site.stored(result(leader.id)), client(1)) == ["finished"]


def test_a_follower_of_higher_priority_takes_its_leader_forward():
    site = Site()
    site.hear(state="offline")
    others, leader = [job(max_tokens=n) for n in (1, 2, 3)], job()
    for each in (*others, leader):
        site.ask(each)
    site.ask(job(priority=9))
    assert ids(site.hear("b1"))[0] == leader.id
