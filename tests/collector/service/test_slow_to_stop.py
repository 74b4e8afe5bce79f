"""A collector whose thread does not end in time: nothing is closed under it."""

import logging
import threading
import time

from started_collector import started

from tinyprof_collector.config import Config
from tinyprof_collector.control import Clock

WAIT_S = 20.0


def test_files_are_not_closed_under_a_thread_that_still_runs(broker, tmp_path, caplog):
    hold, held, let_go = threading.Event(), threading.Event(), threading.Event()

    def wall_ns() -> int:
        if hold.is_set() and threading.current_thread().name == "regressions":
            held.set()
            let_go.wait(WAIT_S)
        return time.time_ns()

    config = Config(broker=broker.url, state_dir=str(tmp_path), status_interval_s=0.2, stop_timeout_s=5.0)
    collector = started(config, Clock(wall_ns, time.monotonic))
    hold.set()
    assert held.wait(WAIT_S)
    with caplog.at_level(logging.WARNING, "tinyprof_collector.service"):
        collector.stop()
    kept = collector._parts._opened.watch
    assert kept._connection is not None, "it was closed while the thread was at work"
    assert "regressions did not end in time" in caplog.text
    let_go.set()
    while collector._parts.lookout.alive()["regressions"]:
        time.sleep(0.01)
    assert collector._parts.lookout.counters()["watch_errors"] == 0
    collector._opened.close()
