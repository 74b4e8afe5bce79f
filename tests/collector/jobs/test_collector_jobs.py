"""The life of a job in the book: asked for, kept, sent, cancelled, ended, and who is told of it."""

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
from tinyprof_collector.jobs.book import LATE_GRACE_S, RESULT_GRACE_S
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.job_states import ENDED, STATE_OF_EVENT
from tinyprof_protocol.jobs import ProfileReply, ProfileRequest
from tinyprof_protocol.records import Record

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
