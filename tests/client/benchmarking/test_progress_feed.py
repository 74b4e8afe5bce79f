"""One connection for the progress of all runs: each hears its own."""

import queue

from tinyprof.benchmarking.progress_feed import ProgressFeed
from tinyprof_protocol import topics
from tinyprof_protocol.codec import encode
from tinyprof_protocol.connection import Connection, Hooks, Publication
from tinyprof_protocol.jobs import Progress

PATIENCE_S = 20


def test_each_run_hears_its_own_progress(address) -> None:
    one, two = b"1" * 16, b"2" * 16
    heard: dict[bytes, queue.Queue[Progress]] = {one: queue.Queue(), two: queue.Queue()}
    sender = Connection(address, "lab.a1", Hooks())
    sender.start()

    def say(job, board) -> None:
        progress = Progress("lab.a1", board, "timed", job_id=job)
        sender.publish(Publication(topics.agent_topic("lab.a1", "progress"), encode(progress), qos=0))

    def until_heard(job, board) -> Progress:
        for _ in range(10 * PATIENCE_S):
            say(job, board)
            try:
                return heard[job].get(timeout=0.1)
            except queue.Empty:
                continue
        raise AssertionError("nothing was heard")

    try:
        with ProgressFeed(address, ["lab.a1", "lab.a2"], "progress-test") as feed:
            with feed.of(one, heard[one].put), feed.of(two, heard[two].put):
                assert until_heard(one, "b1").board == "b1"
                assert until_heard(two, "b2").board == "b2"
                assert {progress.board for progress in heard[one].queue} <= {"b1"}
            say(one, "late")
            with feed.of(two, heard[two].put):
                until_heard(two, "b2")
            assert "late" not in {progress.board for progress in heard[one].queue}
    finally:
        sender.stop(timeout_s=1.0)
