"""Whether the board's clock keeps the host's time. Pure.

The quickest of five round trips bounds when the board's clock was read best; the board's span between one before
and one after the timed work, over the host's, gives the drift.
"""

from collections.abc import Sequence
from typing import Final

from tinyprof_agent.drivers.driver import RoundTrip
from tinyprof_protocol.records import ClockCheck, ClockReport

ROUND_TRIPS: Final = 5
MIN_SPAN_S: Final = 2.0
MAX_ROUND_TRIP_SHARE: Final = 0.005
"""Both round trips together, as a share of the span."""
MAX_DRIFT: Final = 0.02


def host_clock_report(tick_hz: int) -> ClockReport:
    """The report where the host itself keeps the time: there is nothing to check."""
    return ClockReport("host", tick_hz=tick_hz)


def check_clock(before: Sequence[RoundTrip], after: Sequence[RoundTrip], tick_hz: int) -> ClockReport:
    """What the round trips before and after the timed work say of the board's clock."""
    if len(before) < ROUND_TRIPS or len(after) < ROUND_TRIPS:
        why = f"{len(before)} round trips before and {len(after)} after the timed work: it takes {ROUND_TRIPS} each"
        return ClockReport("unchecked", tick_hz=tick_hz, why=why)
    first, last = min(before, key=_took_ns), min(after, key=_took_ns)
    span_ns = (last.sent_ns + last.received_ns - first.sent_ns - first.received_ns) / 2
    board_ns = last.board_ns - first.board_ns
    drift = board_ns / span_ns - 1 if span_ns > 0 else None
    check, why = _judge(span_ns, board_ns, _took_ns(first) + _took_ns(last), drift, tick_hz)
    return ClockReport(
        check,
        tick_hz=tick_hz,
        span_s=span_ns / 1e9,
        drift_ratio=drift,
        round_trip_us=min(_took_ns(first), _took_ns(last)) / 1e3,
        why=why,
    )


def _judge(
    span_ns: float, board_ns: int, round_trips_ns: int, drift: float | None, tick_hz: int
) -> tuple[ClockCheck, str]:
    if tick_hz <= 0 or board_ns <= 0:
        return "failed", "the board's clock does not tick"
    if drift is None or span_ns < MIN_SPAN_S * 1e9:
        return "unchecked", f"{span_ns / 1e9:.2f} s lie between the round trips: it takes {MIN_SPAN_S:g} s"
    share = round_trips_ns / span_ns
    if share >= MAX_ROUND_TRIP_SHARE:
        return "unchecked", f"the round trips take {share:.2%} of the span: it must be under {MAX_ROUND_TRIP_SHARE:.1%}"
    if abs(drift) > MAX_DRIFT:
        return "failed", f"the board's clock drifts by {drift:+.2%} from the host's: over {MAX_DRIFT:.0%}"
    return "checked", ""


def _took_ns(trip: RoundTrip) -> int:
    return trip.received_ns - trip.sent_ns
