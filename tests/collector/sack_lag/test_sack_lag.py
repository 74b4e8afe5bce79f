import pytest

from tinyprof_collector.sack_lag import NEWEST, SackLag
from tinyprof_protocol.connection import Message
from tinyprof_protocol.topics import agent_topic

NODE = "lab.pi"
SACK = agent_topic(NODE, "sack")


class Rig:
    def __init__(self, max_nodes: int = 100) -> None:
        self.now_s = 50.0
        self.lag = SackLag(lambda: self.now_s, max_nodes)

    def receive(self, node: str = NODE) -> Message:
        message = Message(agent_topic(node, "records"), b"", False, None, None)
        self.lag.received(message)
        return message

    def answer(self, message: Message, after_s: float, *, holding: bool = False) -> None:
        self.now_s += after_s
        self.lag.taken([message], holding=holding)
        self.lag.published(message.topic.replace("records", "sack"))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_from_receipt_to_publication(rig):
    assert rig.lag.median_ms(NODE) is None
    rig.answer(rig.receive(), 0.25)
    assert rig.lag.median_ms(NODE) == 250.0
    assert rig.lag.median_ms("lab.other") is None


def test_the_median_of_the_newest(rig):
    for after_s in (9.0, 9.0, 9.0, 9.0, 9.0, *([0.5] * 5), 100.0, 0.25, 0.25, 0.25):
        rig.answer(rig.receive(), after_s)
    assert rig.lag.median_ms(NODE) == 500.0
    assert NEWEST == 9


def test_a_batch_behind_the_followed_one_does_not_shorten_it(rig):
    first, second = rig.receive(), rig.receive()
    rig.answer(second, 1.0)
    assert rig.lag.median_ms(NODE) is None
    rig.answer(first, 1.0)
    assert rig.lag.median_ms(NODE) == 2000.0


def test_what_is_held_goes_on_counting_and_what_gets_no_answer_is_let_go(rig):
    held = rig.receive()
    rig.lag.taken([held], holding=False)
    rig.now_s += 3.0
    rig.lag.taken([], holding=True)
    rig.lag.published(SACK)
    assert rig.lag.median_ms(NODE) == 3000.0
    poison = rig.receive()
    rig.lag.taken([poison], holding=False)
    rig.now_s += 100.0
    rig.lag.taken([], holding=False)
    for _ in range(NEWEST):
        rig.answer(rig.receive(), 0.5)
    assert rig.lag.median_ms(NODE) == 500.0


def test_a_batch_that_found_no_room_is_not_waited_for(rig):
    rig.lag.fell(rig.receive())
    first = rig.receive()
    rig.lag.fell(rig.receive())
    rig.answer(first, 2.0)
    assert rig.lag.median_ms(NODE) == 2000.0


def test_nodes_are_bounded():
    rig = Rig(max_nodes=1)
    rig.answer(rig.receive(), 1.0)
    rig.answer(rig.receive("lab.pi2"), 1.0)
    assert (rig.lag.median_ms(NODE), rig.lag.median_ms("lab.pi2")) == (1000.0, None)
    waiting = rig.receive()
    rig.receive("lab.pi2")
    rig.answer(waiting, 3.0)
    assert rig.lag.median_ms(NODE) == 2000.0


def test_a_batch_that_is_not_answered_is_told_to_wait(rig):
    assert rig.lag.waiting_s(NODE) is None
    message = rig.receive()
    rig.now_s += 12.0
    rig.lag.taken([message], holding=True)
    assert (rig.lag.waiting_s(NODE), rig.lag.median_ms(NODE)) == (12.0, None)
    rig.lag.published(SACK)
    assert (rig.lag.waiting_s(NODE), rig.lag.median_ms(NODE)) == (None, 12000.0)
