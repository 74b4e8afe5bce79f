from dataclasses import dataclass

import pytest

from tinyprof_agent.profiling.golden_check import Compared, compare, disagreement, gate_fault, overall
from tinyprof_protocol.records import Golden


@dataclass(frozen=True)
class Case:
    tokens: tuple[int, ...] = (10, 11, 12, 13)
    leads: tuple[float, ...] = (2.0, 0.5, 0.09, 0.1)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([10, 11, 12, 13], Compared("match", 4)),
        ([10, 11], Compared("match", 2)),
        ([10, 11, 12, 13, 14, 15], Compared("match", 4)),
        ([10, 11, 99, 13], Compared("tie", 2)),
        ([10, 11, 12, 99], Compared("differs", 3)),  # a lead of exactly 0.1 is no tie
        ([10, 99, 12, 13], Compared("differs", 1)),
        ([99], Compared("differs", 0)),
        ([], Compared("differs", 0)),
    ],
)
def test_the_first_difference_decides(tokens: list[int], expected: Compared) -> None:
    assert compare(tokens, Case(), ended=False) == expected


def test_an_end_where_the_golden_output_goes_on_differs() -> None:
    assert compare([10, 11], Case(), ended=True).golden == "differs"
    assert compare([10, 11, 12, 13], Case(), ended=True).golden == "match"


def test_without_a_golden_output_there_is_nothing_to_compare() -> None:
    assert compare([1, 2], None, ended=True) == Compared("none", 0)


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [
        ([], "none"),
        (["match", "match"], "match"),
        (["match", "none"], "none"),
        (["none", "tie", "match"], "tie"),
        (["tie", "differs"], "differs"),
    ],
)
def test_a_run_is_as_good_as_its_worst_output(outcomes: list[Golden], worst: Golden) -> None:
    assert overall(outcomes) == worst


def test_the_gate_takes_one_whole_match_and_no_difference() -> None:
    assert gate_fault({}) is None
    assert gate_fault({"a": "match", "b": "tie"}) is None
    assert gate_fault({"a": "none"}) is None
    assert "near tie" in (gate_fault({"a": "tie", "b": "tie", "c": "none"}) or "")
    assert "'b'" in (gate_fault({"a": "match", "b": "differs"}) or "")


def test_repetitions_of_a_free_prompt_agree_with_each_other() -> None:
    assert disagreement([(0, [1, 2]), (1, [3]), (0, [1, 2]), (1, [3])], [False, False]) is None
    assert "repetition 3" in (disagreement([(0, [1, 2]), (1, [3]), (0, [1, 9])], [False, False]) or "")
    assert "repetition 2" in (disagreement([(0, [1, 2]), (0, [1])], [False]) or "")


def test_prompts_with_a_golden_output_are_left_to_it() -> None:
    assert disagreement([(0, [1, 2]), (0, [1, 9])], [True]) is None
