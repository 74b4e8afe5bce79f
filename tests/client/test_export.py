"""`tinyprof export`: rows of every format, read back by their own readers, and files that are whole or not at all."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from protocol_examples import RECORD, RESULT

from tinyprof.board_names import BoardRef
from tinyprof.cli import tinyprof
from tinyprof.exporting import writers
from tinyprof.exporting.documents import writer_of
from tinyprof.exporting.rows import Layout, utc
from tinyprof.output_file import output_file
from tinyprof_models.catalogue import shipped_model
from tinyprof_platforms.gguf_header import read_header
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.records import Event, Figure, Repetition
from tinyprof_protocol.requests import BoardsReply, Failure, ResultsReply

REF = BoardRef("lab.a1", "pico-1")
REPETITIONS = [Repetition(0, 12.5, 20.0, 5, 64, "match", 64), Repetition(1, None, None, 5, 64, first_count=7.0)]
HOSTILE = '=cmd|"/c calc"!A1, "quoted"\nand more'


def result(**more):
    return replace(
        RESULT,
        figures={"ttft_ms": Figure(12.5, 12.0, 13.0, 0.969, 6), "decode_tps": Figure(60.0, 50.0, 70.0, estimated=True)},
        repetitions=REPETITIONS,
        **more,
    )


def records(count: int, **more):
    return [replace(RECORD, time_ns=10**18 + number * 10**9, body=result(**more)) for number in range(count)]


def call(*arguments, broker):
    return CliRunner().invoke(tinyprof, arguments, env={"TINYPROF_BROKER": broker, "LOG_LEVEL": None})


@pytest.fixture
def fleet(collector, broker):
    """A board with seven runs in the store, and one with none."""
    stored = records(7)

    def answer(asked):
        after = [record for record in stored if record.time_ns > asked.after_ns and asked.board == "pico-1"]
        return [ResultsReply(after[:3], len(after) > 3)]

    boards = [BoardSummary("lab.a1", name, "healthy", [], 1) for name in ("empty", "pico-1")]
    answers = {"boards": lambda _: [BoardsReply(boards, 2)], "results": answer}
    collector(answers)
    return broker.url, answers


def test_a_row_says_what_its_figures_depend_on_and_marks_estimates() -> None:
    [row] = Layout().rows(REF, records(1))
    assert (row["time"], row["node"], row["board"]) == ("2001-09-09T01:46:40.000000Z", "lab.a1", "pico-1")
    assert (row["ttft_ms"], row["ttft_ms_low"], row["ttft_ms_coverage"], row["ttft_ms_n"]) == (12.5, 12.0, 0.969, 6)
    assert (row["estimated"], row["model_sha256"]) == ("decode_tps", RESULT.build.model_sha256)
    assert "power_mw" not in row


@pytest.mark.parametrize("layout", [Layout(), Layout(raw=True), Layout(metric="ttft_ms")])
def test_every_value_has_a_column_and_no_column_comes_twice(layout) -> None:
    names = [column.name for column in layout.columns()]
    assert len(names) == len(set(names))
    everything = {name: Figure(1.0, 0.5, 1.5, 0.9, 6) for name in METRICS}
    for row in layout.rows(REF, [replace(RECORD, body=replace(result(), figures=everything))]):
        assert set(row) <= set(names)


def test_a_metric_alone_has_rows_only_of_runs_that_have_it() -> None:
    two = [*records(1), replace(RECORD, body=replace(RESULT, figures={}))]
    rows = list(Layout(metric="ttft_ms").rows(REF, two))
    assert [row["ttft_ms"] for row in rows] == [12.5]
    assert "decode_tps" not in rows[0]


def test_raw_rows_are_repetitions_and_what_is_no_result_makes_none() -> None:
    rows = list(Layout(raw=True).rows(REF, [*records(1), replace(RECORD, body=Event("note"))]))
    assert [(row["repetition"], row.get("ttft_ms"), row.get("first_count")) for row in rows] == [
        (0, 12.5, None),
        (1, None, 7.0),
    ]


def written(form: str, layout: Layout, rows) -> bytes:
    stream = io.BytesIO()
    writer = writers.WRITERS[form](stream, layout.columns())
    for row in rows:
        writer.write([row])
    writer.close()
    return stream.getvalue()


@pytest.mark.parametrize("count", [0, 1, 2500])
def test_each_format_reads_back_as_what_was_written(count) -> None:
    layout = Layout(metric="ttft_ms")
    rows = list(layout.rows(REF, records(count, suite="quick")))
    as_csv = list(csv.DictReader(io.StringIO(written("csv", layout, rows).decode())))
    as_jsonl = [json.loads(line) for line in written("jsonl", layout, rows).decode().splitlines()]
    as_parquet = pq.read_table(io.BytesIO(written("parquet", layout, rows))).to_pylist()
    assert [float(row["ttft_ms"]) for row in as_csv] == [12.5] * count
    assert as_jsonl == rows
    assert [utc(int(row["time"].timestamp() * 10**9)) for row in as_parquet] == [row["time"] for row in rows]
    assert [row["ttft_ms_n"] for row in as_parquet] == [6] * count


def test_hostile_texts_stay_in_their_cell_and_are_no_formula() -> None:
    layout = Layout()
    rows = list(layout.rows(REF, records(1, suite=HOSTILE[:60])))
    [row] = csv.DictReader(io.StringIO(written("csv", layout, rows).decode(), newline=""))
    assert row["suite"] == f"'{HOSTILE[:60]}"
    [plain] = [json.loads(line) for line in written("jsonl", layout, rows).decode().splitlines()]
    assert plain["suite"] == HOSTILE[:60]


def test_all_pages_of_a_board_go_to_stdout(fleet) -> None:
    done = call("export", "pico-1", "ttft_ms", broker=fleet[0])
    assert (done.exit_code, done.stderr) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["time"] for row in rows] == [utc(10**18 + number * 10**9) for number in range(7)]


@pytest.mark.parametrize(("name", "rows"), [("r.csv", 8), ("r.jsonl", 7), ("r.txt", 8)])
def test_a_files_name_says_its_format(fleet, tmp_path, name, rows) -> None:
    done = call("export", "--all", "--output", str(tmp_path / name), broker=fleet[0])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "7 rows of 2 boards are in" in done.stderr
    assert len((tmp_path / name).read_text().splitlines()) == rows
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_parquet_and_the_summary_for_programs(fleet, tmp_path) -> None:
    path = tmp_path / "r.parquet"
    done = call("export", "pico-1", "--raw", "--output", str(path), "--json", broker=fleet[0])
    assert json.loads(done.stdout) == {
        "output": str(path),
        "format": "parquet",
        "boards": ["lab.a1/pico-1"],
        "rows": 14,
    }
    assert pq.read_table(path).num_rows == 14


def test_the_size_of_a_model_that_ships_is_known_by_its_hash() -> None:
    model = shipped_model("stories260k-q8_0")
    stream = io.BytesIO()
    document = writer_of("llama-bench", stream, Layout())
    for sha256 in (model.sha256, "f" * 64):
        build = replace(RESULT.build, model=model.name, model_sha256=sha256)
        assert document.take(REF, records(1, build=build)) == 2
    document.close()
    known, unknown = (json.loads(stream.getvalue())[at] for at in (0, 2))
    header = read_header(model.path)
    assert known["model_n_params"] == sum(one.elements for one in header.tensors.values())
    assert 0.8 * model.file_bytes < known["model_size"] < model.file_bytes
    assert (unknown["model_size"], unknown["model_n_params"]) == (None, None)


def test_other_forms_have_figures_of_their_own(fleet, tmp_path) -> None:
    table = call("export", "pico-1", "--format", "markdown", broker=fleet[0])
    assert "| pico-1" in table.stdout or "| lab.a1/pico-1" in table.stdout
    done = call("export", "pico-1", "--format", "llama-bench", broker=fleet[0])
    tests = json.loads(done.stdout)
    assert {test["n_prompt"] for test in tests} == {0, 5}
    assert json.loads(call("export", "empty", "--format", "llama-bench", broker=fleet[0]).stdout) == []
    wrong = call("export", "pico-1", "--raw", "--output", str(tmp_path / "t.md"), broker=fleet[0])
    assert (wrong.exit_code, wrong.stdout) == (2, "")


def test_a_failure_on_the_way_leaves_the_old_file_and_nothing_else(fleet, tmp_path) -> None:
    url, answers = fleet
    path = tmp_path / "r.csv"
    path.write_text("old")
    first = answers["results"]
    answers["results"] = lambda asked: first(asked) if asked.after_ns < 10**18 else [Failure("store_failed", "no disk")]
    done = call("export", "pico-1", "--output", str(path), broker=url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no disk" in done.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "name one board, or give --all"),
        (["pico-1", "ttft", "--all"], 2, "name one board"),
        (["pico-1", "--all"], 2, "; with --all no board is named"),
        (["pico-1", "ttft"], 2, "nearest: ttft_ms"),
        (["pico-1", "ttft_ms", "--raw"], 2, "leave one of them out"),
        (["pico-1", "--json"], 2, "--output FILE"),
        (["pico-1", "--format", "parquet"], 2, "--output FILE"),
        (["pico-2"], 1, "nearest: lab.a1/pico-1"),
        (["pico-1", "--output", "/nowhere/at/all.csv"], 1, "/nowhere/at/all.csv: No such file"),
        (["pico-1", "--output", "/"], 1, "/: is a directory"),
    ],
)
def test_wrong_use_is_a_line(fleet, arguments, code, says) -> None:
    done = call("export", *arguments, broker=fleet[0])
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_without_pyarrow_one_line_says_what_to_install(fleet, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    done = call("export", "pico-1", "--output", str(tmp_path / "r.parquet"), broker=fleet[0])
    assert done.exit_code == 1
    assert done.stderr == "tinyprof: parquet needs the package pyarrow: pip install 'tinyprof[parquet]'\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_leaves_no_part_of_a_file(tmp_path) -> None:
    def interrupted() -> None:
        with output_file(tmp_path / "f") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
