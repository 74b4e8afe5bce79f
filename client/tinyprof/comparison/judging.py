"""One metric of one board, before and after: faster, slower, the same, or too few values to say. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from tinyprof.comparison.samples import OF_OUTPUT, OF_PROMPT, Kind, kind_of, samples, tokens_of
from tinyprof_agent.profiling.statistics import summarise
from tinyprof_protocol.mann_whitney import least_p, mann_whitney
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Result

Verdict = Literal[
    "faster", "slower", "smaller", "larger", "better", "worse", "higher", "lower", "same",
    "not enough samples", "not comparable",
]  # fmt: skip
ALPHA: Final = 0.05
EFFECT: Final = 0.05
SPEED: Final = frozenset({"ms", "us", "ns", "tokens/s", "instructions", "cycles"})
"""Units of metrics that tell how fast something is."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A metric before and after: medians, how many values each rests on, and what is to be said.

    `change` is (new - old) / old; None where there is nothing to divide by or to compare. `p` is None where no test was
    made: an emulator's counts and sizes in bytes have no spread.
    """

    metric: str
    kind: Kind
    verdict: Verdict
    old: float | None = None
    new: float | None = None
    old_spread: float | None = None
    """Half the width of the median's interval as a share of the median; None without one."""
    new_spread: float | None = None
    change: float | None = None
    p: float | None = None
    n_old: int = 0
    n_new: int = 0
    why: str = ""

    @property
    def worse(self) -> float:
        """By which share the metric has become worse, 0 where it has not or nothing can be said."""
        if self.change is None or self.verdict in ("same", "not enough samples", "not comparable"):
            return 0.0
        better = METRICS[self.metric].better
        return max(0.0, self.change if better == "lower" else -self.change if better == "higher" else 0.0)


def judge(metric: str, old: Sequence[Result], new: Sequence[Result], effect: float = EFFECT) -> Judged:
    """Compares a metric of runs that may be compared. `effect` is the smallest change worth telling, a share."""
    kind = kind_of(metric, [*old, *new])
    before, after = samples(metric, old), samples(metric, new)
    why = _why_not(metric, old, new)
    if why or not before or not after:
        why = why or _not_measured(metric, old if not before else new, "OLD" if not before else "NEW")
        return Judged(metric, kind, "not comparable", why=why, n_old=len(before), n_new=len(after))
    tested = kind in ("raw", "runs")
    p = max(mann_whitney(before, after).p, _p_of_runs(metric, old, new)) if tested else None
    change = _change(median(before), median(after))
    return Judged(
        metric,
        kind,
        _verdict(metric, kind, change, p, least_p(len(before), len(after)), effect),
        median(before),
        median(after),
        _spread(before) if tested else None,
        _spread(after) if tested else None,
        None if math.isinf(change) else change,
        p,
        len(before),
        len(after),
    )


def _p_of_runs(metric: str, old: Sequence[Result], new: Sequence[Result]) -> float:
    """The p of the runs' medians where there are enough runs for one, else 0.

    Repetitions of a run share what differs from run to run, a page's place in memory or a neighbour's load: many of
    them may differ where the runs do not.
    """
    before, after = ([median(one) for run in runs if (one := samples(metric, [run]))] for runs in (old, new))
    if least_p(len(before), len(after)) > ALPHA:
        return 0.0
    return mann_whitney(before, after).p


def _verdict(metric: str, kind: Kind, change: float, p: float | None, least: float, effect: float) -> Verdict:
    if p is not None and least > ALPHA:
        return "not enough samples"
    smallest = 0.0 if kind == "counts" else effect
    if change == 0 or abs(change) < smallest or (p is not None and p >= ALPHA):
        return "same"
    return _word(metric, rose=change > 0)


def _word(metric: str, *, rose: bool) -> Verdict:
    entry = METRICS[metric]
    if entry.unit == "B":
        return "larger" if rose else "smaller"
    if entry.better == "neither":
        return "higher" if rose else "lower"
    improved = rose == (entry.better == "higher")
    if entry.unit in SPEED:
        return "faster" if improved else "slower"
    return "better" if improved else "worse"


def _why_not(metric: str, old: Sequence[Result], new: Sequence[Result]) -> str:
    """Times for another number of tokens are times of other work; sizes are of one kind only."""
    if metric == "ram_peak_bytes" and len({result.ram_is_rss for result in [*old, *new]}) > 1:
        return "a peak resident set and static + heap + stack"
    (prompt_old, output_old), (prompt_new, output_new) = tokens_of(old), tokens_of(new)
    if metric in OF_PROMPT and prompt_old != prompt_new:
        return f"prompts of {_numbers(prompt_old)} and {_numbers(prompt_new)} tokens"
    if metric in OF_OUTPUT and output_old != output_new:
        return f"outputs of {_numbers(output_old)} and {_numbers(output_new)} tokens"
    return ""


def _not_measured(metric: str, results: Sequence[Result], side: str) -> str:
    estimated = any(metric in result.figures for result in results)
    return f"estimated in {side}, not measured" if estimated else f"not measured in {side}"


def _numbers(counts: set[int]) -> str:
    return ", ".join(map(str, sorted(counts))) or "no"


def _change(old: float, new: float) -> float:
    if old == new:
        return 0.0
    return (new - old) / abs(old) if old else math.copysign(math.inf, new)


def _spread(values: Sequence[float]) -> float | None:
    return summarise(values).half_width_ratio
