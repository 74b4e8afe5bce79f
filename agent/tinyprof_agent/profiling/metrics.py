"""From what was observed of one generation to its figures. Pure; `tinyprof_protocol.metrics` defines them.

TTFT = t_1 − t0; TPOT = (t_last − t_first) / (n − 1), n counting EOS, so that n = 1 has none; ITL are the raw gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tinyprof_agent.drivers.driver import Generation
from tinyprof_agent.profiling.statistics import median
from tinyprof_protocol.counts_text import some

MAX_TICK_SHARE = 0.01
"""A tick over this share of the median gap would be seen in the gaps; then they are withheld."""


class BadTimes(ValueError):
    """Times that no generation can have; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Timings:
    """One generation's times, in nanoseconds of the clock that timed it."""

    ttft_ns: int
    decode_ns: int
    """From the first token to the last."""
    gaps_ns: tuple[int, ...]
    prompt_tokens: int
    output_tokens: int

    @property
    def ttft_ms(self) -> float:
        """Time to first token."""
        return self.ttft_ns / 1e6

    @property
    def e2e_ms(self) -> float:
        """From t0 until the last token is chosen."""
        return (self.ttft_ns + self.decode_ns) / 1e6

    @property
    def tpot_ms(self) -> float | None:
        """Time per output token; None for a single one."""
        return self.decode_ns / 1e6 / len(self.gaps_ns) if self.gaps_ns else None

    @property
    def prefill_tps(self) -> float | None:
        """Prompt tokens a second until the first token; None where the clock saw no time pass."""
        return self.prompt_tokens * 1e9 / self.ttft_ns if self.ttft_ns else None

    @property
    def decode_tps(self) -> float | None:
        """Tokens a second after the first; None for a single one, or where the clock saw no time pass."""
        return len(self.gaps_ns) * 1e9 / self.decode_ns if self.decode_ns else None


def timings(generation: Generation) -> Timings:
    """The times of one generation. Raises BadTimes for no token, a time for not every token, or time that runs back."""
    stamps = generation.token_ns
    if not stamps:
        raise BadTimes("no token came")
    if len(stamps) != len(generation.tokens):
        raise BadTimes(f"{some(len(generation.tokens), 'token')} came with {some(len(stamps), 'time')}")
    gaps = tuple(after - before for before, after in pairwise(stamps))
    ttft_ns = stamps[0] - generation.t0_ns
    if ttft_ns < 0 or min(gaps, default=0) < 0:
        raise BadTimes("the board's clock ran backwards")
    return Timings(ttft_ns, stamps[-1] - stamps[0], gaps, generation.prompt_tokens, len(stamps))


def tokens_lost(generation: Generation, max_tokens: int, ctx: int) -> int:
    """How many tokens a generation lacks, whether the board said so or it ended short of its limit and its context."""
    if generation.missing_tokens or generation.stopped == "eos":
        return generation.missing_tokens
    # Engines differ in whether the last token chosen takes a place in the context.
    room = max(1, min(max_tokens, ctx - 1 - generation.prompt_tokens) if ctx else max_tokens)
    return max(0, room - len(generation.tokens))


def gaps_withheld(gaps_ns: Sequence[int], tick_hz: int) -> bool:
    """Whether the clock's tick is too coarse for raw gaps: over 1 % of the median gap, or unknown."""
    if not gaps_ns:
        return False
    return tick_hz <= 0 or 1e9 / tick_hz > MAX_TICK_SHARE * median(gaps_ns)
