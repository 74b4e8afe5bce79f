"""A collector one of whose threads has ended says so, and is to be started anew."""

import pytest
from started_collector import started

from tinyprof_collector.config import Config

PATIENCE_S = 20


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_collector_whose_connection_has_ended_for_good_is_to_be_started_anew(broker, tmp_path):
    def ends(_: str) -> float:
        raise RuntimeError

    collector = started(Config(broker=broker.url, state_dir=str(tmp_path / "state")))
    assert collector.dead_threads() == []
    collector.connection._ended = ends
    collector.connection.drop("a test")
    collector.connection._thread.join(PATIENCE_S)
    assert collector.dead_threads() == ["mqtt"]
    assert collector.report.alive()["mqtt"] == "its thread has ended"
    assert collector.stop()
