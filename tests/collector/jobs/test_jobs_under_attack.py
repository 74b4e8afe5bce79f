"""What jobs survive that no client means: cancellations beside their requests, clocks that step, floods."""

from job_book_site import AGAIN, ASK, ID, JOB, NODE, NOW, S, Site, event, job, new_id, result, sent
from msgspec.structs import replace

from tinyprof_collector.jobs.actions import Answer
from tinyprof_collector.jobs.book import RESULT_GRACE_S
from tinyprof_collector.jobs.waiting import Lane, Waiting
from tinyprof_protocol.jobs import ProfileRequest


def test_who_is_joined_to_a_job_that_is_cancelled_before_it_is_kept_gets_its_run():
    site, joined = Site(), job()
    book = site.book
    book.ask(ProfileRequest(JOB), ASK, NOW)
    book.ask(ProfileRequest(joined), AGAIN, NOW)
    book.ask(ProfileRequest(replace(JOB, cancel=True)), ASK, NOW)
    [run] = sent(site.keep(book.begin(NOW)))
    assert run.id == ID
    site.stored(event("job_started"), event("job_finished"), result())
    assert (book.state_of(ID), book.state_of(joined.id)) == ("cancelled", "finished")


def test_a_clock_that_is_set_back_holds_no_resending_up():
    site = Site()
    assert sent(site.ask(job(deadline_ns=NOW + 9000 * S)))
    assert len(sent(site.hear("b1", now_ns=NOW - 3600 * S))) == 1


def test_a_clock_that_is_set_back_holds_no_result_up_that_does_not_come():
    site = Site()
    site.ask(job_ := replace(JOB, deadline_ns=NOW + 9000 * S))
    site.stored(event("job_started"), event("job_finished"))
    site.tick(NOW - 3600 * S)
    assert site.book.state_of(job_.id) == "started"
    site.tick(NOW - 3600 * S + (RESULT_GRACE_S + 1) * S)
    assert site.book.state_of(job_.id) == "finished"


def test_a_result_that_comes_late_is_everybodys_who_was_joined():
    site, joined = Site(), job()
    site.ask()
    site.ask(joined, AGAIN)
    site.stored(event("job_started"), event("job_finished"))
    site.tick(NOW + (RESULT_GRACE_S + 1) * S)
    assert site.book.state_of(joined.id) == "finished"
    site = site.restarted()
    late = NOW + (RESULT_GRACE_S + 2) * S
    site.stored(result(), now_ns=late)
    for one in (JOB, joined):
        [answer] = [a for a in site.ask(one, now_ns=late) if isinstance(a, Answer)]
        assert answer.result_of == ID or answer.reply.result is not None
    assert list(site.results) == [ID]


def test_who_asks_and_cancels_for_ever_beside_a_job_that_waits_leaves_nothing_behind():
    lane = Lane()
    lane.put(Waiting(ID, NODE, 0, NOW, 0))
    for arrival in range(1, 10_000):
        lane.put(waits := Waiting(new_id(), NODE, arrival % 3, NOW, arrival))
        lane.remove(waits.run_id)
    assert sum(len(heap) for ring in lane._rings.values() for heap in ring.values()) < 200
    assert list(lane.order()) == [ID]
