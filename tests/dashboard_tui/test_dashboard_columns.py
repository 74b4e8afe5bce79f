import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard import numerals
from tinyprof_dashboard.availability import HEALTHS
from tinyprof_dashboard.columns import BY_NAME, COLUMNS, GAP, Moment, lay_out, sort_rows
from tinyprof_dashboard.events import BoardSeen
from tinyprof_dashboard.example_fleet import NOW_NS
from tinyprof_dashboard.listing import as_json, plain_table
from tinyprof_dashboard.plot import Axis, axis_of, curve, spark
from tinyprof_dashboard.runs import RUN_COLUMNS, Run, facts, last_figures, run_lines
from tinyprof_dashboard.selection import View, select, sort_beside, sort_by
from tinyprof_dashboard.snapshot import Snapshot, reduce
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.records import Figure, Result
from tinyprof_protocol.requests import HistoryRequest

MOMENT = Moment(reduce(Snapshot(), example.troubled(), NOW_NS), NOW_NS)
ROWS = list(MOMENT.snapshot.rows.values())


def text_of(column: str, board: str) -> str:
    row = next(row for row in ROWS if row.board == board)
    return BY_NAME[column].cell(row, MOMENT).text


@given(st.integers(1, 400))
def test_columns_fit_and_the_important_ones_stay(width: int) -> None:
    placed = lay_out(COLUMNS, width)
    assert placed
    assert sum(cells for _, cells in placed) + GAP * (len(placed) - 1) <= width
    shown = {column.name for column, _ in placed}
    least_shown = max(column.priority for column, _ in placed)
    assert all(column.name in shown for column in COLUMNS if column.priority < least_shown)
    assert [column for column, _ in placed] == [column for column in COLUMNS if column.name in shown]
    assert all(cells <= max(column.width, column.grows_to) for column, cells in placed)


def test_at_80_cells_the_figures_are_there() -> None:
    names = [column.name for column, _ in lay_out(COLUMNS, 77)]
    assert names == ["state", "site", "board", "ttft", "decode", "trend", "verdict", "age"]


@pytest.mark.parametrize("column", [column.name for column in COLUMNS])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_column_sorts_and_rows_without_a_value_stay_last(column: str, *, reverse: bool) -> None:
    bare = example.board("berlin.x", "bare", verdict=None)
    rows = [*reduce(Snapshot(), [BoardSeen(bare)], NOW_NS).rows.values(), *ROWS]
    ordered = sort_rows(rows, BY_NAME[column], MOMENT, reverse=reverse)
    values = [BY_NAME[column].value(row, MOMENT) for row in ordered]
    known = [value for value in values if value is not None]
    assert values == [*known, *[None] * (len(values) - len(known))]
    assert known == sorted(known, reverse=reverse)  # type: ignore[type-var]
    assert {row.key for row in ordered} == {row.key for row in rows}


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_cells_fit_their_columns(column: object) -> None:
    for row in ROWS:
        cell = BY_NAME[column.name].cell(row, MOMENT)  # type: ignore[attr-defined]
        assert cell_len(cell.text) <= max(column.width, column.grows_to), (row.board, cell.text)  # type: ignore[attr-defined]


def test_estimated_figures_and_emulated_boards_are_marked() -> None:
    emulated = next(row for row in ROWS if row.summary.emulated)
    assert BY_NAME["ttft"].cell(emulated, MOMENT).text.startswith("~")
    assert BY_NAME["decode"].cell(emulated, MOMENT).text.startswith("~")
    assert BY_NAME["platform"].cell(emulated, MOMENT).text == "◇ mps2-an386"
    assert not text_of("ttft", "pi5-7").startswith("~")


def test_a_stale_board_shows_its_age_and_its_state() -> None:
    assert text_of("age", "esp32s3-9") == "3m"
    assert text_of("state", "esp32s3-9") == "◌ stale"


def test_the_most_urgent_come_first_and_equal_ones_lie_by_name() -> None:
    rows = select(View(), MOMENT)
    assert [row.health for row in rows[:8]] == ["critical", *["offline"] * 5, "stale", "warning"]
    healthy = [row.key for row in rows if row.health == "healthy"]
    assert healthy == sorted(healthy)


def test_sorting_goes_round_the_columns_and_a_second_time_turns_round() -> None:
    view = View()
    names = []
    for _ in COLUMNS:
        view = sort_beside(view, 1)
        names.append(view.order.column)
    assert sorted(names) == sorted(column.name for column in COLUMNS)
    assert sort_by(View(), "decode").order.reverse
    assert not sort_by(sort_by(View(), "decode"), "decode").order.reverse


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "·"), (-4, "0s"), (0, "0s"), (99.9, "99s"), (100, "1m"), (3599, "59m"), (6000, "1h"), (360_000, "4d")],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert numerals.age(seconds) == text


