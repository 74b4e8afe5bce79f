import pytest

from tinyprof_collector.jobs import KEEP_S, RESULT_GRACE_S, Answer, Jobs, ReplyTo, Send
from tinyprof_protocol.job_states import ENDED, STATE_OF_EVENT
from tinyprof_protocol.jobs import Job, ProfileReply
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Build, ClockReport, Conditions, Event, Record, Result
from tinyprof_protocol.requests import Failure

S = 10**9
NOW = 1_800_000_000 * S
NODE = "lab.pi"
ID = bytes(range(16))
ASK = ReplyTo("tinyprof/1/replies/" + "0" * 32, b"q1")
AGAIN = ReplyTo("tinyprof/1/replies/" + "1" * 32, b"q2")
JOB = Job(ID, NODE, "b1", NOW + 100 * S)


def record(body) -> Record:
    return Record(NOW, "clock", bytes(16), 1, body)


def event(name, job_id=ID, message="") -> Record:
    return record(Event(name, job_id=job_id, message=message))


def result(job_id=ID) -> Record:
    build = Build("host", "e", "1", "m", "0" * 64, "Q4_0", "f32", "float32", 256, "device")
    return record(
        Result(ID, "b1", build, "quick", [], 1, "valid", [], "match", ClockReport("host"), {}, [], Conditions(), 1.0,
               job_id=job_id)
    )  # fmt: skip


def online(*jobs, node=NODE, state="online") -> AgentStatus:
    return AgentStatus(node, state, jobs=list(jobs))


def asked(job=JOB, max_jobs=10) -> Jobs:
    jobs = Jobs(max_jobs)
    jobs.request(job, ASK, NOW)
    return jobs


def test_a_new_job_is_answered_at_once_and_sent_with_the_time_left():
    assert Jobs(10).request(JOB, ASK, NOW) == [Answer(ASK, ProfileReply(ID, "queued")), Send(JOB, 100)]


@pytest.mark.parametrize(
    ("agent", "says"),
    [
        ("offline", "its agent lab.pi is offline; the job waits for it until its deadline"),
        ("stale", "no word from its agent lab.pi; the job waits for it until its deadline"),
        (None, "nothing was heard of its agent lab.pi yet; the job waits for it until its deadline"),
    ],
)
def test_who_asks_is_told_that_the_agent_is_not_there_and_the_job_goes_on_waiting(agent, says):
    jobs = Jobs(10)
    waiting = ProfileReply(ID, "queued", says, final=False)
    assert jobs.request(JOB, ASK, NOW, agent)[0] == Answer(ASK, waiting)
    assert jobs.request(JOB, ASK, NOW, agent) == [Answer(ASK, waiting)]
    assert jobs.request(JOB, ASK, NOW, "online") == [Answer(ASK, ProfileReply(ID, "queued"))]
    assert jobs.status(online(), NOW) == [Send(JOB, 100)]


def test_it_is_sent_again_on_each_status_that_does_not_list_it():
    jobs = asked()
    assert jobs.status(online(), NOW + 10 * S) == [Send(JOB, 90)]
    assert jobs.status(online(ID), NOW + 20 * S) == []
    assert jobs.status(online(), NOW + 30 * S) == [Send(JOB, 70)]
    assert jobs.status(online(node="lab.other"), NOW + 30 * S) == []
    assert jobs.status(online(state="offline"), NOW + 30 * S) == []


def test_acceptance_and_the_end_are_answered_once_each():
    jobs = asked()
    assert jobs.stored(NODE, event("job_accepted"), NOW) == [Answer(ASK, ProfileReply(ID, "accepted"))]
    assert jobs.stored(NODE, event("job_accepted"), NOW) == []
    assert jobs.stored(NODE, event("job_started"), NOW) == []
    assert jobs.state_of(ID) == "started"
    final = ProfileReply(ID, "finished", final=True, result=result())
    assert jobs.stored(NODE, result(), NOW) == [Answer(ASK, final)]
    assert jobs.stored(NODE, event("job_finished"), NOW) == []
    assert jobs.stored(NODE, result(), NOW) == []
    assert jobs.status(online(), NOW) == []


def test_started_before_accepted_tells_that_it_was_taken():
    jobs = asked()
    assert jobs.stored(NODE, event("job_started"), NOW) == [Answer(ASK, ProfileReply(ID, "started"))]
    assert jobs.stored(NODE, event("job_accepted"), NOW) == []
    assert jobs.state_of(ID) == "started"


@pytest.mark.parametrize("name", ["job_refused", "job_interrupted", "job_cancelled"])
def test_an_end_without_a_result(name):
    jobs = asked()
    state = STATE_OF_EVENT[name]
    reply = ProfileReply(ID, state, "why", final=True)
    assert jobs.stored(NODE, event(name, message="why"), NOW) == [Answer(ASK, reply)]
    assert jobs.state_of(ID) in ENDED
    assert jobs.status(online(), NOW) == []
    assert jobs.tick(NOW + 200 * S) == []


