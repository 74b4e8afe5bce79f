"""The book of jobs: what is asked, kept, sent and answered."""

import pytest
from job_book_site import (
    AGAIN,
    ASK,
    ID,
    JOB,
    NODE,
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

from tinyprof_collector.jobs.actions import Answer, Send
from tinyprof_collector.jobs.boards import SHORT_WINDOW, WINDOW
from tinyprof_collector.jobs.book import KEEP_S, LATE_GRACE_S, RESULT_GRACE_S
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.job_states import ENDED, STATE_OF_EVENT
from tinyprof_protocol.jobs import JobsRequest, ProfileReply, ProfileRequest, Where
from tinyprof_protocol.records import Record
from tinyprof_protocol.requests import Failure

QUEUED = ProfileReply(ID, "queued", node=NODE, board="b1")


def test_a_new_job_is_promised_only_once_it_is_kept():
    site = Site()
    assert site.book.ask(ProfileRequest(JOB), ASK, NOW) == []
    assert [kept.request.job for kept in site.book.changes().jobs] == [JOB]
    site.book.kept()
    assert site.book.begin(NOW) == [Answer(ASK, QUEUED), Send(JOB, 100)]


def test_a_job_that_cannot_be_kept_is_none():
    site = Site()
    site.book.ask(ProfileRequest(JOB), ASK, NOW)
    (answer,) = answers(site.book.give_up("disk full"))
    assert (answer.code, "disk full" in answer.message) == ("not_kept", True)
    assert site.book.state_of(ID) is None
    assert ids(site.ask()) == [ID]


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("offline", "its agent lab.pi is offline; the job waits for it until its deadline"),
        ("stale", "no word from its agent lab.pi; the job waits for it until its deadline"),
        (None, "nothing was heard of its agent lab.pi yet; the job waits for it until its deadline"),
    ],
)
def test_who_asks_is_told_that_the_agent_is_not_there_and_it_gets_the_job_when_it_returns(agent, says):
    site = Site(boards=() if agent is None else ("b1",))
    if agent == "offline":
        site.hear(state="offline")
    now_ns = NOW + 99 * S if agent == "stale" else NOW
    long = replace(JOB, deadline_ns=now_ns + 100 * S)
    assert site.ask(long, now_ns=now_ns) == [Answer(ASK, ProfileReply(ID, "queued", says, node=NODE, board="b1"))]
    assert answers(site.ask(long, now_ns=now_ns)) == [ProfileReply(ID, "queued", says, node=NODE, board="b1")]
    assert sent(site.hear("b1", now_ns=now_ns)) == [long]


def test_an_agent_that_returns_after_the_deadline_gets_nothing():
    site = Site()
    site.hear(state="offline")
    site.ask()
    assert states(site.tick(NOW + 100 * S + 1)) == ["expired"]
    assert site.hear("b1", now_ns=NOW + 101 * S) == []


def test_it_is_sent_again_on_each_status_that_does_not_list_it():
    site = Site()
    site.ask()
    assert site.hear("b1", now_ns=NOW + 10 * S) == [Send(JOB, 90)]
    assert sent(site.hear("b1", jobs=[ID], now_ns=NOW + 20 * S)) == []
    assert site.hear("b1", now_ns=NOW + 30 * S) == [Send(JOB, 70)]
    assert site.hear("b1", node="lab.other", now_ns=NOW + 40 * S) == []
    assert site.hear(state="offline", now_ns=NOW + 40 * S) == []


