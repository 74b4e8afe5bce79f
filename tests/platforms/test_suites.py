from pathlib import Path

import msgspec
import pytest

from tinyprof_models.golden import shipped_golden
from tinyprof_platforms.suites import (
    MAX_PROMPT_BYTES,
    SuiteError,
    adapt,
    find_suite,
    read_suite,
    shipped_suites,
    suite_named,
    suite_terms,
    suites_with,
)


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
    ("toml", "says"),
    [
        (
            'prompts = ["a"]\nmax_tokens = 4\nmin_repetition = 3\n',
            "min_repetition: unknown key; did you mean min_repeti",
        ),
        (
            'prompts = ["a"]\nmax_tokens = 4\ncolour = 3\n',
            "colour: unknown key; there are prompts, max_tokens, gate, min_",
        ),
        ('prompts = ["a"]\nmax_tokens = "4"\n', "max_tokens: expected integer, got string"),
        ('prompts = ["a"]\nmax_tokens = 0\n', "max_tokens: expected integer >= 1"),
        ('prompts = ["a"]\nmax_tokens = 4\nruns = 0\n', "runs: expected integer >= 1"),
        ("prompts = []\nmax_tokens = 4\n", "prompts: expected array of length >= 1"),
        ('prompts = ["a", ""]\nmax_tokens = 4\n', "prompts[1]: expected string of length >= 1"),
        ("max_tokens = 4\n", "prompts: is missing"),
        (
            'prompts = ["a"]\nmax_tokens = 4\nmin_timed_s = 9.0\nmax_timed_s = 3.0\n',
            "max_timed_s: 3 is below min_timed_s, 9",
        ),
        ('prompts = ["a", "a"]\nmax_tokens = 4\n', "prompts: the same one stands twice"),
        ("prompts = [\n", "is not TOML: "),
    ],
)
def test_a_bad_suite_is_one_line_that_names_suite_file_and_key(tmp_path: Path, toml: str, says: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(toml)
    with pytest.raises(SuiteError) as caught:
        read_suite(path)
    assert str(caught.value).startswith(f"suite 'mine': {path}: {says}")
    assert "\n" not in str(caught.value)


def test_a_suite_is_called_as_its_file_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('prompts = ["a"]\nmax_tokens = 4\n')
    name, suite = read_suite(path)
    assert (name, suite.prompts, suite.max_tokens, suite.runs) == ("mine", ("a",), 4, 1)
    assert find_suite(str(path)) == (name, suite)
    assert find_suite("quick") == ("quick", shipped_suites()["quick"])
    with pytest.raises(SuiteError, match=r"My Suite\.toml: a suite is called as its file is, and suite 'My Suite'"):
        read_suite(path.rename(tmp_path / "My Suite.toml"))


def test_suites_of_ones_own_stand_beside_those_that_ship(tmp_path: Path) -> None:
    path, again = tmp_path / "mine.toml", tmp_path / "again" / "mine.toml"
    again.parent.mkdir()
    for each in (path, again):
        each.write_text('prompts = ["a"]\nmax_tokens = 4\n')
    assert set(suites_with([str(path)])) == {"mine", *shipped_suites()}
    with pytest.raises(SuiteError, match="another one is called 'mine' too"):
        suites_with([str(path), str(again)])
    quick = path.rename(tmp_path / "quick.toml")
    with pytest.raises(SuiteError, match="one that ships is called 'quick' too"):
        suites_with([str(quick)])
    with pytest.raises(SuiteError, match="one that ships is called 'quick' too"):
        find_suite(str(quick))
    with pytest.raises(SuiteError, match=r"none\.toml: cannot be read: No such file"):
        suites_with([str(tmp_path / "none.toml")])


def test_how_many_runs_a_benchmark_makes_is_no_term_of_a_run() -> None:
    soak = shipped_suites()["soak"]
    assert soak.runs > 1
    assert suite_terms(soak) == suite_terms(msgspec.structs.replace(soak, runs=1))
    assert suite_terms(soak) != suite_terms(msgspec.structs.replace(soak, min_timed_s=1.0))


def test_an_unknown_suite_is_refused_with_those_there_are() -> None:
    with pytest.raises(SuiteError, match="'fast'; there are emulated, quick, soak, standard"):
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
