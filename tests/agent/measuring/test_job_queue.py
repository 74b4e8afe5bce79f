import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.job_queue import JobQueue, QueuedJob
from tinyprof_protocol.jobs import Job


def job(number: int, priority: int = 0) -> Job:
    return Job(id=number.to_bytes(16), node="s.a", board="b", deadline_ns=0, priority=priority)


@given(st.lists(st.integers(-100, 100), max_size=40))
def test_the_highest_priority_goes_first_and_among_equals_who_came_first(priorities: list[int]) -> None:
    queue = JobQueue()
    jobs = [job(i, priority) for i, priority in enumerate(priorities)]
    for one in jobs:
        queue.put(QueuedJob(one))
    taken = [queue.take() for _ in jobs]
    assert [one.job for one in taken if one] == sorted(jobs, key=lambda one: -one.priority)
    assert queue.take() is None


def test_it_is_bounded_and_a_job_waits_in_it_once() -> None:
    queue = JobQueue(at_most=2)
    queue.put(QueuedJob(job(1)))
    queue.put(QueuedJob(job(2), attempt=1))
    queue.put(QueuedJob(job(2), attempt=2))
    assert (len(queue), queue.is_full()) == (2, True)
    with pytest.raises(OverflowError):
        queue.put(QueuedJob(job(3)))
    assert queue.remove(job(2).id) == QueuedJob(job(2), attempt=1)
    assert queue.remove(job(2).id) is None
    assert job(1).id in queue
    assert job(2).id not in queue
