"""The rules of time, over readings that are only numbers."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tinyprof_agent.clock import (
    BootSpan,
    HostClock,
    Raw,
    Reading,
    boot_id,
    epoch_digits,
    host_clock,
    judge,
    place_before,
    stamp,
    stepped_back,
)

S = 10**9
BOOT = b"b" * 16
TIMES = st.integers(0, 4_000_000_000 * S)


def test_trust_always_takes_the_system_clock_as_it_is() -> None:
    assert judge("always", BOOT, Raw(5 * S, 9 * S, False), 9 * S, None) == Reading(BOOT, 9 * S, 5 * S)


def test_a_synchronised_clock_is_taken_at_once() -> None:
    assert judge("auto", BOOT, Raw(5 * S, 9 * S, True), 9 * S, 77) == Reading(BOOT, 9 * S, 5 * S)


def test_a_collectors_time_is_taken_only_after_a_minute_without_synchronisation() -> None:
    early = judge("auto", BOOT, Raw(5 * S, 69 * S, False), 10 * S, 1000 * S)
    assert early.wall_ns is None
    late = judge("auto", BOOT, Raw(5 * S, 70 * S, False), 10 * S, 1000 * S)
    assert late == Reading(BOOT, 70 * S, 1070 * S, "estimated")
    assert judge("auto", BOOT, Raw(5 * S, 500 * S, False), 10 * S, None).wall_ns is None


def test_only_a_step_back_of_over_a_second_counts() -> None:
    before = Reading(BOOT, 100 * S, 1000 * S)
    assert not stepped_back(before, Reading(BOOT, 110 * S, 1009 * S), 0)
    assert stepped_back(before, Reading(BOOT, 110 * S, 1009 * S - 1), 0)
    assert not stepped_back(before, Reading(BOOT, 110 * S, 5000 * S), 0)
    assert not stepped_back(before, Reading(BOOT, 110 * S, None), 10**18)
    assert stepped_back(None, Reading(BOOT, 1, 1000 * S), 1002 * S)
    assert not stepped_back(None, Reading(BOOT, 1, 1000 * S), 1001 * S)


def test_the_boot_counts_too_when_a_machine_was_started_anew() -> None:
    assert not stepped_back(Reading(BOOT, 100 * S, 1000 * S), Reading(b"c" * 16, 200 * S, 1000 * S), 1000 * S)


@given(st.lists(TIMES, min_size=2, max_size=20), st.binary(min_size=16, max_size=16))
def test_times_strictly_rise_and_carry_the_epochs_digits(walls: list[int], epoch: bytes) -> None:
    last = 0
    for wall in walls:
        made = stamp(wall, last, epoch)
        assert made > last
        assert made % 1000 == epoch_digits(epoch)
        assert made // 1000 >= wall // 1000
        assert made // 1000 in (wall // 1000, last // 1000 + 1)
        last = made


@given(st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15)), max_size=6), st.integers(10**17, 10**18))
def test_earlier_boots_lie_in_order_and_before_this_one(pairs: list[tuple[int, int]], boot_wall_ns: int) -> None:
    spans = [BootSpan(first, first + length) for first, length in pairs]
    offsets = place_before(spans, boot_wall_ns)
    ends = [(span.first_ns + offset, span.last_ns + offset) for span, offset in zip(spans, offsets, strict=True)]
    for (_, last), (first, _) in zip(ends, [*ends[1:], (boot_wall_ns, 0)], strict=False):
        assert last < first


def test_a_clock_once_synchronised_stays_trusted() -> None:
    readings = iter([Raw(0, 0, False), Raw(5 * S, 1, False), Raw(5 * S, 2, True), Raw(6 * S, 3, False)])
    clock = HostClock("auto", BOOT, lambda: next(readings))
    assert [clock.read().wall_ns for _ in range(3)] == [None, 5 * S, 6 * S]


def test_a_collectors_time_goes_on_with_time_since_boot() -> None:
    now = [Raw(0, 0, False)]
    clock = HostClock("auto", BOOT, lambda: now[0])
    now[0] = Raw(30 * S, 30 * S, False)
    clock.observe(1000 * S)
    assert clock.skew_ns == 970 * S
    now[0] = Raw(90 * S, 90 * S, False)
    assert clock.read() == Reading(BOOT, 90 * S, 1060 * S, "estimated")


def test_this_machine_has_a_clock_and_a_boot(tmp_path: Path) -> None:
    clock = host_clock("always")
    first, second = clock.read(), clock.read()
    assert first.boot == second.boot
    assert second.boottime_ns >= first.boottime_ns
    assert len(boot_id(tmp_path / "none")) == 16
    assert isinstance(host_clock("auto").read(), Reading)


def test_a_time_that_would_leave_int64_is_not_taken() -> None:
    clock = HostClock("auto", BOOT, lambda: Raw(0, 100 * S, False))
    clock.observe(2**63 - 1)
    assert clock.skew_ns is None
    assert clock.read().wall_ns is None
