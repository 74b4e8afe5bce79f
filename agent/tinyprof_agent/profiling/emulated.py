"""What an emulated board can vouch for: counts instead of times, and from them a range of what the part may do. Pure.

An emulator's virtual clock goes on by a fixed amount for each instruction (QEMU) or by its model's cycles (rp2040js),
so the board's stamps are counts. They are the same in each run, which is checked, and so is the clock, by a loop of
known instructions. There is no spread that an interval could tell of.

**The estimate.** With c counts for a token, the part's clock f, M bytes of model that are read from flash for each
token, and B bytes a second that its flash gives:

- fastest: c / f, one cycle an instruction (a core that issues two at a time may beat it);
- slowest: c × k / f + M / B, where k is `SLOW_CPI` for instructions and 1 for a model's cycles: no byte of the model is
  cached, and none is read while the core computes.

For the first token the model is read once for each token of the prompt. The value between the two is their geometric
mean, so that a rate and its inverse agree. Caches, wait states and the emulator's own limits are in neither.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import structs

from tinyprof_agent.drivers.driver import Emulation, LoopCheck
from tinyprof_agent.profiling.rounds import Observed, Round, summary_of, to_figure
from tinyprof_agent.profiling.verdict import Evidence, broken, limited
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.records import ClockReport, Figure, Verdict

LOOP_INSTRUCTIONS: Final = 2_000_000
MAX_LOOP_ERROR: Final = 0.001
REPETITIONS: Final = 2
MAX_DISAGREEMENT: Final = 0.0001
SLOW_CPI: Final = 2.0
"""Cycles an instruction of the slow end of the estimate: small cores take 1.2 to 1.9 in integer code with loads."""
NO_LOOP: Final = "the known loop was not executed"
NO_CLOCK: Final = "its emulator keeps no time: what is known is the output and the sizes"


@dataclass(frozen=True, slots=True)
class Counted:
    """One repetition's counts: from t0 to the first token, and from there to the last."""

    prompt: int
    first: float
    decode: float


def suite_for_counts(suite: Suite) -> Suite:
    """The suite as an emulated board runs it: two repetitions, however short; there is nothing to warm up."""
    return structs.replace(suite, min_repetitions=REPETITIONS, min_timed_s=0.0, warm_up=False)


def counted(one: Observed, emulation: Emulation) -> Counted | None:
    """The counts of a repetition; None where its emulator counts nothing."""
    if emulation.counts == "nothing":
        return None
    scale = emulation.counts_hz / 1e9
    return Counted(one.prompt, one.timings.ttft_ns * scale, one.timings.decode_ns * scale)


def loop_report(loop: LoopCheck | None, emulation: Emulation, tick_hz: int) -> ClockReport:
    """What the known loop says of the virtual clock: it must read back within 0.1 %."""
    if emulation.counts == "nothing":
        return ClockReport("unchecked", tick_hz=tick_hz, why=NO_CLOCK)
    if loop is None:
        return ClockReport("unchecked", tick_hz=tick_hz, why=NO_LOOP)
    read = loop.board_ns * emulation.counts_hz / 1e9
    error = read / loop.instructions - 1 if loop.instructions else math.inf
    span_s = loop.board_ns / 1e9
    if loop.instructions < LOOP_INSTRUCTIONS // 2 or abs(error) > MAX_LOOP_ERROR:
        why = f"a loop of {loop.instructions} instructions read back as {read:.0f}: they must agree within 0.1%"
        return ClockReport("failed", tick_hz=tick_hz, span_s=span_s, why=why)
    return ClockReport("emulated", tick_hz=tick_hz, span_s=span_s, drift_ratio=error)


def disagreement(counts: Sequence[Counted]) -> str | None:
    """Why the counts of the same prompt do not agree within 0.01 %, in a line, or None."""
    for prompt in sorted({one.prompt for one in counts}):
        same = [one for one in counts if one.prompt == prompt]
        for values in ([one.first for one in same], [one.decode for one in same]):
            if max(values) - min(values) > MAX_DISAGREEMENT * max(values):
                apart = f"{min(values):.0f} and {max(values):.0f}"
                return f"the counts of two repetitions differ by more than 0.01%: {apart}"
    return None


def judge_emulated(evidence: Evidence, counts: Sequence[Counted]) -> tuple[Verdict, list[str]]:
    """The verdict of a run on an emulated board: valid or invalid, for there is no spread that could be unstable."""
    reasons = broken(evidence)
    if not evidence.faults:
        if evidence.clock.why == NO_LOOP:
            reasons.append(f"clock: {NO_LOOP}")
        if 0 < evidence.repetitions < REPETITIONS:
            reasons.append(f"{evidence.repetitions} repetition: it takes {REPETITIONS} to see that the counts agree")
        why = disagreement(counts)
        if why is not None:
            reasons.append(why)
    return ("invalid" if reasons else "valid"), limited(reasons)


def count_figures(rounds: Sequence[Round], emulation: Emulation) -> dict[str, Figure]:
    """Counts a token and to the first token, and the estimates that follow from them; nothing without counts."""
    if emulation.counts == "nothing":
        return {}
    scale, kind = emulation.counts_hz / 1e9, emulation.counts
    first = summary_of(rounds, lambda one: sum(o.timings.ttft_ns for o in one) * scale / len(one))
    each = summary_of(rounds, lambda one: _decode_count(one, scale))
    found: dict[str, Figure] = {}
    if each is not None:
        found[f"{kind}_per_token"] = to_figure(each)
    if first is not None:
        found[f"{kind}_to_first_token"] = to_figure(first)
        prompt_tokens = sum(o.timings.prompt_tokens for o in rounds[0]) / len(rounds[0])
        found |= _estimates(first.median, None if each is None else each.median, prompt_tokens, emulation)
    return found


def _decode_count(one: Round, scale: float) -> float | None:
    gaps = sum(len(o.timings.gaps_ns) for o in one)
    return sum(o.timings.decode_ns for o in one) * scale / gaps if gaps else None


def _estimates(first: float, each: float | None, prompt_tokens: float, emulation: Emulation) -> dict[str, Figure]:
    """The module's formula; nothing where the part or its flash is not known."""
    to_first = seconds_range(first, prompt_tokens, emulation)
    if to_first is None:
        return {}
    found = {"ttft_ms": _between(to_first, 1e3), "prefill_tps": _rate(to_first, prompt_tokens)}
    for_each = None if each is None else seconds_range(each, 1, emulation)
    if for_each is not None:
        found |= {"tpot_ms": _between(for_each, 1e3), "decode_tps": _rate(for_each, 1)}
    return found


def seconds_range(counts: float, readings: float, emulation: Emulation) -> tuple[float, float] | None:
    """How long the part takes for so many counts, fastest and slowest, while it reads its model `readings` times."""
    part, model_bytes = emulation.part, emulation.model_bytes
    if part is None or model_bytes is None or part.clock_hz <= 0 or part.flash_bytes_per_s <= 0 or counts <= 0:
        return None
    cycles = SLOW_CPI if emulation.counts == "instructions" else 1.0
    fastest = counts / part.clock_hz
    return fastest, counts * cycles / part.clock_hz + readings * model_bytes / part.flash_bytes_per_s


def _between(seconds: tuple[float, float], scale: float) -> Figure:
    fastest, slowest = (value * scale for value in seconds)
    return Figure(math.sqrt(fastest * slowest), fastest, slowest, estimated=True)


def _rate(seconds: tuple[float, float], amount: float) -> Figure:
    fastest, slowest = (amount / value for value in seconds)
    return Figure(math.sqrt(fastest * slowest), slowest, fastest, estimated=True)
