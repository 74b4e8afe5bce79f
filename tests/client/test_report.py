"""`tinyprof report`: a page that is whole, safe and the same each time, whatever names its boards and models have."""

import json
import re
import time
from html.parser import HTMLParser
from importlib import resources
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from protocol_examples import BUILD, RECORD, RESULT

from tinyprof.benchmarking.results_file import (
    SCHEMA,
    BoardResults,
    Machine,
    Results,
    RunFailed,
    RunMade,
    encode_results,
)
from tinyprof.board_names import BoardRef
from tinyprof.cli import tinyprof
from tinyprof.reporting import from_fleet, svg
from tinyprof.reporting.content import Board, Content, Run, gaps_of, limits_of, middle, shown
from tinyprof.reporting.page import report_page
from tinyprof_protocol.presence import BoardSummary
from tinyprof_protocol.records import Figure
from tinyprof_protocol.requests import BoardsReply, ResultsReply

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)> ' & \x1b[31m\u202e"
T = 1_790_000_000 * 10**9
VOID = {"meta", "br"}


def run(number: int, decode_tps: float = 50.0, verdict: str = "valid", build=BUILD, **more) -> Run:
    figures = {
        "ttft_ms": Figure(10.0 + number, 9.0, 11.0 + number, 0.969, 6),
        "decode_tps": Figure(decode_tps, decode_tps * 0.9, decode_tps * 1.1, 0.969, 6),
        "ram_peak_bytes": Figure(65536.0),
    }
    body = replace(RESULT, build=build, figures=figures, verdict=verdict, job_id=None, itl_us=[1000, 1100] * 60, **more)
    return Run(T + number * 10**9, body)


def content(*boards: Board, notes=()) -> Content:
    return Content("A report", T, "of a test", boards, notes)


