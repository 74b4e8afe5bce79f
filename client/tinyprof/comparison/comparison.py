"""Two benchmarks against each other, board by board and metric by metric. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from tinyprof.comparison.builds import differences, why_not_comparable
from tinyprof.comparison.judging import EFFECT, Judged, judge
from tinyprof.comparison.samples import metrics_in
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Result

SHOWN: Final = (
    "ttft_ms", "decode_tps", "e2e_ms", "inference_ms", "instructions_to_first_token", "instructions_per_token",
    "model_cycles_to_first_token", "model_cycles_per_token", "energy_mj_per_token", "ram_peak_bytes", "flash_bytes",
)  # fmt: skip
"""What is compared where no metric is named: `tpot_ms` and `prefill_tps` say over again what stands here."""


@dataclass(frozen=True, slots=True)
class BoardRuns:
    """The runs of a board in one results file, and why others failed, a line each."""

    results: Sequence[Result]
    failures: Sequence[str] = ()

    @property
    def usable(self) -> list[Result]:
        """Those whose figures may be looked at: all but the invalid ones."""
        return [result for result in self.results if result.verdict != "invalid"]


@dataclass(frozen=True, slots=True)
class BoardCompared:
    """A board that both files have. `why` says why nothing of it is compared; empty where its metrics are."""

    board: str
    metrics: list[Judged] = field(default_factory=list)
    why: str = ""
    differs: list[str] = field(default_factory=list)
    """What of the builds differs."""
    notes: list[str] = field(default_factory=list)
    broke: bool = False
    """It gave figures before and gives none now."""


@dataclass(frozen=True, slots=True)
class Geomean:
    """The geometric means of a metric over the boards that were compared in it, and of their ratios."""

    metric: str
    old: float
    new: float
    change: float
    boards: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that two files say of each other."""

    boards: list[BoardCompared]
    only_old: list[str]
    only_new: list[str]
    geomeans: list[Geomean]

    @property
    def compared(self) -> int:
        """How many metrics of boards could be judged."""
        unjudged = ("not comparable", "not enough samples")
        return sum(one.verdict not in unjudged for board in self.boards for one in board.metrics)

    def regressions(self, fail_on: float) -> list[str]:
        """What has become worse by more than the share `fail_on`, or broke, a line each."""
        lines = [f"{board.board}: {board.why}" for board in self.boards if board.broke]
        for board in self.boards:
            for one in board.metrics:
                if one.worse > 0 and one.worse >= fail_on and one.change is not None:
                    label = METRICS[one.metric].label
                    lines.append(f"{board.board}: {label} is {one.verdict}, {100 * one.change:+.2f}%")
        return lines


def compare(
    old: Mapping[str, BoardRuns],
    new: Mapping[str, BoardRuns],
    *,
    metrics: Sequence[str] = (),
    effect: float = EFFECT,
) -> Comparison:
    """Compares boards of one name. `metrics`: which; where none is named, those of `SHOWN` that both have."""
    boards = [_board(name, old[name], new[name], metrics, effect) for name in sorted(set(old) & set(new))]
    only_old, only_new = sorted(set(old) - set(new)), sorted(set(new) - set(old))
    return Comparison(boards, only_old, only_new, _geomeans(boards))


def _board(name: str, old: BoardRuns, new: BoardRuns, metrics: Sequence[str], effect: float) -> BoardCompared:
    before, after = old.usable, new.usable
    notes = [*_notes("OLD", old), *_notes("NEW", new)]
    if not before or not after:
        sides = [_nothing(side, runs) for side, runs in (("OLD", old), ("NEW", new)) if not runs.usable]
        return BoardCompared(name, why="; ".join(sides), notes=notes, broke=bool(before))
    why = why_not_comparable(before, after)
    if why:
        return BoardCompared(name, why=why, notes=notes)
    both = metrics_in(before) & metrics_in(after)
    wanted = list(metrics) or [metric for metric in SHOWN if metric in both]
    judged = [judge(metric, before, after, effect) for metric in wanted]
    return BoardCompared(name, judged, differs=differences(before, after), notes=notes)


def _nothing(side: str, runs: BoardRuns) -> str:
    if runs.results:
        reasons = [reason for result in runs.results for reason in result.reasons]
        return f"every run of {side} is invalid{f': {reasons[0]}' if reasons else ''}"
    return f"{side} has no run{f': {runs.failures[0]}' if runs.failures else ''}"


def _notes(side: str, runs: BoardRuns) -> list[str]:
    """What makes less of a side's figures, a line each; nothing where no run of it can be used."""
    usable = runs.usable
    if not usable:
        return []
    notes = []
    unstable = [result for result in usable if result.verdict == "unstable"]
    if unstable:
        reason = unstable[0].reasons[0] if unstable[0].reasons else "no reason given"
        notes.append(f"{side}: {len(unstable)} of {some(len(usable), 'run')} unstable: {reason}")
    if len(usable) < len(runs.results):
        notes.append(f"{side}: {some(len(runs.results) - len(usable), 'invalid run')} left out")
    if runs.failures:
        notes.append(f"{side}: {some(len(runs.failures), 'run')} failed: {runs.failures[0]}")
    throttled = sum(result.conditions.throttled is True for result in usable)
    if throttled:
        notes.append(f"{side}: throttled in {throttled} of {some(len(usable), 'run')}")
    return notes


def _geomeans(boards: Sequence[BoardCompared]) -> list[Geomean]:
    found = []
    for metric in dict.fromkeys(one.metric for board in boards for one in board.metrics):
        pairs = [(one.old, one.new) for board in boards for one in board.metrics
                 if one.metric == metric and one.old and one.new and one.old > 0 and one.new > 0]  # fmt: skip
        if len(pairs) > 1:
            old, new = (math.exp(math.fsum(math.log(pair[side]) for pair in pairs) / len(pairs)) for side in (0, 1))
            found.append(Geomean(metric, old, new, new / old - 1, len(pairs)))
    return found
