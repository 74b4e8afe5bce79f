"""How the newest runs of a board's series went, small: of 10,000 boards as many are kept as a sparkline shows."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from math import isnan, nan
from typing import get_args

from tinyprof_collector.stores.store import RunSeen
from tinyprof_protocol.presence import SPARK_POINTS
from tinyprof_protocol.records import Verdict

_VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_CODES = {verdict: code for code, verdict in enumerate(_VERDICTS)}


class NewestRuns:
    """At most `SPARK_POINTS` runs by their time, oldest first; of runs at one time the last added is the newest.

    17 bytes each, in three arrays that are in step: they are for itself and its like alone.
    """

    __slots__ = ("codes", "speeds", "times_ns")

    def __init__(self, runs: Iterable[RunSeen] = ()) -> None:
        self.times_ns = array("q")
        self.speeds = array("d")
        """NaN for a run that has none."""
        self.codes = bytearray()
        for run in runs:
            self.add(run.time_ns, run.verdict, run.decode_tps)

    def __len__(self) -> int:
        return len(self.times_ns)

    def add(self, time_ns: int, verdict: Verdict, decode_tps: float | None) -> None:
        """Takes a run at its place in time; the oldest one goes where there are too many."""
        tps = nan if decode_tps is None else decode_tps
        times_ns = self.times_ns
        if not times_ns or times_ns[-1] <= time_ns:
            times_ns.append(time_ns)
            self.speeds.append(tps)
            self.codes.append(_CODES[verdict])
        else:
            at = bisect_right(times_ns, time_ns)
            times_ns.insert(at, time_ns)
            self.speeds.insert(at, tps)
            self.codes.insert(at, _CODES[verdict])
        self._cut()

    def merge(self, other: "NewestRuns") -> None:
        """Takes runs that were gathered apart."""
        if len(self) and len(other) and other.times_ns[0] < self.times_ns[-1]:
            for time_ns, code, tps in zip(other.times_ns, other.codes, other.speeds, strict=True):
                self.add(time_ns, _VERDICTS[code], None if isnan(tps) else tps)
            return
        self.times_ns += other.times_ns
        self.speeds += other.speeds
        self.codes += other.codes
        self._cut()

    def decode_tps(self) -> list[float]:
        """Decode tokens/s of the runs that have them, oldest first."""
        return [tps for tps in self.speeds if not isnan(tps)]

    def invalid_streak(self) -> int:
        """How many of the newest runs in a row are invalid."""
        invalid = _CODES["invalid"]
        return len(self.codes) - len(self.codes.rstrip(bytes((invalid,))))

    def _cut(self) -> None:
        if len(self.times_ns) > SPARK_POINTS:
            del self.times_ns[:-SPARK_POINTS], self.speeds[:-SPARK_POINTS], self.codes[:-SPARK_POINTS]
