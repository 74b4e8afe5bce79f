"""Whole files against each other: which boards, what differs, what cannot be compared, and what is a regression."""

import msgspec
import pytest

from tinyprof.comparison.comparison import BoardRuns, compare
from tinyprof.comparison.report import as_json, as_markdown, as_text
from tinyprof_protocol.records import Figure


@pytest.fixture
def run(result, noisy):
    """A run with times around a middle; `build` changes keys of its build."""

    def make(ttft_ms=10.0, *, seed=1, build=(), **more):
        made = result(noisy(ttft_ms, seed=seed), [ttft_ms / 5] * 12, **more)
        return msgspec.structs.replace(made, build=msgspec.structs.replace(made.build, **dict(build)))

    return make


def boards(**runs):
    return {name.replace("_", "/"): BoardRuns(results) for name, results in runs.items()}


def test_boards_are_matched_by_their_identity(run) -> None:
    found = compare(boards(x_a=[run()], x_b=[run()]), boards(y_a=[run()], x_b=[run()]))
    assert [board.board for board in found.boards] == ["x/b"]
    assert (found.only_old, found.only_new) == (["x/a"], ["y/a"])
    assert "only in OLD: x/a" in as_text(found)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("timing", "client", "timing: device and client"),
        ("kv_cache", "f16", "KV cache: f32 and f16"),
        ("ctx", 128, "context: 256 and 128"),
        ("activations", "int8", "activations: float32 and int8"),
        ("emulated", True, "emulated: no and yes"),
        ("streamed", True, "streamed: no and yes"),
        ("platform", "jetson", "platform: host and jetson"),
    ],
)
def test_figures_of_different_things_are_not_comparable(run, key, value, why) -> None:
    found = compare(boards(a=[run()]), boards(a=[run(99.0, build={key: value})]))
    assert found.boards[0].why == why
    assert found.boards[0].metrics == []
    assert found.regressions(0.05) == []
    assert found.compared == 0
    assert f"a: not comparable: {why}" in as_text(found)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"prompts": ["Another"]}, 'prompts: "One day" and "Another"'),
        ({"max_tokens": 12}, "tokens: 24 and 12"),
    ],
)
def test_other_work_is_not_comparable(run, more, why) -> None:
    assert compare(boards(a=[run()]), boards(a=[run(**more)])).boards[0].why == why


def test_runs_of_one_file_that_differ_among_themselves_are_not_comparable(run) -> None:
    mixed = [run(), run(build={"kv_cache": "f16"})]
    assert compare(boards(a=mixed), boards(a=mixed)).boards[0].why == "KV cache: f32, f16 in one file"


def test_builds_that_differ_are_compared_and_named(run) -> None:
    new = run(12.0, seed=2, build={"firmware": "tinyprof-rp2040", "firmware_build": "beef", "engine_build": "2.0",
                                   "model_sha256": "b" * 64, "quantisation": "Q8_0"})  # fmt: skip
    board = compare(boards(a=[run()]), boards(a=[new])).boards[0]
    assert board.differs == [
        "firmware: none -> tinyprof-rp2040 beef",
        "engine: numpy-reference 1.0 -> numpy-reference 2.0",
        "model: stories260k-q4_0 aaaaaaaaaaaa -> stories260k-q4_0 bbbbbbbbbbbb",
        "quantisation: Q4_0 -> Q8_0",
    ]
    assert {one.metric: one.verdict for one in board.metrics} == {
        "ttft_ms": "slower", "decode_tps": "slower", "e2e_ms": "slower",
    }  # fmt: skip


def test_a_regression_is_worse_by_at_least_so_much(run) -> None:
    found = compare(boards(a=[run(10.0)]), boards(a=[run(12.0, seed=2)]), metrics=["ttft_ms"])
    [line] = found.regressions(0.05)
    assert line.startswith("a: TTFT is slower, +")
    assert found.regressions(0.5) == []
    better = compare(boards(a=[run(12.0)]), boards(a=[run(10.0, seed=2)]))
    assert better.regressions(0.05) == []


