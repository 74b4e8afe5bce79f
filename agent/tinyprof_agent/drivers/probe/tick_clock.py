"""Raw ticks of a counter that wraps, to nanoseconds that do not."""

from collections.abc import Iterable, Sequence

NS = 10**9


class TickClock:
    """Unwraps the stamps of one board, each in the order in which it was taken and given when it has just come.

    Stamps less than a wrap apart need nothing else. Where the host's own clock says that at least half a wrap went by
    since the last one, the number of wraps is the one that agrees best with the host's clock.
    """

    def __init__(self, tick_hz: int, tick_bits: int) -> None:
        self.tick_hz = tick_hz
        self.wrap_ticks = 1 << tick_bits
        self._last_ticks: int | None = None
        self._last_host_ns = 0

    def at(self, raw: int, host_ns: int) -> int:
        """The unwrapped count for a stamp that came at `host_ns`. The first one stays as it is."""
        if self._last_ticks is None:
            ticks = raw
        else:
            ticks = self._last_ticks + self._passed(raw - self._last_ticks, host_ns - self._last_host_ns)
        self.adopt(ticks, host_ns)
        return ticks

    def adopt(self, ticks: int, host_ns: int) -> None:
        """Goes on from a count that was unwrapped otherwise, such as the end of a run."""
        self._last_ticks, self._last_host_ns = ticks, host_ns

    def expected(self, host_ns: int) -> int | None:
        """What the counter says at this time of the host's clock, as far as that can tell; None before any stamp."""
        if self._last_ticks is None:
            return None
        return self._last_ticks + (host_ns - self._last_host_ns) * self.tick_hz // NS

    def near(self, raw: int, expected_ticks: int | None) -> int:
        """The unwrapped count for a stamp that lies within half a wrap of an expected count."""
        if expected_ticks is None:
            return raw
        half = self.wrap_ticks // 2
        return max(raw, expected_ticks + (raw - expected_ticks + half) % self.wrap_ticks - half)

    def after(self, earlier_ticks: int, raw: int) -> int:
        """The unwrapped count for a stamp taken less than a wrap after one that is unwrapped already."""
        return earlier_ticks + (raw - earlier_ticks) % self.wrap_ticks

    def ns(self, ticks: int) -> int:
        """An unwrapped count in nanoseconds."""
        return ticks * NS // self.tick_hz

    def _passed(self, difference: int, host_ns: int) -> int:
        passed = difference % self.wrap_ticks
        expected = host_ns * self.tick_hz // NS
        if 2 * expected < self.wrap_ticks:
            return passed
        wraps = (expected - passed + self.wrap_ticks // 2) // self.wrap_ticks
        return passed + max(0, wraps) * self.wrap_ticks


def unwrap_run(
    clock: TickClock, t0_ticks: int, stamps: Sequence[tuple[int, int]], tokens: Iterable[tuple[int, int]]
) -> list[int]:
    """The unwrapped counts of a run's tokens, given that of t0.

    `tokens` are pairs of index and raw stamp; `stamps` are pairs of how many tokens had been made and what the counter
    then said, in the order in which they were taken: they tell of wraps that fall between two tokens.
    """
    now, taken = t0_ticks, 0
    unwrapped = []
    for index, raw in tokens:
        while taken < len(stamps) and stamps[taken][0] <= index:
            now = clock.after(now, stamps[taken][1])
            taken += 1
        now = clock.after(now, raw)
        unwrapped.append(now)
    return unwrapped
