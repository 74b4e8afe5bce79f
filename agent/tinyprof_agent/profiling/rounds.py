"""From repetitions to a run's figures. Pure.

Where a suite times several prompts, the run cycles over them, and one pass over all of them is a round. A round has
one figure of each kind, pooled over its prompts (times added up before they are divided), and medians and intervals
are taken over rounds. So every value that a statistic sees stands for the same work, and the spread between a short
prompt and a long one never passes for noise. With one prompt a round is a repetition, and pooling changes nothing.
A last round that was not completed counts nowhere but in the raw times.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyprof_agent.drivers.driver import Generation
from tinyprof_agent.profiling.metrics import Timings
from tinyprof_agent.profiling.statistics import Summary, median, p99, summarise
from tinyprof_protocol.records import ClockReport, Figure


@dataclass(frozen=True, slots=True)
class Observed:
    """One timed repetition: which of the prompts, what came, and its times."""

    prompt: int
    generation: Generation
    timings: Timings


Round = Sequence[Observed]


def complete_rounds(observed: Sequence[Observed], prompts: int) -> list[Round]:
    """The passes over all `prompts` prompts that were completed, in their order."""
    return [observed[i : i + prompts] for i in range(0, len(observed) - prompts + 1, prompts)]


def summary_of(rounds: Sequence[Round], figure: Callable[[Round], float | None]) -> Summary | None:
    """The median over rounds of a figure; None where no round has it."""
    values = [value for value in map(figure, rounds) if value is not None]
    return summarise(values) if values else None


def ttft_ms(one: Round) -> float | None:
    """Mean time to first token over the round's prompts."""
    return sum(o.timings.ttft_ns for o in one) / 1e6 / len(one)


def tpot_ms(one: Round) -> float | None:
    """Time per output token after the first of each prompt; None where no prompt gave two."""
    gaps = _gaps(one)
    return _decode_ns(one) / 1e6 / gaps if gaps else None


def prefill_tps(one: Round) -> float | None:
    """Prompt tokens a second until the first token."""
    ttft_ns = sum(o.timings.ttft_ns for o in one)
    return sum(o.timings.prompt_tokens for o in one) * 1e9 / ttft_ns if ttft_ns else None


def decode_tps(one: Round) -> float | None:
    """Tokens a second after the first of each prompt."""
    decode_ns = _decode_ns(one)
    return _gaps(one) * 1e9 / decode_ns if decode_ns else None


def e2e_ms(one: Round) -> float | None:
    """Mean time from t0 until the last token over the round's prompts."""
    return sum(o.timings.e2e_ms for o in one) / len(one)


def cpu_ns_per_token(one: Round) -> float | None:
    """CPU time of the engine for each output token; None where the board does not tell it."""
    cpu = [o.generation.cpu_ns for o in one if o.generation.cpu_ns is not None]
    return sum(cpu) / sum(o.timings.output_tokens for o in one) if len(cpu) == len(one) else None


def cpu_share(rounds: Sequence[Round]) -> float | None:
    """CPU time of a single-threaded engine over the wall time from t0 to the last token, at most 1.

    None without a round, and where a repetition does not tell its CPU time.
    """
    observed = [one for each in rounds for one in each]
    cpu = [o.generation.cpu_ns for o in observed if o.generation.cpu_ns is not None]
    wall_ns = sum(o.timings.ttft_ns + o.timings.decode_ns for o in observed)
    # What the engine does after its last token is CPU time too, so a free processor gives a little over 1.
    return min(1.0, sum(cpu) / wall_ns) if wall_ns and len(cpu) == len(observed) else None


_BY_ROUND: dict[str, Callable[[Round], float | None]] = {
    "ttft_ms": ttft_ms,
    "tpot_ms": tpot_ms,
    "prefill_tps": prefill_tps,
    "decode_tps": decode_tps,
    "e2e_ms": e2e_ms,
    "cpu_ns_per_token": cpu_ns_per_token,
}


def figures(
    rounds: Sequence[Round],
    gaps_ns: Sequence[int],
    clock: ClockReport,
    flash_bytes: int | None,
    share_of_cpu: float | None = None,
) -> dict[str, Figure]:
    """Every figure that these rounds give. `gaps_ns` are the raw gaps, none where they are withheld.

    `share_of_cpu` is the `cpu_share` of a board whose engine runs on this machine.
    """
    found: dict[str, Figure] = {}
    for name, figure in _BY_ROUND.items():
        summary = summary_of(rounds, figure)
        if summary is not None:
            found[name] = to_figure(summary)
    if gaps_ns:
        found["itl_p50_us"] = Figure(median(gaps_ns) / 1e3, n=len(gaps_ns))
        tail = p99(gaps_ns)
        if tail is not None:
            found["itl_p99_us"] = Figure(tail / 1e3, n=len(gaps_ns))
    observed = [one for each in rounds for one in each]
    found |= sizes(observed, flash_bytes)
    if share_of_cpu is not None:
        found["cpu_share"] = Figure(share_of_cpu, n=len(observed))
    if clock.check in ("checked", "failed") and clock.drift_ratio is not None:
        found["clock_drift_ratio"] = Figure(clock.drift_ratio)
    if clock.round_trip_us is not None:
        found["round_trip_us"] = Figure(clock.round_trip_us)
    return found


def to_figure(summary: Summary) -> Figure:
    """A summary as it is recorded."""
    if summary.interval is None:
        return Figure(summary.median, n=summary.n)
    bounds = summary.interval
    return Figure(summary.median, bounds.low, bounds.high, bounds.coverage, summary.n)


def sizes(observed: Sequence[Observed], flash_bytes: int | None) -> dict[str, Figure]:
    """Memory at its highest, flash, and the lengths of prompt and output: what needs no clock."""
    flash = {} if flash_bytes is None else {"flash_bytes": Figure(float(flash_bytes))}
    if not observed:
        return flash
    generations = [one.generation for one in observed]
    peaks = {
        "ram_peak_bytes": [g.ram_peak_bytes for g in generations if g.ram_peak_bytes is not None],
        "heap_peak_bytes": [g.heap_peak_bytes for g in generations if g.heap_peak_bytes is not None],
        "stack_peak_bytes": [g.stack_peak_bytes for g in generations if g.stack_peak_bytes is not None],
    }
    found = flash | {name: Figure(float(max(values)), n=len(values)) for name, values in peaks.items() if values}
    # Whole numbers even where prompts differ in length: the lower of the two middle ones.
    middle = (len(observed) - 1) // 2
    outputs = sorted(one.timings.output_tokens for one in observed)
    prompts = sorted(one.timings.prompt_tokens for one in observed)
    found["output_tokens"] = Figure(float(outputs[middle]), n=len(outputs))
    found["prompt_tokens"] = Figure(float(prompts[middle]), n=len(prompts))
    return found


def _gaps(one: Round) -> int:
    return sum(len(o.timings.gaps_ns) for o in one)


def _decode_ns(one: Round) -> int:
    return sum(o.timings.decode_ns for o in one)
