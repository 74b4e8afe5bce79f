"""Whose run is next, and which board makes it."""

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
)

from tinyprof_collector.jobs.boards import SHORT_WINDOW, WINDOW
from tinyprof_protocol.jobs import Where


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
