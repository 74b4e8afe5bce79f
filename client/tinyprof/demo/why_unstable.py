"""Why the demo's runs were unstable, from the reasons of their verdicts. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from tinyprof_protocol.counts_text import some

_PLAIN: Final = (
    ("TTFT is known to", "TTFT varies from one repetition to the next"),
    ("TPOT is known to", "TPOT varies from one repetition to the next"),
    ("the engine had the processor", "the engine had to share the processor with others"),
    ("the clock is unchecked", "the board's clock could not be checked"),
)
"""How a reason begins, and the same in words without figures, which differ from run to run."""


def closing_line(reasons: Iterable[Sequence[str]]) -> str | None:
    """What made most runs unstable, in a line; `reasons` are those of each unstable run. None where there is none."""
    runs = [set(map(_in_plain_words, lines)) for lines in reasons]
    counts = Counter(line for lines in runs for line in sorted(lines))
    if not counts:
        return None
    line, count = counts.most_common(1)[0]
    return f"unstable, most often: {line} ({count} of {some(len(runs), 'run')}); that is what 'unstable' is for"


def _in_plain_words(reason: str) -> str:
    return next((plain for begins, plain in _PLAIN if reason.startswith(begins)), reason.partition(":")[0])
