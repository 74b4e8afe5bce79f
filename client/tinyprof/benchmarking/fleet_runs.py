"""Runs of a benchmark on the boards of a fleet; never from a cache, for a benchmark measures."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tinyprof.benchmarking.progress_feed import ProgressFeed
from tinyprof.benchmarking.results_file import Agent
from tinyprof.benchmarking.running import BoardPlan, Ended, Say
from tinyprof.benchmarking.selection import (
    NothingToRun,
    SuiteAsked,
    Wanted,
    choose,
    job_terms,
    suite_for,
    why_not_offered,
)
from tinyprof.fleet import Fleet
from tinyprof.fleet_errors import FleetError
from tinyprof.job_handle import FleetJob
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.jobs import ProfileReply
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record, Result
from tinyprof_protocol.request_reply import RequestFailed

RUN_WITHIN_S: Final = 1800.0
"""No suite takes so long: a run that has begun and has not ended by then has been lost with its agent."""
CANCELLED_WITHIN_S: Final = 10.0
"""A job that is cancelled is waited for so long: its agent ends the run between two tokens and says so."""
_POLL_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class FleetRuns:
    """Makes runs of the fleet's boards. A plan's `terms` are what a job says in place of the suite's own.

    A run that has not begun within `within_s` seconds is given up.
    """

    fleet: Fleet
    feed: ProgressFeed
    within_s: float
    priority: int = 0
    clock: Callable[[], float] = time.monotonic

    def __call__(self, plan: BoardPlan, say: Say, cancelled: threading.Event) -> Ended:
        """One run, however it ends."""
        terms: Mapping[str, Any] = plan.terms if isinstance(plan.terms, dict) else {}
        try:
            job = self.fleet.submit(
                plan.board,
                suite=plan.suite,
                priority=self.priority,
                within_s=self.within_s,
                use_cache=False,
                **terms,
            )
            with self.feed.of(bytes.fromhex(job.id), lambda one: say(one.stage, one.repetition, one.repetitions)):
                return ended(self._followed(job, say, cancelled))
        except (FleetError, RequestFailed, LookupError) as why:
            return Ended("cancelled" if cancelled.is_set() else "failed", " ".join(str(why).split()))

    def _followed(
        self, job: FleetJob, say: Callable[[str, int, int], None], cancelled: threading.Event
    ) -> ProfileReply:
        """The final reply; a job that is given up is cancelled. Raises FleetError and RequestFailed."""
        give_up_s, told = self.clock() + self.within_s + RUN_WITHIN_S, False
        while not job.done():
            for reply in job.updates(_POLL_S):
                say(f"{reply.state}: {reply.message}" if reply.message else reply.state, 0, 0)
            if not told and (cancelled.is_set() or self.clock() > give_up_s):
                told, give_up_s = True, self.clock() + CANCELLED_WITHIN_S
                job.cancel()
            elif told and self.clock() > give_up_s:
                break
        return job.reply(0)


def ended(reply: ProfileReply) -> Ended:
    """What a final reply says of its run."""
    record: Record | None = reply.result
    if record is None or not isinstance(record.body, Result):
        return Ended(reply.state, reply.message)
    return Ended(reply.state, reply.message, record.body, record.time_ns, record.time)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan for each board, and what is known of suites and agents. `left_out`: boards that cannot, a line each."""

    plans: list[BoardPlan]
    suites: dict[str, Suite]
    agents: list[Agent]
    left_out: list[str]


def plan_fleet(fleet: Fleet, wanted: Wanted, asked: SuiteAsked | None, repeat_runs: int | None) -> Planned:
    """Which runs are to be made on which boards. Raises UnknownBoard, NothingToRun and FleetError."""
    chosen = choose(wanted, fleet.boards().boards)
    views = (view for reply in fleet.status().collectors.values() for view in reply.agents)
    agents = {view.status.node: view.status for view in views}
    plans, suites, left_out = [], {}, []
    for board in chosen:
        suite, agent = suite_for(asked, board), agents.get(board.node)
        why = why_not_offered(suite, agent)
        if why:
            left_out.append(f"{board.node}/{board.board}: {why}")
            continue
        if suite.suite is not None:
            suites[suite.name] = suite.suite
        runs = repeat_runs or (suite.suite.runs if suite.suite is not None else 1)
        name = f"{board.node}/{board.board}"
        labels = tuple(board.labels)
        plans.append(BoardPlan(name, suite.name, runs, board.driver, labels, dict(job_terms(suite, agent))))
    if not plans:
        raise NothingToRun(left_out[0])
    nodes = sorted({board.node for board in chosen})
    known = [_agent(agents[node]) for node in nodes if node in agents]
    return Planned(plans, suites, known, left_out)


def _agent(status: AgentStatus) -> Agent:
    return Agent(status.node, status.version, status.boot.hex() if status.boot else "")
