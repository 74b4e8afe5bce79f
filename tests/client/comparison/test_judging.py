"""One metric before and after: the words, with known answers."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof.comparison.judging import judge
from tinyprof.comparison.samples import metrics_in, samples
from tinyprof_protocol.records import Build, Figure, Repetition

EMULATED = Build(
    platform="stm32f405", engine="tinyprof-c", engine_build="1", model="m", model_sha256="a" * 64, quantisation="Q4_0",
    kv_cache="f16", activations="int8", ctx=256, timing="device", emulated=True,
)  # fmt: skip


def judged(metric, old, new, **more):
    return judge(metric, [old], [new], **more)


@pytest.mark.parametrize(
    ("metric", "factor", "verdict"),
    [
        ("ttft_ms", 1.2, "slower"),
        ("ttft_ms", 0.8, "faster"),
        ("prefill_tps", 1.2, "slower"),
        ("ttft_ms", 1.03, "same"),
        ("ttft_ms", 1.0, "same"),
    ],
)
def test_times_and_rates_have_their_own_directions(result, noisy, metric, factor, verdict) -> None:
    before, after = noisy(10.0, seed=1), [factor * value for value in noisy(10.0, seed=2)]
    found = judged(metric, result(before), result(after))
    assert found.verdict == verdict
    assert (found.n_old, found.n_new) == (12, 12)
    assert found.p is not None
    assert (found.p < 0.05) == (factor != 1.0)


def test_a_change_within_the_noise_is_the_same(result) -> None:
    found = judged("ttft_ms", result([8, 9, 10, 11, 12, 13]), result([8.5, 9.5, 10.9, 11.8, 12.9, 13.5]))
    assert found.verdict == "same"
    assert found.change == pytest.approx(0.081, abs=0.001)
    assert found.p > 0.05


def test_the_smallest_effect_is_the_callers(result, noisy) -> None:
    before, after = noisy(10.0), [1.03 * value for value in noisy(10.0, seed=2)]
    assert judged("ttft_ms", result(before), result(after), effect=0.01).verdict == "slower"
    assert judged("ttft_ms", result(before), result(after), effect=0.5).verdict == "same"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_three_repetitions_cannot_tell_anything(result, noisy, n) -> None:
    found = judged("ttft_ms", result(noisy(10.0, n)), result(noisy(99.0, n)))
    assert found.verdict == "not enough samples"
    assert found.worse == 0.0


def test_four_can(result, noisy) -> None:
    found = judged("ttft_ms", result(noisy(10.0, 4)), result(noisy(99.0, 4)))
    assert found.verdict == "slower"
    assert found.p == pytest.approx(2 / 70)
    assert found.worse == pytest.approx(8.9, abs=0.5)


def test_what_differs_from_run_to_run_is_no_change(result, noisy) -> None:
    """Each side has slow and quick runs: so many repetitions differ, but the runs do not."""
    old = [result(noisy(middle, 100, seed)) for seed, middle in enumerate([10, 10.5, 12, 10.2, 11])]
    new = [result(noisy(middle, 100, seed)) for seed, middle in enumerate([11.8, 10.1, 11.5, 10.4, 12.1])]
    pooled = judge("ttft_ms", [result([v for run in old for v in samples("ttft_ms", [run])])],
                   [result([v for run in new for v in samples("ttft_ms", [run])])])  # fmt: skip
    assert pooled.verdict == "slower"
    assert judge("ttft_ms", old, new).verdict == "same"


@pytest.mark.parametrize(
    ("metric", "before", "after", "verdict", "worse"),
    [
        ("ram_peak_bytes", 1000.0, 1100.0, "larger", 0.1),
        ("ram_peak_bytes", 1000.0, 900.0, "smaller", 0.0),
        ("flash_bytes", 1000.0, 1010.0, "same", 0.0),
    ],
)
def test_sizes_are_larger_or_smaller_without_a_test(result, metric, before, after, verdict, worse) -> None:
    old, new = (result([1.0], figures={metric: Figure(value)}) for value in (before, after))
    found = judged(metric, old, new)
    assert (found.verdict, found.p) == (verdict, None)
    assert found.worse == pytest.approx(worse)


@pytest.mark.parametrize(("after", "verdict"), [(1_000_000, "same"), (1_000_001, "slower"), (999_999, "faster")])
def test_counts_of_an_emulator_compare_exactly(result, after, verdict) -> None:
    figures = [{"instructions_per_token": Figure(float(count), n=2)} for count in (1_000_000, after)]
    old, new = (result(build=EMULATED, figures=one) for one in figures)
    found = judged("instructions_per_token", old, new)
    assert (found.verdict, found.p, found.n_old) == (verdict, None, 1)


def test_an_estimate_is_never_a_sample(result) -> None:
    figures = {"decode_tps": Figure(5.0, 4.0, 6.0, estimated=True), "instructions_per_token": Figure(5e6)}
    run = result(build=EMULATED, figures=figures)
    assert metrics_in([run]) == {"instructions_per_token"}
    found = judged("decode_tps", run, run)
    assert (found.verdict, found.why) == ("not comparable", "estimated in OLD, not measured")


def test_times_of_other_numbers_of_tokens_are_not_comparable(result, noisy) -> None:
    old, new = result(noisy(10.0), tokens=(5, 24)), result(noisy(10.0), tokens=(7, 20))
    assert judged("ttft_ms", old, new).why == "prompts of 5 and 7 tokens"
    assert judged("decode_tps", old, new).why == "outputs of 24 and 20 tokens"
    assert judged("e2e_ms", old, new).verdict == "not comparable"


def test_a_resident_set_is_no_static_memory(result) -> None:
    figures = {"ram_peak_bytes": Figure(1000.0)}
    found = judged("ram_peak_bytes", result(figures=figures), result(figures=figures, ram_is_rss=True))
    assert found.verdict == "not comparable"


def test_one_pass_over_several_prompts_is_one_value(result) -> None:
    repetitions = [
        Repetition(0, 10.0, 2.0, 4, 11), Repetition(1, 30.0, 3.0, 12, 21),
        Repetition(0, 12.0, 2.0, 4, 11), Repetition(1, 32.0, 3.0, 12, 21),
        Repetition(0, 99.0, 2.0, 4, 11),
    ]  # fmt: skip
    run = msgspec.structs.replace(result(), prompts=["a", "b"], repetitions=repetitions)
    assert samples("ttft_ms", [run]) == [20.0, 22.0]
    assert samples("tpot_ms", [run]) == pytest.approx([80 / 30, 80 / 30])
    assert samples("decode_tps", [run]) == pytest.approx([375, 375])
    assert samples("prefill_tps", [run]) == pytest.approx([400, 16000 / 44])
    assert samples("e2e_ms", [run]) == pytest.approx([60, 62])


def test_the_values_are_those_that_the_figures_rest_on(result) -> None:
    """Against the agent's own arithmetic over the same rounds."""
    from tinyprof_agent.drivers.driver import Generation
    from tinyprof_agent.profiling import rounds
    from tinyprof_agent.profiling.metrics import Timings

    timings = [Timings(10_000_000, 20_000_000, (2_000_000,) * 10, 4, 11), Timings(31_000_000, 60_000_000,
               (3_000_000,) * 20, 12, 21)]  # fmt: skip
    generation = Generation.__new__(Generation)
    one = [rounds.Observed(number, generation, timing) for number, timing in enumerate(timings)]
    repetitions = [
        Repetition(number, t.ttft_ms, t.tpot_ms, t.prompt_tokens, t.output_tokens) for number, t in enumerate(timings)
    ]
    run = result(repetitions=repetitions, prompts=["a", "b"])
    for metric in ("ttft_ms", "tpot_ms", "prefill_tps", "decode_tps", "e2e_ms"):
        assert samples(metric, [run]) == pytest.approx([getattr(rounds, metric)(one)])


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=30))
def test_a_board_is_the_same_as_itself(result, times) -> None:
    run = result(repetitions=[Repetition(0, time, time / 9, 5, 24) for time in times])
    for metric in ("ttft_ms", "decode_tps", "e2e_ms"):
        assert judge(metric, [run], [run]).verdict in ("same", "not enough samples")
