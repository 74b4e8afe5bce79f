"""The page of ready queries: each runs as it stands, and says what the page says it does."""

import re
from pathlib import Path

import pytest
from influxd import Influxd
from msgspec.structs import replace
from producing import BUILD, NODE, arrivals, now_ns, result_of

from tinyprof_collector.stores.influx.influxdb import InfluxStore
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_protocol.presence import Regression
from tinyprof_protocol.records import Figure

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
QUERIES = [
    (title, language, text)
    for title, section in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    for language, text in re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    """Two boards: alpha with two builds of its firmware, beta slower and with figures of energy."""
    running = Influxd(tmp_path_factory.mktemp("influxd")).start()
    store = InfluxStore(running.config())
    sent = []
    for seq in range(1, 9):
        old = replace(BUILD, firmware="fw", firmware_build="one" if seq < 5 else "two", quantisation="q4_0")
        sent += arrivals([seq], body=replace(result_of(seq, decode_tps=80.0 if seq < 5 else 40.0), build=old))
    for seq in range(11, 15):
        body = result_of(seq, "beta", 10.0)
        sent += arrivals([seq], body=replace(body, figures={**body.figures, "energy_mj_per_token": Figure(2.5)}))
    sent += arrivals([20], body=result_of(20, "beta", 1000.0, "invalid"))
    assert store.write(sent) == ["stored"] * len(sent)
    slower = Regression(
        NODE, "alpha", "0" * 16, "decode_tps", 80.0, 40.0, -0.5, now_ns(), now_ns(), True, "quick", "two"
    )
    quicker = replace(slower, board="beta", before=1000.0, worse=False)
    for _ in range(2):
        assert store.keep_regressions([slower, quicker]) == 0
    store.close()
    yield running
    running.stop()


def test_the_page_has_every_question_in_both_languages():
    titles = [title for title, language, _ in QUERIES if language == "flux"]
    assert titles == [title for title, language, _ in QUERIES if language == "influxql"]
    assert len(titles) == 5


def expected(title: str) -> list[str]:
    return {
        "Which boards are slowest?": ["10", "60"],
        "Did a firmware change make a board slower?": ["80", "40", "one", "two"],
        "What has become slower, or larger?": ["80", "40", "-0.5", "two", "decode_tps"],
        "What does a token cost in energy, by quantisation?": ["2.5"],
        "Which boards have gone quiet?": ["alpha", "beta"],
    }[title]


@pytest.mark.parametrize(("title", "language", "text"), QUERIES, ids=[f"{q[1]}: {q[0]}" for q in QUERIES])
def test_a_query_of_the_page_runs_and_finds_what_it_asks_for(server, title, language, text):
    if language == "flux":
        words = set(re.split(r"[,\r\n]+", server.flux(text)))
        assert "error" not in words
    else:
        [answer] = InfluxServer(server.config()).query(text)
        assert answer
        cells = [cell for rows in answer for row in rows.values for cell in row]
        tags = [value for rows in answer for value in rows.tags.values()]
        words = {f"{cell:g}" if isinstance(cell, float | int) else str(cell) for cell in [*cells, *tags]}
    assert set(expected(title)) <= words
    assert "1000" not in words or title == "Which boards have gone quiet?"