def test_a_board_that_gives_no_valid_run_any_more_broke(run) -> None:
    bad = run(verdict="invalid", reasons=["the output is wrong"])
    for new in (BoardRuns([bad]), BoardRuns([], ["refused: no such suite"])):
        found = compare(boards(a=[run()]), {"a": new})
        assert len(found.regressions(0.05)) == 1
        assert "a: broke: " in as_text(found)
    assert compare(boards(a=[bad]), boards(a=[run()])).regressions(0.05) == []


def test_what_makes_less_of_the_figures_is_told(run) -> None:
    hot = run().conditions
    throttled = msgspec.structs.replace(hot, throttled=True)
    old = [run(verdict="unstable", reasons=["noisy"]), run(verdict="invalid"), run(conditions=throttled)]
    notes = compare({"a": BoardRuns(old, ["expired: "])}, boards(a=[run()])).boards[0].notes
    assert notes == [
        "OLD: 1 of 2 runs unstable: noisy",
        "OLD: 1 invalid run left out",
        "OLD: 1 run failed: expired: ",
        "OLD: throttled in 1 of 2 runs",
    ]


def test_the_geometric_mean_is_over_the_boards_that_were_compared(result) -> None:
    def side(*sizes):
        return {f"b{n}": BoardRuns([result(figures={"flash_bytes": Figure(size)})]) for n, size in enumerate(sizes)}

    found = compare(side(100.0, 400.0), side(200.0, 800.0))
    [mean] = found.geomeans
    assert (mean.metric, mean.boards) == ("flash_bytes", 2)
    assert (mean.old, mean.new, mean.change) == pytest.approx((200, 400, 1.0))
    assert compare(side(100.0), side(200.0)).geomeans == []


def test_the_table_reads_as_benchstats_does(run) -> None:
    found = compare(boards(lab_a=[run(10.0)], lab_b=[run(20.0)]), boards(lab_a=[run(12.0, seed=2)], lab_b=[run(20.0)]),
                    metrics=["ttft_ms"])  # fmt: skip
    head, first, second, mean = as_text(found).splitlines()
    assert head.split() == ["board", "old", "TTFT", "ms", "new", "TTFT", "ms", "delta"]
    assert first.split()[0] == "lab/a"
    assert first.endswith("(p=0.000 n=12+12)  slower")
    assert "%" in first.split("(p=")[0].rpartition("+")[2]
    assert second.split()[-4:] == ["~", "(p=1.000", "n=12+12)", "same"]
    assert mean.split()[0] == "[geomean]"


def test_the_forms_for_a_readme_and_for_programs_say_the_same(run) -> None:
    found = compare(boards(a=[run(10.0)]), boards(a=[run(12.0, seed=2)], b=[run()]), metrics=["ttft_ms"])
    markdown = as_markdown(found).splitlines()
    assert markdown[0] == "| board | old TTFT ms | new TTFT ms | delta |  |  |"
    assert markdown[2].endswith("| slower |")
    assert markdown[-1] == "- only in NEW: b"
    said = as_json(found, 0.05)
    metric = said["boards"][0]["metrics"][0]
    assert (metric["metric"], metric["unit"], metric["verdict"], metric["n_old"]) == ("ttft_ms", "ms", "slower", 12)
    assert metric["change"] == pytest.approx(metric["new"] / metric["old"] - 1)
    assert said["only_new"] == ["b"]
    assert len(said["regressions"]) == 1


def test_counts_are_shown_whole_and_a_difference_of_one_is_seen(result) -> None:
    def side(count):
        run = result(figures={"instructions_per_token": Figure(count)})
        build = msgspec.structs.replace(run.build, emulated=True)
        return boards(a=[msgspec.structs.replace(run, build=build)])

    head, row = as_text(compare(side(1_034_567.0), side(1_034_568.0))).splitlines()
    assert head.split() == ["board", "old", "instr/token", "new", "instr/token", "delta"]
    assert row.split() == ["a", "1,034,567", "1,034,568", "+1", "(n=1+1)", "slower"]
    assert as_text(compare(side(1000.0), side(1100.0))).splitlines()[1].split()[3] == "+10.00%"
