"""Runs of a benchmark on the boards of a fleet; never from a cache, for a benchmark measures."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinyprof.benchmarking.results_file import Agent
from tinyprof.benchmarking.running import BoardPlan, Ended
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
from tinyprof.request_channel import FleetError
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.jobs import ProfileReply, Progress
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record, Result
from tinyprof_protocol.request_reply import RequestFailed


@dataclass(frozen=True, slots=True)
class FleetRuns:
    """Makes runs of the fleet's boards. A plan's `terms` are what a job says in place of the suite's own."""

    fleet: Fleet
    within_s: float
    priority: int = 0

    def __call__(self, plan: BoardPlan, say: Callable[[str, int, int], None], cancelled: threading.Event) -> Ended:
        """One run, however it ends."""

        def on_update(reply: ProfileReply) -> None:
            say(f"{reply.state}: {reply.message}" if reply.message else reply.state, 0, 0)

        def on_progress(progress: Progress) -> None:
            say(progress.stage, progress.repetition, progress.repetitions)

        terms: Mapping[str, Any] = plan.terms if isinstance(plan.terms, dict) else {}
        try:
            reply = self.fleet.profile(
                plan.board,
                suite=plan.suite,
                priority=self.priority,
                within_s=self.within_s,
                on_update=on_update,
                on_progress=on_progress,
                use_cache=False,
                cancelled=cancelled,
                **terms,
            )
        except (FleetError, RequestFailed, LookupError) as why:
            return Ended("cancelled" if cancelled.is_set() else "failed", " ".join(str(why).split()))
        return ended(reply)


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
