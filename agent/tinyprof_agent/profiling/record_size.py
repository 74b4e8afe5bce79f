"""Makes a result fit into a record: what is raw is thinned evenly, and the result says how much went. Pure."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import MAX_RAW_GAPS, MAX_RECORD_BYTES, Repetition, Result

WRAPPING_BYTES: Final = 256
"""What a record adds to its body: its times and its boot, with room to spare."""
MAX_BODY_BYTES: Final = MAX_RECORD_BYTES - WRAPPING_BYTES
MAX_REPETITIONS_KEPT: Final = 100
MIN_OUTPUT_CHARACTERS: Final = 64

T = TypeVar("T")


def halved(values: Sequence[T]) -> list[T]:
    """Every other value, the first one kept."""
    return list(values[::2])


def evenly(values: Sequence[T], at_most: int) -> list[T]:
    """Halved until no more than `at_most` are left."""
    kept = list(values)
    while len(kept) > at_most:
        kept = halved(kept)
    return kept


def halved_rounds(repetitions: Sequence[Repetition], prompts: int) -> list[Repetition]:
    """Every other pass over the prompts, so that thinning never takes one prompt rather than another."""
    rounds = [repetitions[i : i + prompts] for i in range(0, len(repetitions), prompts)]
    return [repetition for one in halved(rounds) for repetition in one]


def fit(result: Result, max_bytes: int = MAX_BODY_BYTES) -> Result:
    """The result with its raw times and output thinned until its encoding has at most `max_bytes`.

    Gaps and repetitions that go are counted in `itl_dropped` and `repetitions_dropped`. Raises ValueError where even
    that does not make it fit, which prompts within a suite's bound never cause.
    """
    prompts = len(result.prompts)
    result = _keep(result, result.repetitions, evenly(result.itl_us, MAX_RAW_GAPS))
    while len(result.repetitions) > max(MAX_REPETITIONS_KEPT, prompts):
        result = _keep(result, halved_rounds(result.repetitions, prompts), result.itl_us)
    while len(pack(result)) > max_bytes:
        if result.itl_us:
            result = _keep(result, result.repetitions, halved(result.itl_us) if len(result.itl_us) > 1 else [])
        elif len(result.repetitions) > prompts:
            result = _keep(result, halved_rounds(result.repetitions, prompts), result.itl_us)
        elif len(result.output) > MIN_OUTPUT_CHARACTERS:
            result = msgspec.structs.replace(result, output=result.output[: len(result.output) // 2])
        else:
            raise ValueError(f"a result of {len(pack(result))} bytes cannot be made to fit {max_bytes}")
    return result


def _keep(result: Result, repetitions: list[Repetition], gaps: list[int]) -> Result:
    return msgspec.structs.replace(
        result,
        repetitions=repetitions,
        repetitions_dropped=result.repetitions_dropped + len(result.repetitions) - len(repetitions),
        itl_us=gaps,
        itl_dropped=result.itl_dropped + len(result.itl_us) - len(gaps),
    )