@given(st.floats(0, 1e15))
def test_ages_and_sizes_stay_as_short_as_their_columns(value: float) -> None:
    assert len(numerals.age(value)) <= BY_NAME["age"].width
    assert len(numerals.size(value)) <= BY_NAME["ram"].width


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 30), st.booleans())
def test_clipped_text_has_exactly_its_width_and_no_control_characters(text: str, width: int, right: bool) -> None:
    clipped = numerals.clip(text, width, right=right)
    assert cell_len(clipped) == width
    assert "\x1b" not in clipped
    assert "\n" not in clipped


@given(st.lists(st.floats(-1e308, 1e308), max_size=40), st.integers(0, 20))
def test_a_sparkline_has_its_width(values: list[float], width: int) -> None:
    assert len(spark(values, width)) == width


def test_a_sparkline_keeps_noise_calm_and_shows_a_drop() -> None:
    assert set(spark([100, 99, 101, 100], 4)) <= set("▄▅")
    assert spark([100, 100, 50], 3) == "██▁"


def test_a_curve_rises_from_the_lower_left_to_the_upper_right() -> None:
    lines = curve([(0.0, 0.0), (1.0, 1.0)], Axis(0, 1), Axis(0, 1), 4, 2)
    assert [len(line) for line in lines] == [4, 4]
    assert lines[0][:2].strip() == ""
    assert lines[1][2:].strip() == ""
    assert lines[0][3] != " "
    assert lines[1][0] != " "


@given(st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=50), st.integers(1, 30), st.integers(1, 12))
def test_a_curve_fills_its_box(values: list[float], width: int, height: int) -> None:
    points = [(float(i), value) for i, value in enumerate(values)]
    lines = curve(points, Axis(0, len(values)), axis_of(values), width, height)
    assert [len(line) for line in lines] == [width] * height
    assert any(line.strip() for line in lines)


extreme = st.one_of(st.floats(-1e308, 1e308), st.sampled_from([0.0, 1e308, -1e308, 5e-324]))
times = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
hostile = st.builds(
    BoardSummary,
    node=st.just("a.b"),
    board=st.just("c"),
    health=st.sampled_from(HEALTHS),
    reasons=st.lists(st.text(max_size=20), max_size=3),
    time_ns=st.integers(-(2**63), 2**63 - 1),
    platform=st.text(max_size=20),
    model=st.text(max_size=20),
    emulated=st.booleans(),
    interval_s=extreme,
    last_result_ns=times,
    last_seen_ns=times,
    figures=st.dictionaries(
        st.sampled_from(["ttft_ms", "decode_tps", "ram_peak_bytes", "x\n"]),
        st.builds(Figure, extreme, extreme, extreme),
    ),
    readings=st.dictionaries(st.sampled_from(["temperature_c", "\x1b[2J"]), extreme),
    spark=st.lists(extreme, max_size=9),
)


@settings(max_examples=100, deadline=None)
@given(hostile)
def test_whatever_a_summary_says_it_is_drawn_in_its_place(summary: BoardSummary) -> None:
    snapshot = reduce(Snapshot(), [BoardSeen(summary)], NOW_NS)
    moment, row = Moment(snapshot, NOW_NS), snapshot.rows["a.b", "c"]
    for column, width in lay_out(COLUMNS, 200):
        drawn = numerals.clip(column.cell(row, moment).text, width)
        assert cell_len(drawn) == width
        assert "\x1b" not in drawn
    words = facts(row, moment).plain + last_figures(row, "ttft_ms", 20).plain
    assert "\x1b" not in words
    assert "\x1b" not in plain_table(moment, "b")
    json.dumps(as_json(moment, "b"), allow_nan=False)


def test_a_run_that_a_client_asked_for_is_marked() -> None:
    reply = example.history(HistoryRequest("lab.pi", "host-1", "decode_tps"))
    body = reply.runs[0].body
    assert isinstance(body, Result)
    for job_id, cell in ((None, "standard"), (b"j" * 16, "» standard")):
        run = Run(b"r", 1, False, replace(body, suite="standard", job_id=job_id))
        (suite,) = [column for column in RUN_COLUMNS if column.name == "suite"]
        piece = suite.cell(run, Moment(Snapshot(), 1))
        assert piece.text == cell
        assert len(cell) <= suite.width
        assert ("asked for by a client" in run_lines(run).plain) is (job_id is not None)


def test_run_columns_fit_80_cells_with_both_intervals() -> None:
    names = [column.name for column, _ in lay_out(RUN_COLUMNS, 77)]
    assert names == ["ago", "verdict", "golden", "ttft_ms", "decode_tps"]
