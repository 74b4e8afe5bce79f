import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tinyprof_agent.conditions import HostState
from tinyprof_agent.drivers.driver import BoardError, Cancelled
from tinyprof_agent.profiling.run import RunOutcome, RunPlan, Step, Surroundings, run
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.codec import pack, unpack
from tinyprof_protocol.records import MAX_RECORD_BYTES, Result

RUN_ID = bytes(range(16))
SUITE = Suite(
    prompts=("One day",), max_tokens=5, gate=("One day", "The dog"), min_repetitions=6, min_timed_s=2.0, max_timed_s=60
)
TOKENS = {"One day": [1, 2, 3, 4, 5], "The dog": [6, 7, 8, 9, 10], "Hello": [11, 12, 13, 14, 15]}


@dataclass(frozen=True)
class Case:
    tokens: tuple[int, ...]
    leads: tuple[float, ...] = (3.0, 3.0, 0.05, 3.0, 3.0)


CASES = {prompt: Case(tuple(TOKENS[prompt])) for prompt in ("One day", "The dog")}


def steady(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
    return 100.0, [50.0] * 4, TOKENS[prompt][:max_tokens]


def carry_out(board: Any, suite: Suite = SUITE, cases: dict[str, Case] | None = None, **around: Any) -> RunOutcome:
    surroundings = Surroundings(board.clock_ns, CASES if cases is None else cases, **around)
    outcome = run(board, board.info, RunPlan(RUN_ID, "b1", "mine", suite), surroundings, threading.Event())
    data = pack(outcome.result)
    assert unpack(data, Result) == outcome.result
    assert len(data) <= MAX_RECORD_BYTES
    return outcome


def test_a_steady_board_gives_a_valid_result_with_the_figures_by_definition(played_board: Any) -> None:
    board = played_board(steady)
    result = carry_out(board).result
    assert (result.verdict, result.reasons, result.golden, result.clock.check) == ("valid", [], "match", "checked")
    values = {name: figure.value for name, figure in result.figures.items()}
    assert values["ttft_ms"] == 100
    assert values["tpot_ms"] == 50
    assert values["decode_tps"] == pytest.approx(20)
    assert values["prefill_tps"] == pytest.approx(30)  # 3 tokens in 0.1 s
    assert values["e2e_ms"] == 300
    assert values["cpu_ns_per_token"] == 1000
    assert values["output_tokens"] == 5
    assert values["prompt_tokens"] == 3
    assert values["itl_p50_us"] == 50_000
    assert "itl_p99_us" not in values  # 28 gaps are too few
    assert values["round_trip_us"] == 2000
    assert values["clock_drift_ratio"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("cpu_ms", "share"), [(48, 0.8), (60, 1.0), (61, 1.0)])
def test_the_share_of_the_processor_that_an_engine_on_this_machine_had_is_kept_and_judged(
    played_board: Any, cpu_ms: int, share: float
) -> None:
    # Five tokens in 300 ms of wall time.
    board = played_board(steady, cpu_ns_per_token=cpu_ms * 1_000_000)
    board.info = replace(board.info, host_clock=True)
    result = carry_out(board).result
    assert result.figures["cpu_share"].value == pytest.approx(share)
    busy = ["the engine had the processor for 80% of its timed work only: the machine was busy"]
    assert (result.verdict, result.reasons) == (("unstable", busy) if share < 1 else ("valid", []))


def test_the_cpu_time_of_a_board_with_a_clock_of_its_own_says_nothing_of_this_machine(played_board: Any) -> None:
    result = carry_out(played_board(steady)).result
    assert "cpu_share" not in result.figures
    assert result.verdict == "valid"


def test_repetitions_go_on_until_both_their_number_and_their_time_are_reached(played_board: Any) -> None:
    # A repetition takes 0.3 s: 2 s take seven of them. Warm-up and two gate prompts come first.
    board = played_board(steady)
    result = carry_out(board).result
    assert len(result.repetitions) == 7
    assert result.timed_s == pytest.approx(2.1)
    assert board.generations == ["One day", "One day", "The dog", *["One day"] * 7]
    assert len(carry_out(played_board(steady), replace_suite(min_timed_s=0.5)).result.repetitions) == 6
    figure = result.figures["ttft_ms"]
    assert (figure.n, figure.coverage) == (7, 1 - 2 / 128)
    assert result.figures["ram_peak_bytes"].value == 60_010
    assert len(result.itl_us) == 28


def replace_suite(**changes: Any) -> Suite:
    values = {name: getattr(SUITE, name) for name in SUITE.__struct_fields__}
    return Suite(**(values | changes))


def test_a_run_ends_in_time_and_too_few_repetitions_are_unstable(played_board: Any) -> None:
    result = carry_out(played_board(steady), replace_suite(min_timed_s=1.0, max_timed_s=1.0)).result
    assert len(result.repetitions) == 3  # a fourth would end at 1.2 s
    assert result.verdict == "unstable"
    assert "3 repetitions" in result.reasons[0]
    assert result.figures["ttft_ms"].low is None


def test_a_noisy_board_is_unstable(played_board: Any) -> None:
    def noisy(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        return 100.0 * (1 + n % 2), [50.0] * 4, TOKENS[prompt]

    result = carry_out(played_board(noisy)).result
    assert result.verdict == "unstable"
    assert [line for line in result.reasons if line.startswith("TTFT")]
    assert not [line for line in result.reasons if line.startswith("TPOT")]


def test_prompts_of_different_length_are_no_noise(played_board: Any) -> None:
    def by_length(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        return (100.0 if prompt == "One day" else 900.0), [50.0] * 4, TOKENS[prompt]

    suite = replace_suite(prompts=("One day", "The dog"), min_timed_s=1.0)
    result = carry_out(played_board(by_length), suite).result
    assert (result.verdict, result.reasons) == ("valid", [])
    assert [one.prompt for one in result.repetitions] == [0, 1] * 6
    figure = result.figures["ttft_ms"]
    assert (figure.value, figure.low, figure.high, figure.n) == (500, 500, 500, 6)
    assert result.figures["prefill_tps"].value == pytest.approx(6)  # 6 prompt tokens in a second


def test_a_round_is_completed_even_where_the_time_is_reached_within_it(played_board: Any) -> None:
    suite = replace_suite(prompts=("One day", "The dog"), min_timed_s=3.7)
    result = carry_out(played_board(steady), suite).result
    assert len(result.repetitions) == 14  # 3.9 s after thirteen, but then the second prompt is still to come
    assert result.figures["ttft_ms"].n == 7


def test_a_round_that_the_time_limit_cuts_short_counts_in_no_figure(played_board: Any) -> None:
    suite = replace_suite(prompts=("One day", "The dog"), min_timed_s=0.9, max_timed_s=0.9)
    result = carry_out(played_board(steady), suite).result
    assert [one.prompt for one in result.repetitions] == [0, 1, 0]
    assert result.figures["ttft_ms"].n == 1
    assert "1 repetition:" in result.reasons[0]


@pytest.mark.parametrize(("rate", "verdict"), [(1.019, "valid"), (1.03, "invalid"), (0.97, "invalid")])
def test_a_clock_that_drifts_makes_the_run_invalid(played_board: Any, rate: float, verdict: str) -> None:
    result = carry_out(played_board(steady, rate=rate)).result
    assert result.verdict == verdict
    assert result.clock.drift_ratio == pytest.approx(rate - 1, abs=1e-6)


def test_a_clock_that_stands_still_ends_in_time_and_is_invalid(played_board: Any) -> None:
    result = carry_out(played_board(steady, rate=0.0)).result
    assert result.verdict == "invalid"
    assert "does not tick" in result.reasons[0]
    assert result.timed_s == 0
    assert result.itl_us == []  # no tick, no gaps
    assert result.itl_dropped > 0


def test_a_link_too_slow_for_the_clock_check_leaves_the_run_unstable(played_board: Any) -> None:
    result = carry_out(played_board(steady, round_trip_ns=20_000_000)).result
    assert (result.verdict, result.clock.check) == ("unstable", "unchecked")


def test_the_hosts_own_clock_is_not_checked(played_board: Any) -> None:
    board = played_board(steady, cpu_ns_per_token=60 * 1_000_000)
    board.info = replace(board.info, host_clock=True)
    result = carry_out(board).result
    assert (result.verdict, result.clock.check) == ("valid", "host")
    assert "round_trip_us" not in result.figures


def test_a_gate_that_differs_stops_the_run_before_anything_is_timed(played_board: Any) -> None:
    def wrong(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        return 100.0, [50.0] * 4, [1, 99, 3, 4, 5] if prompt == "One day" else TOKENS[prompt]

    board = played_board(wrong)
    result = carry_out(board).result
    assert (result.verdict, result.golden, result.repetitions) == ("invalid", "differs", [])
    assert len(board.generations) == 3
    assert "'One day'" in result.reasons[0]
    assert result.clock.check == "unchecked"
    assert board.now_ns == 1_000_000_000 + 3 * 300_000_000  # nothing more was asked of the board


def tied(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
    return 100.0, [50.0] * 4, [*TOKENS[prompt][:2], 99, 98, 97]


def test_a_tie_is_enough_where_another_prompt_of_the_gate_matches(played_board: Any) -> None:
    def one_tied(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        return tied(n, prompt, max_tokens) if prompt == "One day" else steady(n, prompt, max_tokens)

    result = carry_out(played_board(one_tied)).result
    assert (result.verdict, result.golden) == ("valid", "tie")
    assert {(one.golden, one.golden_tokens) for one in result.repetitions} == {("tie", 2)}


def test_ties_alone_do_not_open_the_gate(played_board: Any) -> None:
    result = carry_out(played_board(tied)).result
    assert (result.verdict, result.golden) == ("invalid", "tie")
    assert "near tie" in result.reasons[0]


def test_an_output_that_goes_wrong_later_is_invalid(played_board: Any) -> None:
    def goes_wrong(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        return 100.0, [50.0] * 4, TOKENS[prompt] if n < 8 else [1, 2, 3, 4, 99]

    result = carry_out(played_board(goes_wrong)).result
    assert (result.verdict, result.golden) == ("invalid", "differs")
    assert [one.golden for one in result.repetitions].count("match") == 4


def test_a_free_prompt_has_no_golden_output_and_must_agree_with_itself(played_board: Any) -> None:
    suite = replace_suite(prompts=("Hello",))
    result = carry_out(played_board(steady), suite).result
    assert (result.verdict, result.golden) == ("valid", "none")

    def fickle(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        return 100.0, [50.0] * 4, [n, 2, 3, 4, 5] if prompt == "Hello" else TOKENS[prompt]

    result = carry_out(played_board(fickle), suite).result
    assert (result.verdict, result.golden) == ("invalid", "none")
    assert "another output" in result.reasons[0]


def test_a_model_without_golden_outputs_has_no_gate(played_board: Any) -> None:
    board = played_board(steady)
    result = carry_out(board, cases={}).result
    assert (result.verdict, result.golden) == ("valid", "none")
    assert "The dog" not in board.generations


@pytest.mark.parametrize("code", ["timeout", "reset", "gone"])
@pytest.mark.parametrize("at", [1, 2, 6])
def test_a_board_that_fails_gives_an_invalid_result_that_says_why(played_board: Any, code: str, at: int) -> None:
    def fails(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        if n == at:
            raise BoardError(code, "what to do about it")
        return steady(n, prompt, max_tokens)

    outcome = carry_out(played_board(fails))
    assert outcome.failure is not None
    assert outcome.failure.code == code
    assert outcome.result.verdict == "invalid"
    assert outcome.result.reasons[0] == f"{code}: what to do about it"
    assert len(outcome.result.repetitions) == max(0, at - 4)


def test_missing_tokens_are_invalid_and_end_the_run(played_board: Any) -> None:
    short = played_board(lambda n, p, m: (100.0, [50.0] * 3, TOKENS[p][:4]) if n == 5 else steady(n, p, m))
    result = carry_out(short).result
    assert result.verdict == "invalid"
    assert "missing tokens: 1" in result.reasons
    assert len(result.repetitions) == 2
    told = carry_out(played_board(steady, missing=2)).result
    assert told.verdict == "invalid"
    assert told.repetitions == []


def test_times_that_cannot_be_are_invalid(played_board: Any) -> None:
    result = carry_out(played_board(lambda n, p, m: (100.0, [50.0, -60.0, 50.0, 50.0], TOKENS[p]))).result
    assert result.verdict == "invalid"
    assert result.reasons[0] == "the board's clock ran backwards"


def test_a_cancelled_run_has_no_result(played_board: Any) -> None:
    cancelled = threading.Event()

    def cancels(n: int, prompt: str, max_tokens: int) -> tuple[float, list[float], list[int]]:
        if n == 5:
            cancelled.set()
        return steady(n, prompt, max_tokens)

    board = played_board(cancels)
    with pytest.raises(Cancelled):
        run(board, board.info, RunPlan(RUN_ID, "b1", "mine", SUITE), Surroundings(board.clock_ns, CASES), cancelled)
    assert len(board.generations) == 5


def test_a_coarse_tick_withholds_the_gaps(played_board: Any) -> None:
    board = played_board(steady)
    board.info = replace(board.info, tick_hz=1000)  # 1 ms against gaps of 50 ms: 2 %
    result = carry_out(board).result
    assert result.itl_us == []
    assert result.itl_dropped == 28
    assert "itl_p50_us" not in result.figures
    assert "tpot_ms" in result.figures


def test_a_fast_board_is_thinned_to_fit_and_says_so(played_board: Any) -> None:
    fast: Callable[[int, str, int], tuple[float, list[float], list[int]]] = lambda n, p, m: (  # noqa: E731
        0.1,
        [0.05] * 63,
        list(range(64)),
    )
    result = carry_out(played_board(fast), replace_suite(max_tokens=64), cases={}).result
    made = result.figures["ttft_ms"].n
    assert made == len(result.repetitions) + result.repetitions_dropped > 600
    assert result.figures["itl_p99_us"].n == made * 63 == len(result.itl_us) + result.itl_dropped
    assert 2000 < len(result.itl_us) <= 8192


def test_warm_up_goes_on_until_the_frequency_settles(played_board: Any) -> None:
    clocks = iter([600, 1200, 1800, 1810, *[1810] * 20])
    board = played_board(steady)
    result = carry_out(board, read_host=lambda: HostState(cpu_clock_hz=next(clocks) * 10**6, load_1m=0.5)).result
    assert board.generations[:5] == ["One day"] * 4 + ["The dog"]  # three of warm-up, then the gate
    assert result.conditions.cpu_clock_hz == 1810 * 10**6
    assert result.conditions.load_1m == 0.5
    assert result.warm_up_s == pytest.approx(5 * 0.3)


def test_warm_up_is_bounded_where_the_frequency_never_settles(played_board: Any) -> None:
    clocks = iter(range(1000, 10**6, 1000))
    board = played_board(lambda n, p, m: (1.0, [1.0] * 4, TOKENS[p]))
    carry_out(board, read_host=lambda: HostState(cpu_clock_hz=next(clocks)))
    assert board.generations.index("The dog") == 11


def test_a_suite_may_do_without_warm_up(played_board: Any) -> None:
    board = played_board(steady)
    carry_out(board, replace_suite(warm_up=False))
    assert board.generations[:3] == ["One day", "The dog", "One day"]


def test_progress_is_told_as_it_comes(played_board: Any) -> None:
    steps: list[Step] = []
    carry_out(played_board(steady), on_step=steps.append)
    begun = [step.stage for step in steps if step.stage in ("clock", "timed") or not step.text]
    assert begun == ["warm-up", "gate", "gate", "clock", *["timed"] * 7, "clock"]
    timed = [step for step in steps if step.stage == "timed"]
    assert [step.repetition for step in timed] == [1, 2, 3, 4, 5, 6, 7]
    assert timed[1].text == "t1 t2 t3 t4 t5"


def test_what_is_not_timed_tells_its_tokens_as_they_come(played_board: Any) -> None:
    """And no stream disturbs what is timed: there the text of the repetition before is told."""
    steps: list[Step] = []
    carry_out(played_board(steady), on_step=steps.append)
    told = [step.text for step in steps if step.stage == "warm-up"]
    assert told == ["", " t1", " t1 t2", " t1 t2 t3", " t1 t2 t3 t4", " t1 t2 t3 t4 t5"]
    assert {step.text for step in steps if step.stage == "timed"} == {"", "t1 t2 t3 t4 t5"}
