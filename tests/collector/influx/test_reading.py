"""What is read of rows that a server shows while it writes them: they are not there yet."""

from dataclasses import dataclass, field

from tinyprof_collector.stores.influx.reading import InfluxReader
from tinyprof_collector.stores.influx.server import Rows

NODE, BOARD = "lab.pi", "alpha"
RUN_ID, SERIES = "01" * 16, "5" * 16


@dataclass
class Answering:
    """Gives the next of its answers to each question."""

    answers: list[list[list[Rows]]]
    asked: list[str] = field(default_factory=list)

    def query(self, influxql: str) -> list[list[Rows]]:
        self.asked.append(influxql)
        return self.answers[len(self.asked) - 1]


def rows(columns: str, *values: tuple, tags: dict[str, str] | None = None) -> list[Rows]:
    return [Rows("any", tags or {}, columns.split(), [list(one) for one in values])]


def test_a_run_without_its_metric_its_verdict_its_id_or_its_series_is_not_in_the_history():
    whole = (5, 50.0, 49.0, 51.0, "valid", RUN_ID, SERIES)
    torn = [tuple(None if n == lacking else value for n, value in enumerate(whole)) for lacking in (1, 4, 5, 6)]
    runs = rows("time ttft_ms ttft_ms_low ttft_ms_high verdict run_id series_id", *torn, whole)
    readings = rows("time ttft_ms", (3, None), (4, 7.0))
    points = InfluxReader(Answering([[runs, readings]])).history(NODE, BOARD, "ttft_ms")
    assert [(point.time_ns, point.value, point.verdict) for point in points] == [(4, 7.0, ""), (5, 50.0, "valid")]


def test_the_series_that_stands_for_a_board_is_that_of_its_newest_whole_run():
    newest = rows("time series_id", (9, None), (8, SERIES), (7, "6" * 16))
    assert InfluxReader(Answering([[newest, []]])).shown_series(NODE, BOARD) == SERIES
    assert InfluxReader(Answering([[[], newest]])).shown_series(NODE, BOARD) == SERIES
    assert InfluxReader(Answering([[rows("time series_id", (9, None)), []]])).shown_series(NODE, BOARD) == ""


def test_a_run_that_lacks_what_all_have_is_not_among_a_boards_newest():
    tags = {"site": "lab", "agent": "pi", "board": BOARD}
    series = rows("time series_id", (8, SERIES))
    newest = rows("time asked verdict decode_tps", (9, None, "valid", None), (8, False, "valid", 50.0))
    answers = [[rows("time count", (0, 1), tags=tags), [], [], []], [series, series, []], [[], newest]]
    [board] = InfluxReader(Answering(answers)).latest()
    assert [(run.time_ns, run.decode_tps) for run in board.newest] == [(8, 50.0)]
