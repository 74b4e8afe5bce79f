"""The results file: what is written is read again, and what is none is one line."""

import json
from pathlib import Path

import msgspec
import pytest

from tinyprof.benchmarking.machine import this_machine
from tinyprof.benchmarking.results_file import (
    SCHEMA,
    Agent,
    BadResults,
    BoardResults,
    Machine,
    Results,
    RunFailed,
    RunMade,
    iso,
    parse_results,
    read_results,
    write_results,
)
from tinyprof.benchmarking.schema import json_schema
from tinyprof_protocol.records import Figure

OTHER_VERSION = "r.json: is of version 2 of the results' schema, and this tinyprof reads version 1"

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def results(result):
    """A file with two runs and one that failed."""
    one = result([1.5, 1.25], [0.5, 0.25], figures={"ttft_ms": Figure(1.5)}, itl_us=[500, 250], run_id=bytes(range(16)))
    runs = [RunMade(1, iso(0), iso(10**9), one, 10**18, "estimated"), RunMade(3, iso(0), iso(0), one)]
    board = BoardResults("lab.a/b", "quick", 3, "host", ["bench"], runs, [RunFailed(2, "expired", "too late")])
    return Results(
        SCHEMA, 1, "0.1.0", iso(0), iso(5 * 10**9), False, Machine("Linux", cpus=2), "one failed",
        {"quick": {"prompts": ["One day"]}}, [Agent("lab.a", "0.1.0", "00" * 16)], [board],
    )  # fmt: skip


def test_what_is_written_is_read_again(tmp_path, results) -> None:
    path = tmp_path / "results.json"
    write_results(path, results)
    assert read_results(path) == results
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_a_run_a_line_and_ids_in_hexadecimal(tmp_path, results) -> None:
    path = tmp_path / "results.json"
    write_results(path, results)
    lines = [line for line in path.read_text().splitlines() if '"run_id"' in line]
    assert len(lines) == 2
    assert json.loads(lines[0].rstrip(","))["result"]["run_id"] == bytes(range(16)).hex()
    top = json.loads(path.read_text())
    assert (top["schema"], top["version"], top["started"]) == (SCHEMA, 1, "1970-01-01T00:00:00.000+00:00")


def test_a_key_that_is_not_known_is_ignored(tmp_path, results) -> None:
    path = tmp_path / "results.json"
    write_results(path, results)
    top = json.loads(path.read_text())
    top["colour"] = top["boards"][0]["runs"][0]["result"]["colour"] = "green"
    assert parse_results(json.dumps(top).encode(), "x") == results


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "r.json: is no JSON, so no results file"),
        (b"[1]", "r.json: is no results file of 'tinyprof benchmark'"),
        (b'{"schema": "other", "version": 1}', "r.json: is no results file of 'tinyprof benchmark'"),
        (
            b'{"schema": "tinyprof-results", "version": 2, "tinyprof": "0.9.0"}',
            f"{OTHER_VERSION}: read it with the tinyprof that wrote it, 0.9.0",
        ),
        (
            b'{"schema": "tinyprof-results", "version": 2}',
            f"{OTHER_VERSION}: read it with the tinyprof that wrote it",
        ),
        (b'{"schema": "tinyprof-results", "version": 1}', "r.json: Object missing required field `tinyprof`"),
        (b"[" * 100_000, "r.json: is no JSON"),
    ],
)
def test_what_is_no_results_file_is_one_line(data, says) -> None:
    with pytest.raises(BadResults) as caught:
        parse_results(data, "r.json")
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_a_wrong_value_in_a_result_is_named(tmp_path, results) -> None:
    path = tmp_path / "r.json"
    write_results(path, results)
    for wrong, says in (("zz", "non-hexadecimal"), ("00", "length >= 16")):
        top = json.loads(path.read_text())
        top["boards"][0]["runs"][0]["result"]["run_id"] = wrong
        with pytest.raises(BadResults, match=says):
            parse_results(json.dumps(top).encode(), "r.json")


def test_a_file_that_is_not_there_is_one_line(tmp_path) -> None:
    with pytest.raises(BadResults, match=r"none\.json: cannot be read: No such file"):
        read_results(tmp_path / "none.json")


def test_where_it_cannot_be_written_the_old_file_stays(tmp_path, results) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")
    bad = msgspec.structs.replace(results, suites={"x": {"nan": float("nan")}})
    with pytest.raises(ValueError, match="JSON"):
        write_results(path, bad)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_this_machine_says_what_it_is() -> None:
    machine = this_machine()
    assert machine.cpus >= 1
    assert machine.cpu
    assert machine.python.startswith("3.")


def test_the_schema_in_the_documents_is_that_of_the_code() -> None:
    written = json.loads((DOCS / "results-file.schema.json").read_text())
    assert written == json_schema(), "python -m tinyprof.benchmarking.schema > docs/results-file.schema.json"


def test_the_document_names_every_key() -> None:
    text = (DOCS / "results-file.md").read_text()
    defs = json_schema()["$defs"]
    keys = {key for kind in ("Results", "BoardResults", "RunMade", "RunFailed", "Machine", "Agent", "Result", "Build")
            for key in defs[kind]["properties"]}  # fmt: skip
    assert [key for key in sorted(keys - {"kind"}) if f"`{key}`" not in text] == []