class Page(HTMLParser):
    """Tags, attributes and texts of a page; fails where tags do not close as they open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.words.append(data)

    def ids(self) -> list[str]:
        return [value for _, name, value in self.attributes if name == "id"]


def hostile_board() -> Board:
    build = replace(BUILD, **dict.fromkeys(("platform", "engine", "engine_build", "model", "quantisation", "kv_cache",
                                            "activations", "firmware", "firmware_build"), HOSTILE[:64]))  # fmt: skip
    runs = [
        run(n, build=build, verdict="unstable", reasons=[HOSTILE], prompts=[HOSTILE], suite=HOSTILE[:64])
        for n in (1, 2)
    ]
    return Board(HOSTILE, [*runs, run(3, build=build, suite="other", prompts=[HOSTILE])], problems=[HOSTILE])


def test_hostile_texts_are_text_and_the_page_asks_for_nothing() -> None:
    page = Page(
        report_page(replace_title(content(hostile_board(), Board(HOSTILE, [], problems=[HOSTILE]), notes=[HOSTILE])))
    )
    assert not page.tags & {"script", "img", "iframe", "object", "link", "foreignobject", "image", "use"}
    assert [
        name for _, name, _ in page.attributes if name.startswith("on") or name in ("src", "style", "xlink:href")
    ] == []
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert "alert(1)" in "".join(page.words)
    assert not any(ord(sign) < 32 and sign != "\n" for sign in "".join(page.words))


def replace_title(one: Content) -> Content:
    return Content(HOSTILE, one.made_ns, HOSTILE, one.boards, one.notes)


def test_the_same_content_is_the_same_page_and_every_id_is_there_once() -> None:
    boards = [Board("lab.a/one", [run(n) for n in range(9)]), Board("lab.a/two", [run(n, 60.0) for n in range(9)])]
    page = report_page(content(*boards))
    assert page == report_page(content(*boards))
    parsed = Page(page)
    assert len(parsed.ids()) == len(set(parsed.ids()))
    links = {value[1:] for _, name, value in parsed.attributes if name == "href"}
    named = {word for _, name, value in parsed.attributes if name == "aria-labelledby" for word in value.split()}
    assert links | named <= set(parsed.ids())


def test_plots_are_xml_with_title_and_description() -> None:
    page = report_page(content(Board("b", [run(n) for n in range(9)])))
    plots = re.findall(r"<svg class=\"plot\".*?</svg>", page, re.DOTALL)
    assert len(plots) == 3, "decode, TTFT and the gaps"
    for plot in plots:
        root = ET.fromstring(plot)
        assert (root.find("title").text, bool(root.find("desc").text)) != (None, False)


@pytest.mark.parametrize(("values", "from_zero"), [([50.0, 51.0, 49.5], False), ([5.0, 51.0, 80.0], True)])
def test_an_axis_that_does_not_begin_at_zero_says_so(values, from_zero) -> None:
    marks = [svg.Mark(T + n, value, "valid") for n, value in enumerate(values)]
    assert svg.begins_at_zero(marks) is from_zero
    page = report_page(content(Board("b", [run(n, value) for n, value in enumerate(values)])))
    assert (
        "decode over time</b>, tokens/s; a line through a mark is its interval. Times are UTC. The axis" in page
    ) is not from_zero


def test_what_is_emulated_and_estimated_says_so() -> None:
    emulated = replace(BUILD, emulated=True, platform="netduinoplus2", stands_for="stm32f405")
    one = run(1, build=emulated)
    figures = {"decode_tps": Figure(31.0, 20.0, 40.0, estimated=True)}
    words = " ".join(Page(report_page(content(Board("b", [Run(T, replace(one.result, figures=figures))])))).words)
    assert "stands for stm32f405" in words
    assert "~31.00 tokens/s" in words
    assert "20.00 to 40.00 (estimate)" in words


def test_an_invalid_run_is_drawn_and_enters_no_figure() -> None:
    runs = [run(1, 50.0), run(2, 999.0, "invalid"), run(3, 52.0), run(4, 888.0, "invalid")]
    assert middle(runs, "decode_tps") == 51.0
    found = shown(Board("b", runs))
    assert found is not None
    assert found.newest is runs[2].result
    page = report_page(content(Board("b", runs)))
    assert page.count('<g class="invalid"><title>2026') == 2 * 2
    assert "999" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_a_board_with_only_invalid_runs_has_no_figures_and_says_why() -> None:
    words = " ".join(
        Page(report_page(content(Board("b", [run(1, verdict="invalid", reasons=["the clock drifted"])])))).words
    )
    assert "each was invalid" in words
    assert "the clock drifted" in words


def test_runs_that_cannot_be_compared_stand_apart() -> None:
    night = [replace_suite(run(n, 70.0), "night", job=bytes(16)) for n in range(20, 24)]
    found = shown(Board("b", [*(run(n) for n in range(4)), *night]))
    assert found is not None
    assert [len(found.runs), *map(len, found.others)] == [4, 4], "the scheduled ones stand for the board"
    assert found.counts == {"valid": 8, "unstable": 0, "invalid": 0}


def replace_suite(one: Run, suite: str, job: bytes | None) -> Run:
    return Run(one.time_ns, replace(one.result, suite=suite, job_id=job))


def test_memory_stands_beside_the_limits_of_its_platform() -> None:
    result = run(1, build=replace(BUILD, platform="stm32f405")).result
    limits = limits_of(result)
    assert limits["ram_peak_bytes"].bytes == 128 * 1024
    page = report_page(content(Board("b", [Run(T, result)])))
    assert "64.0 KiB of 128 KiB, 50%" in page
    assert limits_of(run(1).result) == {}


@pytest.mark.parametrize("boards", [[], [Board("a", [])], [Board("a", [run(1)])], [Board("a", [run(1), run(1)])]])
def test_few_runs_or_none_make_a_page(boards) -> None:
    Page(report_page(content(*boards)))


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_ticks_are_few_rise_and_cover_all(low, span) -> None:
    ticks = svg.nice_ticks(low, low + span)
    assert ticks == sorted(set(ticks)) or span < abs(low) * 1e-12
    assert 2 <= len(ticks) <= 14
    slack = 1e-6 * max(1.0, abs(low), span)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= low + span - slack


@given(st.lists(st.floats(0, 1e9), min_size=10, max_size=60))
def test_a_histogram_counts_every_value(values) -> None:
    drawn = svg.histogram(values, "h", "t", "us", [])
    ET.fromstring(drawn)
    assert sum(int(count) for count in re.findall(r"<title>(\d+) from", drawn)) == len(values)


def test_of_many_marks_some_are_drawn_and_the_ends_are_among_them() -> None:
    marks = [svg.Mark(n, float(n), "valid") for n in range(5000)]
    kept = svg.thinned(marks)
    assert (len(kept), kept[0], kept[-1]) == (svg.MAX_MARKS, marks[0], marks[-1])


def test_what_is_loaded_is_bounded_and_says_so() -> None:
    pages = [
        [replace(RECORD, time_ns=n, body=run(n).result) for n in range(start, start + 50)]
        for start in range(0, 500, 50)
    ]
    board = from_fleet.load_board(BoardRef("lab.a", "b"), pages)
    assert (len(board.runs), board.left_out) == (from_fleet.MAX_RUNS, True)
    assert board.runs[-1].time_ns == 499
    assert sum(bool(one.result.itl_us) for one in board.runs) == from_fleet.RUNS_WITH_GAPS
    assert len(gaps_of(board.runs)) == 120 * from_fleet.RUNS_WITH_GAPS
    few = from_fleet.load_board(BoardRef("lab.a", "b"), pages[:1])
    assert (len(few.runs), few.left_out) == (50, False)


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_has_enough_contrast(scheme) -> None:
    style = (resources.files("tinyprof.reporting") / "report.css").read_text()
    block = re.findall(r":root\{(.*?)\}", style, re.DOTALL)[scheme]
    colours = {name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
               for name, value in re.findall(r"--([a-z]+):(#[0-9a-f]+)", block)}  # fmt: skip
    for ground in ("card", "ground"):
        for name in ("ink", "soft", "valid", "unstable", "invalid", "link"):
            light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


# ---- the command


def call(*arguments, broker=None):
    return CliRunner().invoke(tinyprof, arguments, env={"TINYPROF_BROKER": broker, "LOG_LEVEL": None})


@pytest.fixture
def fleet(collector, broker):
    stored = [
        replace(RECORD, time_ns=time.time_ns() - (9 - number) * 10**9, body=run(number).result) for number in range(7)
    ]

    def answer(asked):
        after = [record for record in stored if record.time_ns > asked.after_ns and asked.board == "pico-1"]
        return [ResultsReply(after[:3], len(after) > 3)]

    boards = [BoardSummary("lab.a1", name, "healthy", [], 1) for name in ("empty", "pico-1")]
    asked = collector({"boards": lambda _: [BoardsReply(boards, 2)], "results": answer})
    return broker.url, asked


def test_a_page_of_the_fleet(fleet, tmp_path) -> None:
    path = tmp_path / "r.html"
    done = call("report", "--output", str(path), "--json", broker=fleet[0])
    assert json.loads(done.stdout) == {"output": str(path), "boards": ["lab.a1/empty", "lab.a1/pico-1"], "runs": 7}
    words = " ".join(Page(path.read_text()).words)
    assert "lab.a1/pico-1" in words
    assert "lab.a1/empty has no run" in words


def test_some_boards_only_and_each_once(fleet, tmp_path) -> None:
    done = call("report", "--boards", "pico-1, pico-1,", "--output", str(tmp_path / "r.html"), broker=fleet[0])
    assert (done.exit_code, done.stdout) == (0, "")
    assert "7 runs of 1 board are in" in done.stderr
    assert {asked.board for kind, asked in fleet[1].requests if kind == "results"} == {"pico-1"}


def test_an_unknown_board_is_a_line_and_no_page(fleet, tmp_path) -> None:
    done = call("report", "--boards", "pico-2", "--output", str(tmp_path / "r.html"), broker=fleet[0])
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "nearest: lab.a1/pico-1" in done.stderr
    assert list(tmp_path.iterdir()) == []


def results_file(tmp_path, version: int = 1):
    made = RunMade(1, "2026-11-27T10:00:00+00:00", "2026-11-27T10:00:09+00:00", run(1).result)
    failed = RunFailed(2, "interrupted", "the agent ended")
    boards = [BoardResults("this-machine", "quick", 2, runs=[made], failures=[failed])]
    results = Results(
        SCHEMA,
        version,
        "0.1.0",
        made.asked,
        made.ended,
        False,
        Machine(cpu="A processor"),
        "told to stop",
        boards=boards,
    )
    path = tmp_path / "results.json"
    path.write_text(encode_results(results))
    return path


def test_a_page_of_a_results_file_needs_no_broker(tmp_path) -> None:
    done = call("report", str(results_file(tmp_path)), "--output", str(tmp_path / "r.html"), "--title", "Mine")
    assert done.exit_code == 0, done.stderr
    words = " ".join(Page((tmp_path / "r.html").read_text()).words)
    for said in (
        "Mine",
        "A processor",
        "Incomplete: told to stop",
        "run 2 interrupted: the agent ended",
        "2026-11-27 10:00",
    ):
        assert said in words


@pytest.mark.parametrize(
    ("more", "version", "says"),
    [
        ([], 2, "is of version 2 of the results' schema"),
        (["--since", "1d"], 1, "a results file is shown whole"),
        (["--boards", "b"], 1, "a results file is shown whole"),
    ],
)
def test_what_cannot_be_shown_is_a_line(tmp_path, more, version, says) -> None:
    path = results_file(tmp_path, version)
    done = call("report", str(path), "--output", str(tmp_path / "r.html"), *more)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == [path]
