import pytest

from tinyprof_models.golden import shipped_golden
from tinyprof_platforms.suites import MAX_PROMPT_BYTES, SuiteError, adapt, parse_suites, shipped_suites, suite_named


def test_quick_and_standard_ask_for_what_the_design_says() -> None:
    suites = shipped_suites()
    quick, standard = suites["quick"], suites["standard"]
    assert (quick.min_repetitions, quick.min_timed_s, quick.max_timed_s) == (6, 2.0, 60.0)
    assert 16 <= quick.max_tokens <= 32
    assert (standard.min_repetitions, standard.min_timed_s, standard.max_timed_s) == (6, 10.0, 60.0)
    assert standard.max_tokens == 64


def test_prompts_and_gates_of_shipped_suites_have_golden_outputs_in_every_model() -> None:
    for suite in shipped_suites().values():
        for model in shipped_golden().models.values():
            for output in model.outputs:
                assert {*suite.prompts, *suite.gate} <= {case.prompt for case in output.cases}


@pytest.mark.parametrize(
    ("toml", "names"),
    [
        ('[mine]\nprompts = ["a"]\nmax_tokens = 4\nrepeat = 3\n', "repeat"),
        ('[mine]\nprompts = ["a"]\nmax_tokens = "4"\n', "max_tokens"),
        ('[mine]\nprompts = ["a"]\nmax_tokens = 0\n', "max_tokens"),
        ("[mine]\nprompts = []\nmax_tokens = 4\n", "prompts"),
        ("[mine]\nmax_tokens = 4\n", "prompts"),
        ('[mine]\nprompts = ["a"]\nmax_tokens = 4\nmin_timed_s = 9.0\nmax_timed_s = 3.0\n', "max_timed_s"),
        ('[mine]\nprompts = ["a", "a"]\nmax_tokens = 4\n', "twice"),
        ("[mine\n", "line 1"),
    ],
)
def test_a_bad_suite_is_refused_in_one_line_that_names_the_key(toml: str, names: str) -> None:
    with pytest.raises(SuiteError) as caught:
        parse_suites(toml, "my.toml")
    assert names in str(caught.value)
    assert str(caught.value).startswith("my.toml: ")
    assert "\n" not in str(caught.value)


def test_an_unknown_suite_is_refused_with_those_there_are() -> None:
    with pytest.raises(SuiteError, match="'fast'; there are emulated, quick, standard"):
        suite_named("fast", shipped_suites())


def test_a_job_replaces_what_it_names_and_keeps_the_gate() -> None:
    quick = shipped_suites()["quick"]
    adapted = adapt(quick, prompts=("Hello",), max_tokens=5, repetitions=2)
    assert (adapted.prompts, adapted.max_tokens, adapted.min_repetitions) == (("Hello",), 5, 2)
    assert (adapted.gate, adapted.min_timed_s) == (quick.gate, quick.min_timed_s)
    assert adapt(quick) == quick


@pytest.mark.parametrize(
    "wanted",
    [
        {"max_tokens": 0},
        {"max_tokens": 10**9},
        {"repetitions": 0},
        {"prompts": ("",)},
        {"prompts": tuple(f"{i}" * 3000 for i in range(3))},
    ],
)
def test_a_job_cannot_ask_for_more_than_the_bounds(wanted: dict[str, object]) -> None:
    with pytest.raises(SuiteError):
        adapt(shipped_suites()["quick"], **wanted)  # type: ignore[arg-type]


def test_prompts_are_bounded_in_bytes_and_not_in_characters() -> None:
    prompts = tuple("ж" * 1024 + str(i) for i in range(4))
    assert sum(map(len, prompts)) < MAX_PROMPT_BYTES < sum(len(p.encode()) for p in prompts)
    with pytest.raises(SuiteError, match="bytes"):
        adapt(shipped_suites()["quick"], prompts=prompts)
