import pytest

from tinyprof_agent.drivers.driver import Generation
from tinyprof_agent.profiling.metrics import BadTimes, gaps_withheld, timings, tokens_lost

MS = 1_000_000


def generation(
    token_ns: list[int], *, t0_ns: int = 0, tokens: list[int] | None = None, stopped: str = "limit", missing: int = 0
) -> Generation:
    ids = list(range(len(token_ns))) if tokens is None else tokens
    return Generation(t0_ns, token_ns, ids, 5, b"", stopped, missing)  # type: ignore[arg-type]


def test_the_definitions_on_times_worked_out_by_hand() -> None:
    # t0 = 100 ms; tokens at 150, 160, 180, 190 ms: TTFT 50, decode 40 over 3 gaps, end to end 90.
    times = timings(generation([150 * MS, 160 * MS, 180 * MS, 190 * MS], t0_ns=100 * MS))
    assert times.ttft_ms == 50
    assert times.tpot_ms == pytest.approx(40 / 3)
    assert times.gaps_ns == (10 * MS, 20 * MS, 10 * MS)
    assert times.prefill_tps == pytest.approx(5 / 0.050)
    assert times.decode_tps == pytest.approx(3 / 0.040)
    assert times.e2e_ms == 90
    assert times.output_tokens == 4


def test_a_single_token_has_no_tpot() -> None:
    times = timings(generation([7 * MS]))
    assert (times.tpot_ms, times.decode_tps, times.gaps_ns) == (None, None, ())
    assert times.e2e_ms == times.ttft_ms == 7


def test_a_clock_that_stands_still_gives_no_rate() -> None:
    times = timings(generation([0, 0, 0]))
    assert (times.prefill_tps, times.decode_tps) == (None, None)
    assert times.tpot_ms == 0


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (generation([]), "no token"),
        (generation([5, 4]), "backwards"),
        (generation([5], t0_ns=6), "backwards"),
        (generation([5, 6], tokens=[1]), "1 token came with 2 times"),
    ],
)
def test_times_that_cannot_be_are_refused(bad: Generation, why: str) -> None:
    with pytest.raises(BadTimes, match=why):
        timings(bad)


def test_gaps_are_withheld_where_the_tick_is_over_one_percent_of_their_median() -> None:
    gaps = [1 * MS] * 3
    assert not gaps_withheld(gaps, 100_000)  # a tick of 10 us is just 1 % of 1 ms
    assert gaps_withheld(gaps, 99_999)
    assert gaps_withheld(gaps, 1000)
    assert gaps_withheld(gaps, 0)
    assert not gaps_withheld([], 0)


@pytest.mark.parametrize(
    ("made", "max_tokens", "ctx", "lost"),
    [
        (generation([1] * 8), 8, 256, 0),
        (generation([1] * 6), 8, 256, 2),
        (generation([1] * 3, stopped="eos"), 8, 256, 0),
        (generation([1] * 3, stopped="eos", missing=2), 8, 256, 2),
        (generation([1] * 8, missing=1), 8, 256, 1),
        (generation([1] * 5), 8, 10, 0),  # 5 of the prompt and 5 fill the context
        (generation([1] * 4), 8, 10, 0),  # engines that keep the last place free
        (generation([1] * 3), 8, 10, 1),
        (generation([]), 8, 256, 8),
    ],
)
def test_tokens_that_are_missing(made: Generation, max_tokens: int, ctx: int, lost: int) -> None:
    assert tokens_lost(made, max_tokens, ctx) == lost
