"""What of a board's runs a comparison rests on: raw repetitions for times, counts as they are, else a figure a run.

Where a suite times several prompts, one pass over all of them is a round and gives one value, times added up before
they are divided, as in the figures of a run. A round that was not completed counts nowhere. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Repetition, Result

Kind = Literal["raw", "counts", "sizes", "runs"]
"""Raw repetitions; an emulator's counts, which are the same each time; bytes, which have no spread; a figure a run."""

Round = Sequence[Repetition]

OF_PROMPT: Final = frozenset({"ttft_ms", "prefill_tps", "e2e_ms"})
OF_OUTPUT: Final = frozenset({"tpot_ms", "decode_tps", "e2e_ms"})
"""Metrics that follow from how many tokens the prompt and the output have."""


def kind_of(metric: str, results: Sequence[Result]) -> Kind:
    """How a metric of these runs is compared."""
    if any(word in metric for word in ("instructions_", "model_cycles_")):
        return "counts"
    if METRICS[metric].unit == "B":
        return "sizes"
    timed = metric in _OF_ROUND and not any(result.build.emulated for result in results)
    return "raw" if timed else "runs"


def samples(metric: str, results: Sequence[Result]) -> list[float]:
    """The values of a metric in these runs: a value a round where raw times are kept, else the figure of each run.

    Estimates are no samples: there are none of a metric that was not measured.
    """
    if kind_of(metric, results) == "raw":
        values = (_OF_ROUND[metric](one) for result in results for one in rounds_of(result))
        return [value for value in values if value is not None]
    figures = (result.figures.get(metric) for result in results)
    return [figure.value for figure in figures if figure is not None and not figure.estimated]


def rounds_of(result: Result) -> list[Round]:
    """The passes over all prompts that were completed."""
    each = max(1, len(result.prompts))
    repetitions = result.repetitions
    return [repetitions[i : i + each] for i in range(0, len(repetitions) - each + 1, each)]


def tokens_of(results: Sequence[Result]) -> tuple[set[int], set[int]]:
    """How many tokens the prompts and the outputs of the rounds have."""
    rounds = [one for result in results for one in rounds_of(result)]
    prompts = {sum(rep.prompt_tokens for rep in one) for one in rounds}
    return prompts, {sum(rep.output_tokens for rep in one) for one in rounds}


def metrics_in(results: Sequence[Result]) -> set[str]:
    """The metrics of which these runs have a sample."""
    named = {name for result in results for name in result.figures if name in METRICS}
    return {name for name in named | set(_OF_ROUND) if samples(name, results)}


def _ttft_ms(one: Round) -> float | None:
    times = [rep.ttft_ms for rep in one if rep.ttft_ms is not None]
    return sum(times) / len(times) if len(times) == len(one) else None


def _decode_ms(one: Round) -> tuple[float, int]:
    """The time from the first token to the last and the gaps in it, over the round's prompts."""
    timed = [(rep.tpot_ms, rep.output_tokens - 1) for rep in one if rep.tpot_ms is not None]
    return sum(tpot_ms * gaps for tpot_ms, gaps in timed), sum(gaps for _, gaps in timed)


def _tpot_ms(one: Round) -> float | None:
    decode_ms, gaps = _decode_ms(one)
    return decode_ms / gaps if gaps else None


def _decode_tps(one: Round) -> float | None:
    decode_ms, gaps = _decode_ms(one)
    return 1000 * gaps / decode_ms if decode_ms else None


def _prefill_tps(one: Round) -> float | None:
    ttft_ms = _ttft_ms(one)
    return 1000 * sum(rep.prompt_tokens for rep in one) / (ttft_ms * len(one)) if ttft_ms else None


def _e2e_ms(one: Round) -> float | None:
    ttft_ms = _ttft_ms(one)
    return None if ttft_ms is None else ttft_ms + _decode_ms(one)[0] / len(one)


_OF_ROUND: Final[Mapping[str, Callable[[Round], float | None]]] = {
    "ttft_ms": _ttft_ms,
    "tpot_ms": _tpot_ms,
    "prefill_tps": _prefill_tps,
    "decode_tps": _decode_tps,
    "e2e_ms": _e2e_ms,
}
