import queue
import threading
import time

import pytest

from tinyprof_collector.pipeline_thread import PipelineThread, TooBusy
from tinyprof_protocol.connection import Message, Publication

WAIT_S = 20.0


class Source:
    def __init__(self) -> None:
        self.lists: queue.Queue[list[Message]] = queue.Queue()

    def take(self, _limit: int, timeout_s: float | None) -> list[Message]:
        try:
            return self.lists.get(timeout=timeout_s)
        except queue.Empty:
            return []

    def __len__(self) -> int:
        return self.lists.qsize()


def message(topic: str) -> Message:
    return Message(topic, b"", False, None, None)


def thread_of(source, process, publish, refresh=lambda: None) -> PipelineThread:
    return PipelineThread(
        source, process, publish, refresh, take_batches=8, refresh_interval_s=0.01, monotonic_s=time.monotonic
    )


def echo(messages: list[Message]) -> list[Publication]:
    return [Publication(each.topic, b"") for each in messages]


def test_what_process_returns_is_published_and_errands_are_run():
    source, sent = Source(), queue.Queue()
    thread = thread_of(source, echo, lambda each: sent.put(each) or 1)
    thread.start()
    source.lists.put([message("a"), message("b")])
    assert [sent.get(timeout=WAIT_S).topic for _ in range(2)] == ["a", "b"]
    assert thread.call(lambda: threading.current_thread().name, WAIT_S) == "pipeline"
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 // 0, WAIT_S)
    assert thread.stop(WAIT_S)
    assert not thread.alive()


def test_a_failure_is_counted_and_the_next_list_is_taken():
    source, sent = Source(), queue.Queue()

    def process(messages):
        if any(each.topic == "bad" for each in messages):
            raise RuntimeError("a defect")
        return echo(messages)

    thread = thread_of(source, process, lambda each: sent.put(each) or 1)
    thread.start()
    source.lists.put([message("bad")])
    source.lists.put([message("good")])
    assert sent.get(timeout=WAIT_S).topic == "good"
    assert thread.stop(WAIT_S)
    assert thread.counts["pipeline_errors"] == 1


def test_an_acknowledgement_that_is_not_taken_is_counted():
    source = Source()
    thread = thread_of(source, echo, lambda _: None)
    source.lists.put([message("a")])
    thread.start()
    assert thread.stop(WAIT_S)
    assert thread.counts["acknowledgements_unsent"] == 1


def test_stopping_works_off_what_waits():
    source, sent = Source(), []
    thread = thread_of(source, echo, lambda each: sent.append(each.topic) or 1)
    for number in range(20):
        source.lists.put([message(str(number))])
    thread.start()
    assert thread.stop(WAIT_S)
    assert sent == [str(number) for number in range(20)]


def test_a_busy_thread_is_not_waited_for():
    source, release, began = Source(), threading.Event(), threading.Event()

    def process(messages):
        if messages:
            began.set()
            release.wait(WAIT_S)
        return []

    thread = thread_of(source, process, lambda _: 1)
    thread.start()
    source.lists.put([message("slow")])
    assert began.wait(WAIT_S)
    with pytest.raises(TooBusy, match="did not get to it"):
        thread.call(lambda: None, 0.01)
    assert not thread.stop(0.01)
    release.set()
    assert thread.stop(WAIT_S)
    with pytest.raises(TooBusy, match="too much to do"):
        thread.call(lambda: None, WAIT_S)


def test_it_refreshes_and_tries_again_without_messages():
    source, refreshed, processed = Source(), threading.Event(), threading.Event()

    def process(messages):
        assert messages == []
        processed.set()
        return []

    thread = thread_of(source, process, lambda _: 1, refreshed.set)
    thread.start()
    assert refreshed.wait(WAIT_S)
    assert processed.wait(WAIT_S)
    assert thread.stop(WAIT_S)
    assert thread.counts["pipeline_errors"] == 0


def test_a_publication_that_fails_is_counted_and_the_next_ones_are_sent():
    source, sent = Source(), queue.Queue()

    def publish(publication: Publication) -> int:
        if publication.topic == "bad":
            raise ValueError("a defect")
        sent.put(publication.topic)
        return 1

    thread = thread_of(source, echo, publish)
    thread.start()
    source.lists.put([message("bad"), message("good")])
    assert sent.get(timeout=WAIT_S) == "good"
    assert thread.stop(WAIT_S)
    assert (thread.counts["pipeline_errors"], thread.counts["acknowledgements_unsent"]) == (1, 1)


def test_while_nothing_can_be_stored_lists_stay_at_the_source_and_errands_are_run():
    source, sent, tries = Source(), queue.Queue(), queue.Queue()
    holds = threading.Event()
    holds.set()

    def process(messages):
        tries.put(len(messages))
        return echo(messages)

    thread = PipelineThread(
        source, process, lambda each: sent.put(each) or 1, lambda: None,
        take_batches=8, refresh_interval_s=0.01, monotonic_s=time.monotonic, holding=holds.is_set,
    )  # fmt: skip
    source.lists.put([message("a")])
    thread.start()
    assert [tries.get(timeout=WAIT_S) for _ in range(2)] == [0, 0]
    assert thread.call(lambda: len(source), WAIT_S) == 1
    holds.clear()
    assert sent.get(timeout=WAIT_S).topic == "a"
    holds.set()
    thread.call(list, WAIT_S)  # a take that was under way is over
    source.lists.put([message("b")])
    assert thread.stop(WAIT_S)
    assert len(source) == 1


def test_at_a_stop_half_of_the_time_is_for_what_waits_and_the_rest_for_the_end():
    """What is left over comes again; a thread that used up all of its time could not end in it."""
    source, now_s, worked = Source(), [0.0], []

    def process(messages):
        if messages:
            worked.append(len(messages))
            now_s[0] += 1.0
        return []

    thread = PipelineThread(
        source, process, lambda _: 1, lambda: None,
        take_batches=8, refresh_interval_s=1e9, monotonic_s=lambda: now_s[0],
    )  # fmt: skip
    for number in range(50):
        source.lists.put([message(str(number))])
    thread.post(lambda: thread._stopping.wait(WAIT_S))  # it begins once the stop is under way
    thread.start()
    assert thread.stop(WAIT_S)
    assert len(worked) == WAIT_S / 2
    assert len(source) == 50 - WAIT_S / 2
