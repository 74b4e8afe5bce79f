import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tinyprof_dashboard import example_fleet as example
from tinyprof_dashboard import numerals
from tinyprof_dashboard.columns import BY_NAME, COLUMNS, GAP, Moment, lay_out, sort_rows
from tinyprof_dashboard.events import BoardSeen
from tinyprof_dashboard.example_fleet import NOW_NS
from tinyprof_dashboard.plot import Axis, axis_of, curve, spark
from tinyprof_dashboard.runs import RUN_COLUMNS
from tinyprof_dashboard.selection import View, select, sort_beside, sort_by
from tinyprof_dashboard.snapshot import Snapshot, reduce

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
def test_ages_and_sizes_stay_short(value: float) -> None:
    assert len(numerals.age(value)) <= 4
    assert len(numerals.size(min(value, 1e14))) <= 6


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.8341, "0.834"), (2.17, "2.170"), (12.345, "12.35"), (834.21, "834.2"), (4258.7, "4259"),
     (12345.6, "12346"), (1.2e6, "1.20M"), (3.5e9, "3.50G")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert numerals.number(value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("temperature_c", 31.0, "31.0"), ("decode_tps", 2.173, "2.17"), ("ram_peak_bytes", 196_000, "191K"),
     ("output_tokens", 48, "48"), ("ttft_ms", 23.841, "23.84"), ("unheard_of", 1.5, "1.500")],
)  # fmt: skip
def test_amounts_take_their_metrics_precision(metric: str, value: float, text: str) -> None:
    assert numerals.amount(metric, value) == text


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(0, 30), st.booleans())
def test_clipped_text_has_exactly_its_width_and_no_control_characters(text: str, width: int, right: bool) -> None:
    clipped = numerals.clip(text, width, right=right)
    assert cell_len(clipped) == width
    assert "\x1b" not in clipped
    assert "\n" not in clipped


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.integers(0, 20))
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


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=50), st.integers(1, 30), st.integers(1, 12))
def test_a_curve_fills_its_box(values: list[float], width: int, height: int) -> None:
    points = [(float(i), value) for i, value in enumerate(values)]
    lines = curve(points, Axis(0, len(values)), axis_of(values), width, height)
    assert [len(line) for line in lines] == [width] * height
    assert any(line.strip() for line in lines)


def test_run_columns_fit_80_cells_with_both_intervals() -> None:
    names = [column.name for column, _ in lay_out(RUN_COLUMNS, 77)]
    assert names == ["ago", "verdict", "golden", "ttft_ms", "decode_tps"]
