"""Which results may be compared: those of one series.

A series is what ran and what it was asked for. Figures of results of different series are never compared, plotted on
one line, or shown one in place of the other.
"""

from hashlib import blake2b

from msgspec import Struct

from tinyprof_protocol.bounds import Count, Line, Word
from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Build, Result

ALL_SERIES = "all"
"""In a request for history: the runs of every series."""
SERIES_DIGITS = 16
MAX_KNOWN = 4096

_Terms = tuple[Build, str, int, tuple[str, ...]]


class SeriesSeen(Struct, frozen=True, omit_defaults=True):
    """A series in words: the suite, the first prompt (cut to a line) and how many there are, and the tokens asked for.

    `build` names the engine and the firmware with their builds.
    """

    series: Word
    suite: Word
    prompt: Line = ""
    prompts: Count = 0
    max_tokens: Count = 0
    build: Line = ""


def series_of(result: Result) -> str:
    """The series of a result: 16 hexadecimal digits over its whole build, its suite, its prompts and `max_tokens`.

    The digits are of a hash (BLAKE2b) of those values as MessagePack. They stay the same from version to version: a key
    that is added to `Build` counts only where it has another value than its default.
    """
    terms = pack((result.build, result.suite, result.prompts, result.max_tokens))
    return blake2b(terms, digest_size=SERIES_DIGITS // 2).hexdigest()


def is_series(text: str) -> bool:
    """Whether a text has the form of a series."""
    return len(text) == SERIES_DIGITS and all(digit in "0123456789abcdef" for digit in text)


def describe(result: Result) -> SeriesSeen:
    """The series of a result in words."""
    build = result.build
    words = (build.engine, build.engine_build, build.firmware, build.firmware_build)
    first = " ".join(result.prompts[0].split()) if result.prompts else ""
    return SeriesSeen(
        series_of(result), result.suite, first[:120], len(result.prompts), result.max_tokens,
        " ".join(word for word in words if word)[:300],
    )  # fmt: skip


class KnownSeries:
    """As `series_of`, quicker for many: the hash is made once for each build, suite, prompts and `max_tokens`."""

    def __init__(self, bound: int = MAX_KNOWN) -> None:
        """Keeps at most `bound` series; it starts anew when it is full."""
        self._bound = bound
        self._known: dict[_Terms, str] = {}
        self._last: Result | None = None
        self._series = ""

    def of(self, result: Result) -> str:
        """The series of a result."""
        last = self._last
        # Most results are like the one before, and to compare texts is quicker than to hash them.
        if (
            last is not None
            and last.suite == result.suite
            and last.max_tokens == result.max_tokens
            and last.prompts == result.prompts
            and last.build == result.build
        ):
            return self._series
        terms = (result.build, result.suite, result.max_tokens, tuple(result.prompts))
        series = self._known.get(terms)
        if series is None:
            if len(self._known) >= self._bound:
                self._known.clear()
            series = self._known[terms] = series_of(result)
        self._last, self._series = result, series
        return series

    def __len__(self) -> int:
        return len(self._known)
