"""Messages about jobs wait for room and keep their order; without a connection they fall and are counted."""

import threading

from tinyprof_collector.jobs import outbox as outboxes
from tinyprof_collector.jobs.outbox import Outbox
from tinyprof_protocol.connection import Publication

WAIT_S = 20.0


class Library:
    """Takes `room` messages, then none until there is room again."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.connected = True
        self.taken: list[str] = []
        self.changed = threading.Condition()

    def publish(self, publication: Publication) -> int | None:
        with self.changed:
            if len(self.taken) >= self.room:
                self.changed.notify_all()
                return None
            self.taken.append(publication.topic)
            self.changed.notify_all()
            return 1

    def until(self, condition) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, WAIT_S), self.taken


def messages(count: int, size: int = 1) -> list[Publication]:
    return [Publication(f"t{n}", b"x" * size) for n in range(count)]


def test_what_finds_no_room_waits_for_it_and_nothing_is_lost_or_out_of_order():
    library = Library(room=3)
    outbox = Outbox(library.publish, lambda: library.connected)
    outbox.start()
    outbox.put(messages(10))
    library.until(lambda: len(library.taken) == 3)
    library.room = 100
    library.until(lambda: len(library.taken) == 10)
    outbox.stop(WAIT_S)
    assert library.taken == [f"t{n}" for n in range(10)]
    assert (outbox.counts, outbox.alive()) == ({"job_messages_sent": 10, "job_messages_unsent": 0}, False)


def test_without_a_connection_messages_fall():
    library = Library(room=0)
    library.connected = False
    outbox = Outbox(library.publish, lambda: library.connected)
    outbox.put(messages(5))
    outbox.start()
    outbox.stop(WAIT_S)
    assert outbox.counts["job_messages_unsent"] == 5


def test_what_waits_is_bounded():
    outbox = Outbox(lambda _: None, lambda: True)
    outbox.put(messages(2, outboxes.MAX_WAITING_BYTES // 2 + 1))
    assert outbox.counts["job_messages_unsent"] == 1
