"""What a run is worth: valid, unstable or invalid, and why, a line a reason. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tinyprof_agent.profiling.statistics import Summary
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.records import ClockReport, Golden, Verdict

MIN_REPETITIONS: Final = 6
"""Fewer have no interval that covers 95 %."""
MAX_HALF_WIDTH: Final = 0.05
MIN_CPU_SHARE: Final = 0.95
"""Where a compute-bound engine on this machine had the processor for less, its times are partly those of others.

As wide as the bound on the interval: what waiting adds to the times then stays within what a valid run may be off by.
"""
MAX_REASONS: Final = 32
MAX_REASON_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on. `faults` are lines on what broke the run: a time-out, a reset, a shut gate.

    `cpu_share` is the share of the timed work, 0 to 1, in which an engine on this machine really had the processor;
    None for any other board.
    """

    clock: ClockReport
    golden: Golden
    repetitions: int
    ttft: Summary | None
    tpot: Summary | None
    missing_tokens: int = 0
    cpu_share: float | None = None
    faults: Sequence[str] = ()


def judge(evidence: Evidence) -> tuple[Verdict, list[str]]:
    """The verdict with its reasons, worst first; a valid run has none."""
    worst = broken(evidence)
    # Where the run was cut short, that it is short says nothing more.
    unsure = [] if evidence.faults else _unsettling(evidence)
    verdict: Verdict = "invalid" if worst else "unstable" if unsure else "valid"
    return verdict, limited([*worst, *unsure])


def limited(reasons: Sequence[str]) -> list[str]:
    """Reasons as a result can hold them."""
    return [line[:MAX_REASON_CHARACTERS] for line in reasons[:MAX_REASONS]]


def broken(evidence: Evidence) -> list[str]:
    """What makes a run invalid on any board, a line a reason."""
    reasons = list(evidence.faults)
    if evidence.golden == "differs":
        reasons.append("the output differs from the golden one")
    if evidence.missing_tokens:
        reasons.append(f"missing tokens: {evidence.missing_tokens}")
    if evidence.clock.check == "failed":
        reasons.append(f"clock: {evidence.clock.why}")
    if not evidence.repetitions and not reasons:
        reasons.append("not one repetition was completed in time")
    return reasons


def _unsettling(evidence: Evidence) -> list[str]:
    reasons = []
    if evidence.repetitions < MIN_REPETITIONS:
        reasons.append(f"{some(evidence.repetitions, 'repetition')}: fewer than {MIN_REPETITIONS} give no 95% interval")
    for name, summary in (("TTFT", evidence.ttft), ("TPOT", evidence.tpot)):
        ratio = summary.half_width_ratio if summary else None
        if ratio is not None and ratio > MAX_HALF_WIDTH:
            reasons.append(f"{name} is known to {ratio:.1%} of its median only: over {MAX_HALF_WIDTH:.0%}")
    if evidence.cpu_share is not None and evidence.cpu_share < MIN_CPU_SHARE:
        # Rounded down, so that a share under the bound never reads as the bound itself.
        percent = math.floor(evidence.cpu_share * 100)
        reasons.append(f"the engine had the processor for {percent}% of its timed work only: the machine was busy")
    if evidence.clock.check not in ("checked", "host", "failed"):
        reasons.append(f"the clock is unchecked: {evidence.clock.why or 'its check was not made'}")
    return reasons
