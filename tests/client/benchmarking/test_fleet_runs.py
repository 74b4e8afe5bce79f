"""One run of a board of the fleet: how a job's end becomes the run's, and that nothing is waited for without end."""

import threading
from contextlib import nullcontext
from itertools import count

import pytest

from tinyprof.benchmarking.fleet_runs import CANCELLED_WITHIN_S, RUN_WITHIN_S, FleetRuns
from tinyprof.benchmarking.running import BoardPlan
from tinyprof.job_handle import FleetJob
from tinyprof.request_channel import BrokerUnreachable
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest
from tinyprof_protocol.records import Record

JOB = Job(b"j" * 16, "lab.a", "b", 10**18)
PLAN = BoardPlan("lab.a/b", "quick", 1, terms={"prompts": ("Hi",)})


class Fleet:
    """Gives jobs that a test ends; `on_cancel` hears a cancellation."""

    def __init__(self, on_cancel=lambda job: None, error=None) -> None:
        self.asked, self.on_cancel, self.error, self.cancels = [], on_cancel, error, 0

    def submit(self, board, **terms):
        if self.error is not None:
            raise self.error
        self.asked.append((board, terms))
        self.job = FleetJob(ProfileRequest(JOB, use_cache=terms["use_cache"]), self._cancelled)
        return self.job

    def _cancelled(self, job) -> None:
        self.cancels += 1
        self.on_cancel(job)


class Feed:
    def of(self, job_id, hear):
        return nullcontext()


def reply(state, message="", final=True, result=None):
    return ProfileReply(JOB.id, state, message, final, result)


def run(fleet, *, cancelled=None, said=None, clock=None):
    runs = FleetRuns(fleet, Feed(), 60.0, 3, clock or (lambda: 0.0))
    return runs(PLAN, lambda *where: (said if said is not None else []).append(where), cancelled or threading.Event())


def test_a_result_comes_with_the_time_that_its_agent_gave_it(result) -> None:
    made = Record(77, "estimated", bytes(16), 5, result([1.0]))
    fleet, said = Fleet(), []
    submit = fleet.submit

    def at_once(board, **terms):
        job = submit(board, **terms)
        job.note(reply("queued", "its agent is offline", final=False))
        job.note(reply("finished", result=made))
        return job

    fleet.submit = at_once
    ended = run(fleet, said=said)
    assert (ended.state, ended.result, ended.recorded_ns, ended.recorded) == ("finished", made.body, 77, "estimated")
    [(board, terms)] = fleet.asked
    assert (board, terms["suite"], terms["prompts"], terms["use_cache"], terms["priority"]) == (
        "lab.a/b", "quick", ("Hi",), False, 3,
    )  # fmt: skip


@pytest.mark.parametrize("state", ["refused", "expired", "interrupted"])
def test_a_job_that_ends_without_a_result_says_why(state) -> None:
    fleet = Fleet()
    threading.Timer(0.05, lambda: fleet.job.note(reply(state, "no such suite"))).start()
    ended = run(fleet)
    assert (ended.state, ended.message, ended.result) == (state, "no such suite", None)


def test_a_cancellation_is_told_once_and_waited_for() -> None:
    cancelled = threading.Event()
    cancelled.set()
    fleet = Fleet(on_cancel=lambda job: job.note(reply("cancelled", "by its client")))
    ended = run(fleet, cancelled=cancelled)
    assert (ended.state, ended.message, fleet.cancels) == ("cancelled", "by its client", 1)


def test_an_agent_that_says_nothing_any_more_is_not_waited_for_without_end() -> None:
    ticks = count(0, 600)
    fleet = Fleet()
    ended = run(fleet, clock=lambda: float(next(ticks)))
    assert (ended.state, ended.result, fleet.cancels) == ("failed", None, 1)
    assert "has not ended" in ended.message
    assert next(ticks) > 60 + RUN_WITHIN_S + CANCELLED_WITHIN_S


def test_a_fleet_that_cannot_be_asked_is_a_failure_of_the_run() -> None:
    ended = run(Fleet(error=BrokerUnreachable("no broker\nthere")))
    assert (ended.state, ended.message) == ("failed", "no broker there")
