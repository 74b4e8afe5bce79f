import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard.columns import COLUMNS, Moment
from tinyprof_dashboard.events import BoardSeen
from tinyprof_dashboard.example_fleet import NOW_NS
from tinyprof_dashboard.query import MAX_LENGTH, NUMBER_FIELDS, TEXT_FIELDS, BadQuery, compile_query
from tinyprof_dashboard.snapshot import Snapshot, reduce

MOMENT = Moment(reduce(Snapshot(), example.troubled(), NOW_NS), NOW_NS)
ROWS = list(MOMENT.snapshot.rows.values())


def found(query: str) -> set[str]:
    test = compile_query(query)
    return {f"{row.site}/{row.board}" for row in ROWS if test(row, MOMENT)}


def test_an_empty_filter_lets_all_through() -> None:
    assert len(found("")) == len(found("   ")) == len(ROWS)


def test_words_match_anywhere_and_all_of_them_must() -> None:
    assert found("GOLDEN") == {"lagos/rp2040-8"}
    assert found("lagos pi5") == {"lagos/pi5-1"}
    assert found("nowhere-at-all") == set()


def test_alternatives_bind_less_than_spaces() -> None:
    assert found("lagos pi5 | state:warning") == {"lagos/pi5-1", "lima/pi5-7"}
    assert found("lagos pi5|state:warning") == found("lagos pi5 | state:warning")


def test_comparisons_read_the_figures() -> None:
    slow = {f"{r.site}/{r.board}" for r in ROWS if r.summary.figures["decode_tps"].value < 5}
    assert slow
    assert found("decode<5") == found("decode_tps<5") == slow
    assert found("decode>=5") == {f"{r.site}/{r.board}" for r in ROWS} - slow


@pytest.mark.parametrize(
    ("query", "same"),
    [("ram>1M", "ram>1048576"), ("age>1m", "age>60s"), ("ttft>4k", "ttft>4000")],
)
def test_units(query: str, same: str) -> None:
    assert found(query) == found(same) != set()


def test_state_verdict_and_their_opposites() -> None:
    assert found("state:critical") == found("verdict:invalid") == {"lagos/rp2040-8"}
    assert found("!state:healthy !state:offline") == {"lagos/rp2040-8", "lima/pi5-7", "oslo/esp32s3-9"}
    assert found("state=stale") == {"oslo/esp32s3-9"}
    assert len(found("state!=healthy")) == len(ROWS) - len(found("state=healthy"))
    assert found("emulated:yes") == {f"{r.site}/{r.board}" for r in ROWS if r.summary.emulated}


def test_quotes_keep_a_space() -> None:
    assert found('reason:"token 14"') == found('"differs at token"') == {"lagos/rp2040-8"}


def test_a_board_without_the_figure_matches_no_comparison() -> None:
    bare = example.board("berlin.x", "bare", verdict=None)
    snapshot = reduce(Snapshot(), [BoardSeen(bare)], NOW_NS)
    row, moment = next(iter(snapshot.rows.values())), Moment(snapshot, NOW_NS)
    assert not compile_query("decode<5")(row, moment)
    assert not compile_query("decode>=5")(row, moment)
    assert compile_query("!decode>=5")(row, moment)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("nofield>3", "there is no field 'nofield'"),
        ("decode<fast", "'fast' is none"),
        ("decode<5x", "'x' is no unit of decode"),
        ("decode<", "needs a value"),
        ("board<3", "board is text"),
        ("a |", "`|` needs a term"),
        ("| a", "`|` needs a term"),
        ('"open', "quote is not closed"),
        ('""', "empty pair of quotes"),
        ("x" * (MAX_LENGTH + 1), "longer than"),
        ("a " * 100, "more than 64 terms"),
    ],
)
def test_errors_are_one_line(query: str, why: str) -> None:
    with pytest.raises(BadQuery) as caught:
        compile_query(query)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='abdecot<>=!:|" 5.kMs\n\x1b°', max_size=30))
def test_any_text_filters_or_says_why(query: str) -> None:
    with contextlib.suppress(BadQuery):
        test = compile_query(query)
        assert all(isinstance(test(row, MOMENT), bool) for row in ROWS)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["lagos", "state:offline", "decode<20", "verdict:valid"]),
    st.sampled_from(["pi5", "ram>1M", "age<5s"]),
)
def test_the_algebra(left: str, right: str) -> None:
    everything = found("")
    assert found(f"{left} {right}") == found(left) & found(right)
    assert found(f"{left} | {right}") == found(left) | found(right)
    assert found(f"!{left}") == everything - found(left)


def test_every_column_can_be_filtered_by() -> None:
    assert {column.name for column in COLUMNS} <= set(TEXT_FIELDS) | set(NUMBER_FIELDS)