def test_finished_waits_for_its_result_and_not_for_ever():
    jobs = asked()
    assert jobs.stored(NODE, event("job_finished"), NOW) == []
    assert jobs.status(online(), NOW + S) == []
    assert jobs.tick(NOW + RESULT_GRACE_S * S) == []
    (answer,) = jobs.tick(NOW + (RESULT_GRACE_S + 1) * S)
    assert isinstance(answer, Answer)
    assert isinstance(answer.reply, ProfileReply)
    assert (answer.reply.state, answer.reply.final, answer.reply.result) == ("finished", True, None)
    assert jobs.stored(NODE, result(), NOW) == []
    (late,) = jobs.request(JOB, AGAIN, NOW)
    assert late == Answer(
        AGAIN, ProfileReply(ID, "finished", "it finished, but its result has not come", True, result())
    )


def test_the_deadline_ends_it():
    jobs = asked()
    assert jobs.tick(NOW + 100 * S) == []
    (answer,) = jobs.tick(NOW + 100 * S + 1)
    assert isinstance(answer, Answer)
    assert answer.reply == ProfileReply(ID, "expired", "its deadline passed while it was queued", final=True)
    late = Jobs(10).request(JOB, ASK, NOW + 101 * S)
    assert isinstance(late[0], Answer)
    assert isinstance(late[0].reply, ProfileReply)
    assert late[0].reply.state == "expired"


def test_a_repeated_request_is_the_same_job():
    jobs = asked()
    assert jobs.request(JOB, AGAIN, NOW) == [Answer(AGAIN, ProfileReply(ID, "queued"))]
    taken = jobs.stored(NODE, event("job_accepted"), NOW)
    assert [action.to for action in taken if isinstance(action, Answer)] == [ASK, AGAIN]
    third = ReplyTo("tinyprof/1/replies/" + "2" * 32, None)
    assert jobs.request(JOB, third, NOW) == [Answer(third, ProfileReply(ID, "accepted"))]
    assert len(jobs.stored(NODE, result(), NOW)) == 3
    assert len(jobs) == 1


def test_an_id_of_another_board_is_refused():
    (answer,) = asked().request(Job(ID, NODE, "b2", JOB.deadline_ns), AGAIN, NOW)
    assert isinstance(answer, Answer)
    assert isinstance(answer.reply, Failure)
    assert answer.reply.code == "job_exists"


@pytest.mark.parametrize(
    ("node", "said"), [("lab.other", event("job_refused")), (NODE, event("job_refused", b"x" * 16)),
                       (NODE, event("reset")), (NODE, event("job_refused", None))]
)  # fmt: skip
def test_what_is_not_about_the_job_changes_nothing(node, said):
    jobs = asked()
    assert jobs.stored(node, said, NOW) == []
    assert jobs.state_of(ID) == "queued"


def cancellation() -> Job:
    return Job(ID, NODE, "b1", JOB.deadline_ns, cancel=True)


def test_a_cancellation_is_sent_until_its_agent_no_longer_lists_it():
    jobs = asked()
    jobs.stored(NODE, event("job_accepted"), NOW)
    assert jobs.request(cancellation(), AGAIN, NOW) == [Send(cancellation(), 100)]
    assert jobs.status(online(ID), NOW + S) == [Send(cancellation(), 99)]
    assert jobs.status(online(), NOW + S) == []
    ended = jobs.stored(NODE, event("job_cancelled"), NOW)
    assert [action.to for action in ended if isinstance(action, Answer)] == [ASK, AGAIN]


def test_a_job_cancelled_before_its_agent_had_it_ends_with_the_next_status():
    jobs = asked()
    jobs.request(cancellation(), AGAIN, NOW)
    answers = jobs.status(online(), NOW)
    assert [a.reply.state for a in answers if isinstance(a, Answer) and isinstance(a.reply, ProfileReply)] == [
        "cancelled",
        "cancelled",
    ]


def test_jobs_are_bounded_and_an_ended_one_makes_room():
    jobs = asked(max_jobs=1)
    other = Job(b"o" * 16, NODE, "b1", JOB.deadline_ns)
    (answer,) = jobs.request(other, ASK, NOW)
    assert isinstance(answer, Answer)
    assert isinstance(answer.reply, Failure)
    assert answer.reply.code == "busy"
    jobs.stored(NODE, result(), NOW)
    assert jobs.request(other, ASK, NOW)[-1] == Send(other, 100)
    assert jobs.state_of(ID) is None
    assert jobs.counts["jobs_over_bound"] == 1


def test_an_id_is_kept_for_a_day_after_its_deadline():
    jobs = asked()
    jobs.stored(NODE, result(), NOW)
    jobs.tick(JOB.deadline_ns + KEEP_S * S)
    assert jobs.state_of(ID) == "finished"
    jobs.tick(JOB.deadline_ns + KEEP_S * S + 1)
    assert len(jobs) == 0
