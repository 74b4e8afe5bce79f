"""Whether a board said what the model must say. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from tinyprof_protocol.records import Golden

TIE_LEAD: Final = 0.1
"""Where a token led the runner-up by less, another rounding (a float16 cache, say) may choose the other."""

_WORST_FIRST: Final[tuple[Golden, ...]] = ("differs", "tie", "none", "match")


class GoldenCase(Protocol):
    """A golden output: its tokens, and for each how far it led the runner-up."""

    @property
    def tokens(self) -> Sequence[int]:
        """Token ids, EOS included where it was chosen."""

    @property
    def leads(self) -> Sequence[float]:
        """Difference of the two largest logits, a figure a token."""


GoldenCases = Mapping[str, GoldenCase]
"""Golden outputs of one model under one arithmetic, by prompt."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The outcome for one output; `equal_tokens` is how many from the start are the golden ones."""

    golden: Golden
    equal_tokens: int = 0


def compare(tokens: Sequence[int], case: GoldenCase | None, *, ended: bool) -> Compared:
    """Compares an output with its golden one over the shorter of the two; without one it is `none`.

    `ended` says that the output ends with EOS. Where the golden output goes on there, or where there is no output,
    they differ.
    """
    if case is None:
        return Compared("none")
    shorter = min(len(tokens), len(case.tokens))
    equal = next((i for i in range(shorter) if tokens[i] != case.tokens[i]), shorter)
    if equal < shorter:
        return Compared("tie" if case.leads[equal] < TIE_LEAD else "differs", equal)
    cut_short = not tokens or (ended and len(tokens) < len(case.tokens))
    return Compared("differs" if cut_short else "match", equal)


def overall(outcomes: Sequence[Golden]) -> Golden:
    """The outcome of a run from those of its outputs: the worst, where `none` is worse than `match`."""
    return min(outcomes, key=_WORST_FIRST.index, default="none")


def gate_fault(outcomes: Mapping[str, Golden]) -> str | None:
    """Why the gate stays shut, in a line, or None. `outcomes` are those of the suite's gate, by prompt.

    It opens where at least one prompt matches whole and none differs; without golden outputs there is no gate.
    """
    differing = [prompt for prompt, golden in outcomes.items() if golden == "differs"]
    if differing:
        return f"the output to {differing[0][:80]!r} differs from the golden one before anything was timed"
    known = [golden for golden in outcomes.values() if golden != "none"]
    if known and "match" not in known:
        return f"no output of the gate matches its golden one whole: {len(known)} of {len(known)} part at a near tie"
    return None


def disagreement(outputs: Sequence[tuple[int, Sequence[int]]], known: Sequence[bool]) -> str | None:
    """Why repetitions without a golden output do not agree with each other, in a line, or None.

    `outputs` are (index of the prompt, tokens) in the order they came; `known[i]` says that prompt i has a golden
    output. Decoding is greedy, so the same prompt must give the same tokens.
    """
    first: dict[int, Sequence[int]] = {}
    for number, (prompt, tokens) in enumerate(outputs, start=1):
        if known[prompt]:
            continue
        expected = first.setdefault(prompt, tokens)
        if list(tokens) != list(expected):
            return f"repetition {number} gave another output to the same prompt"
    return None