def test_what_was_sent_a_moment_ago_may_be_on_its_way():
    site = Site()
    site.ask()
    assert site.hear("b1", now_ns=NOW + S // 2) == []


def test_each_state_is_told_once():
    site = Site()
    site.ask()
    assert states(site.stored(event("job_accepted"))) == ["accepted"]
    assert site.stored(event("job_accepted")) == []
    assert states(site.stored(event("job_started"))) == ["started"]
    assert site.stored(event("job_accepted")) == []
    final = ProfileReply(ID, "finished", final=True, result=result(), node=NODE, board="b1")
    assert site.stored(result()) == [Answer(ASK, final)]
    assert site.stored(event("job_finished"), result()) == []
    assert site.hear("b1", now_ns=NOW + 9 * S) == []


def test_of_what_came_together_only_the_newest_state_is_told():
    site = Site()
    site.ask()
    came = [event("job_accepted"), event("job_started"), event("job_finished"), result()]
    assert states(site.stored(*came)) == ["finished"]


@pytest.mark.parametrize("name", ["job_refused", "job_interrupted", "job_cancelled"])
def test_an_end_without_a_result(name):
    site = Site()
    site.ask()
    state = STATE_OF_EVENT[name]
    reply = ProfileReply(ID, state, "why", final=True, node=NODE, board="b1")
    assert site.stored(event(name, message="why")) == [Answer(ASK, reply)]
    assert site.book.state_of(ID) in ENDED
    assert site.hear("b1", now_ns=NOW + 9 * S) == []
    assert site.tick(NOW + 200 * S) == []


def test_finished_waits_for_its_result_and_not_for_ever():
    site = Site()
    site.ask()
    assert site.stored(event("job_finished")) == []
    assert site.hear("b1", now_ns=NOW + 9 * S) == []
    assert site.tick(NOW + RESULT_GRACE_S * S) == []
    (reply,) = answers(site.tick(NOW + (RESULT_GRACE_S + 1) * S))
    assert (reply.state, reply.final, reply.result) == ("finished", True, None)
    site.stored(result())
    assert unpack(site.results[ID], Record) == result()
    assert [action.result_of for action in site.ask(to=AGAIN)] == [ID]


def test_the_deadline_ends_it_and_one_that_runs_is_waited_for_a_little():
    site = Site()
    site.ask()
    assert site.tick(NOW + 100 * S) == []
    (reply,) = answers(site.tick(NOW + 100 * S + 1))
    assert (reply.state, reply.message) == ("expired", "its deadline passed while it was queued")
    assert states(site.ask(job(), now_ns=NOW + 101 * S)) == ["expired"]
    running = Site()
    running.ask()
    running.stored(event("job_started"))
    assert running.tick(NOW + (100 + LATE_GRACE_S) * S) == []
    assert states(running.tick(NOW + (100 + LATE_GRACE_S) * S + 1)) == ["expired"]


def test_a_repeated_request_is_the_same_job():
    site = Site()
    site.ask()
    assert site.ask(to=AGAIN) == [Answer(AGAIN, QUEUED)]
    assert states(site.stored(event("job_accepted")), AGAIN) == ["accepted"]
    assert states(site.ask(to=client(2))) == ["accepted"]
    assert len(site.stored(result())) == 3
    assert len(site.book) == 1


def test_the_same_request_twice_in_one_list_is_answered_twice_and_sent_once():
    site = Site()
    site.book.ask(ProfileRequest(JOB), ASK, NOW)
    site.book.ask(ProfileRequest(JOB), AGAIN, NOW)
    actions = site.keep(site.book.begin(NOW))
    assert (states(actions, ASK), states(actions, AGAIN), ids(actions)) == (["queued"], ["queued"], [ID])


def test_who_went_away_asks_again_by_the_same_id_and_has_the_result():
    site = Site()
    site.ask()
    site.stored(result())
    (answer,) = site.ask(to=AGAIN)
    assert (answer.reply.state, answer.reply.final, answer.result_of) == ("finished", True, ID)
    assert unpack(site.results[ID], Record) == result()


def test_an_id_of_another_board_is_refused():
    site = Site()
    site.ask()
    (answer,) = answers(site.ask(replace(JOB, board="b2"), AGAIN))
    assert answer.code == "job_exists"


@pytest.mark.parametrize(
    ("node", "said"), [("lab.other", event("job_refused")), (NODE, event("job_refused", b"x" * 16)),
                       (NODE, event("reset")), (NODE, event("job_refused", None))]
)  # fmt: skip
def test_what_is_not_about_the_job_changes_nothing(node, said):
    site = Site()
    site.ask()
    assert site.stored(said, node=node) == []
    assert site.book.state_of(ID) == "queued"


# ---- cancelling

CANCEL = replace(JOB, cancel=True)


def test_a_cancellation_is_sent_until_its_agent_says_what_became_of_the_job():
    site = Site()
    site.ask()
    site.stored(event("job_accepted"))
    assert site.ask(CANCEL, AGAIN) == [Send(CANCEL, 100)]
    assert sent(site.hear("b1", jobs=[ID], now_ns=NOW + S)) == [CANCEL]
    assert sent(site.hear("b1", jobs=[ID], now_ns=NOW + S)) == []
    assert sent(site.hear("b1", now_ns=NOW + 3 * S)) == [CANCEL], "its agent may have lost it, and says so"
    ended = site.stored(event("job_cancelled"))
    assert (states(ended, ASK), states(ended, AGAIN)) == (["cancelled"], ["cancelled"])


def test_a_job_cancelled_before_its_agent_had_it_ends_with_the_next_status():
    site = Site()
    site.ask()
    site.ask(CANCEL, AGAIN)
    assert states(site.hear("b1")) == ["cancelled", "cancelled"]


def test_a_job_that_waits_for_its_turn_is_cancelled_at_once():
    site = Site()
    site.hear(state="offline")
    site.ask()
    assert states(site.ask(CANCEL, AGAIN)) == ["cancelled", "cancelled"]
    assert sent(site.hear("b1")) == []


def test_of_a_job_that_is_not_known_the_agent_is_told_all_the_same():
    site = Site()
    assert sent(site.ask(CANCEL)) == [CANCEL]
    assert len(site.book) == 0


def test_what_is_cancelled_and_still_held_by_its_agent_is_cancelled_there():
    site = Site()
    site.hear(state="offline")
    site.ask()
    again = site.restarted()
    again.ask(CANCEL)
    assert sent(again.hear("b1", jobs=[ID])) == [CANCEL]


# ---- whose turn it is


def test_a_board_gets_no_more_than_its_window_and_the_next_when_one_has_ended():
    site = Site()
    jobs = [job(max_tokens=n) for n in range(1, 6)]
    first = [one for each in jobs for one in ids(site.ask(each))]
    assert first == [each.id for each in jobs[:WINDOW]]
    assert ids(site.stored(result(jobs[0].id))) == [jobs[WINDOW].id]


def test_a_board_whose_runs_are_short_is_sent_more_ahead():
    site = Site()
    jobs = [job(max_tokens=n) for n in range(1, 30)]
    for each in jobs:
        site.ask(each)
    site.stored(event("job_started", jobs[0].id), result(jobs[0].id, at_ns=NOW + S // 100))
    assert site.book.gauges()["jobs_running"] == SHORT_WINDOW


def test_the_higher_priority_goes_first_then_the_nearer_deadline_then_the_order():
    site = Site()
    site.hear(state="offline")
    late, soon = job(max_tokens=1, deadline_ns=NOW + 90 * S), job(max_tokens=2, deadline_ns=NOW + 50 * S)
    high = job(max_tokens=3, priority=5, deadline_ns=NOW + 99 * S)
    as_late = job(max_tokens=4, deadline_ns=NOW + 90 * S)
    for each in (late, soon, high, as_late):
        site.ask(each)
    order = ids(site.hear("b1"))
    while len(order) < 4:
        order += ids(site.stored(result(order[-1])))
        site.hear("b1", jobs=order)
    assert order == [high.id, soon.id, late.id, as_late.id]


def test_a_thousand_jobs_of_one_client_do_not_starve_anothers_one():
    site = Site(max_jobs=2000)
    many = [job(max_tokens=n) for n in range(1, 1001)]
    for each in many:
        site.ask(each, client(1))
    one = job(max_tokens=5000, deadline_ns=NOW + 10**6 * S)
    site.ask(one, client(2))
    done, running = 0, [each.id for each in many[:WINDOW]]
    while one.id not in running:
        done += 1
        running += ids(site.stored(result(running.pop(0))))
        assert done < 5, "the other client's job waits behind the many"


def test_a_run_for_any_board_goes_to_one_that_matches_and_has_least_to_do():
    site = Site(boards=(board("b1", labels=["fast"]), board("b2", labels=["fast"]), board("b3")))
    first, second, third = (job(max_tokens=n) for n in (1, 2, 3))
    places = [
        (one.board, one.id)
        for each in (first, second, third)
        for one in sent(site.ask(each, where=Where(label="fast")))
    ]
    assert places == [("b1", first.id), ("b2", second.id)]
    assert [(one.board, one.id) for one in sent(site.stored(result(second.id, "b2")))] == [("b2", third.id)]


@pytest.mark.parametrize(
    ("where", "expected"),
    [(Where(site="yard"), "b2"), (Where(node="yard.pi"), "b2"), (Where(platform="rp2040"), "b2"),
     (Where(label="fast"), "b2"), (Where(board="b2"), "b2"), (Where(site="lab"), "b1")],
)  # fmt: skip
def test_a_run_is_placed_by_site_node_platform_label_or_name(where, expected):
    site = Site()
    site.hear(board("b2", platform="rp2040", labels=["fast"]), node="yard.pi")
    (placed,) = sent(site.ask(where=where))
    assert placed.board == expected


@pytest.mark.parametrize("state", ["open", "retrying", "disabled"])
def test_a_board_that_fails_is_chosen_for_nothing_that_another_can_do(state):
    site = Site(boards=(board("b1", state),))
    assert sent(site.ask(where=Where(site="lab"))) == []
    assert [one.board for one in sent(site.hear(board("b1", state), board("b2")))] == ["b2"]
    assert [one.board for one in sent(site.ask(job("b1")))] == ["b1"]


def test_where_nothing_matches_it_is_refused_at_once():
    (answer,) = answers(Site().ask(where=Where(label="fats")))
    assert (answer.code, "label fats" in answer.message) == ("unknown_board", True)


# ---- joining


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


# ---- a restart of the collector


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


# ---- bounds, lists


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
