"""Which boards, which suite, and what an agent has of it."""

import pytest

from tinyprof.benchmarking.selection import (
    NothingToRun,
    SuiteAsked,
    Wanted,
    choose,
    job_terms,
    parse_suite,
    suite_for,
    why_not_offered,
)
from tinyprof.board_names import UnknownBoard
from tinyprof_platforms.suites import Suite, SuiteError, offered, shipped_suites
from tinyprof_protocol.presence import AgentStatus, BoardSummary


def board(name, node="lab.a", **more):
    return BoardSummary(node, name, "healthy", [], 1, **more)


FLEET = [
    board("pico-1", platform="rp2040", labels=["bench"]),
    board("pico-2", platform="rp2040"),
    board("f405", platform="stm32f405", stands_for="stm32f405rg", emulated=True),
    board("host", "roof.b", platform="host", labels=["bench"]),
    board("old", platform="rp2040", state="disabled"),
]
MINE = Suite(prompts=("Hello",), max_tokens=5, min_repetitions=7)


def names(**wanted):
    return [one.board for one in choose(Wanted(**wanted), FLEET)]


def test_all_boards_but_disabled_ones_where_nothing_is_asked_for() -> None:
    assert names() == ["pico-1", "pico-2", "f405", "host"]


def test_what_is_asked_for_must_all_hold() -> None:
    assert names(platform="rp2040") == ["pico-1", "pico-2"]
    assert names(platform="stm32f405rg") == ["f405"]
    assert names(label="bench") == ["pico-1", "host"]
    assert names(label="bench", site="lab") == ["pico-1"]
    assert names(boards=("host", "lab.a/pico-2", "host")) == ["host", "pico-2"]
    assert names(boards=("old",)) == ["old"]


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"platform": "esp32"}, "no board has the platform 'esp32'; there are host, rp2040, stm32f405, stm32f405rg"),
        ({"label": "roof"}, "no board has the label 'roof'; there are bench"),
        ({"site": "cellar"}, "no board has the site 'cellar'; there are lab, roof"),
        ({"platform": "host", "site": "lab"}, "no board fits all that is asked for"),
    ],
)
def test_no_board_that_fits_is_a_line_with_what_there_is(wanted, says) -> None:
    with pytest.raises(NothingToRun, match=says):
        names(**wanted)


def test_an_unknown_board_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownBoard, match=r"nearest: lab\.a/pico-1"):
        names(boards=("pico1",))
    with pytest.raises(NothingToRun, match="no agent has announced any board"):
        choose(Wanted(), [])


def test_emulated_boards_have_a_suite_of_their_own() -> None:
    assert [suite_for(None, one).name for one in FLEET[1:4]] == ["standard", "emulated", "standard"]
    assert suite_for(SuiteAsked("quick"), FLEET[2]).name == "quick"


def test_a_suite_is_a_file_one_that_ships_or_a_name_of_the_agents(tmp_path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('prompts = ["Hello"]\nmax_tokens = 5\nmin_repetitions = 7\n')
    assert parse_suite(None) is None
    assert parse_suite(str(path)) == SuiteAsked("mine", MINE, own=True)
    assert parse_suite("quick") == SuiteAsked("quick", shipped_suites()["quick"])
    assert parse_suite("night") == SuiteAsked("night")
    with pytest.raises(SuiteError, match="cannot be read"):
        parse_suite(str(tmp_path / "none.toml"))


def agent(*suites, state="online"):
    return AgentStatus("lab.a", state, offers=[one.name for one in suites], suites=list(suites))


def test_a_file_runs_where_the_agent_has_the_same_gate_and_times() -> None:
    mine = SuiteAsked("mine", MINE, own=True)
    same, shorter = offered("mine", MINE), offered("mine", Suite(prompts=("Hi",), max_tokens=3))
    other = offered("mine", Suite(prompts=("Hello",), max_tokens=5, warm_up=False))
    assert why_not_offered(mine, agent(same)) == why_not_offered(mine, agent(shorter)) == ""
    assert job_terms(mine, agent(same)) == {}
    assert job_terms(mine, agent(shorter)) == {"prompts": ("Hello",), "max_tokens": 5, "repetitions": 7}
    assert "has another gate or other times" in why_not_offered(mine, agent(other))
    assert "name the file in its suite_files" in why_not_offered(mine, agent(offered("quick", MINE)))


def test_a_name_that_an_agent_does_not_offer_is_told_with_the_nearest() -> None:
    quick = agent(offered("quick", MINE))
    assert why_not_offered(SuiteAsked("quik"), quick) == (
        "agent lab.a offers no suite called 'quik'; did you mean 'quick'?"
    )
    assert "it offers quick" in why_not_offered(SuiteAsked("zzz"), quick)
    assert why_not_offered(SuiteAsked("quik"), None) == ""
    assert why_not_offered(SuiteAsked("quik"), agent(state="offline")) == ""
