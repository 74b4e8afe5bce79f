"""Which board a run of any board's is asked for first, and how long boards are looked for."""

import pytest

from tinyprof.board_finder import BELIEVED_AFTER_S, BoardFinder, first_choice
from tinyprof.board_names import BoardRef, UnknownBoard
from tinyprof.request_channel import SETTLED_AFTER_S, Heard, are_settling
from tinyprof_protocol.jobs import Where
from tinyprof_protocol.presence import BoardSummary, CollectorStatus

S = 10**9


def board(name: str, state="idle", health="healthy", **more) -> BoardSummary:
    return BoardSummary("lab.a1", name, health, [], 1, state=state, **more)


@pytest.mark.parametrize(
    ("boards", "expected"),
    [
        ([board("a"), board("b")], "a"),
        ([board("a", "running"), board("b")], "b"),
        ([board("a", "open"), board("b", "starting"), board("c", "retrying")], "b"),
        ([board("a", health="offline"), board("b", "running")], "b"),
        ([board("a", health="stale"), board("b", "disabled", "critical")], "b"),
        ([board("a", health="offline"), board("b", health="stale")], "a"),
    ],
)
def test_the_first_choice_is_the_board_that_is_nearest_to_making_a_run(boards, expected):
    assert first_choice(Where(site="lab"), boards) == BoardRef("lab.a1", expected)


def test_a_board_that_is_not_as_it_is_asked_for_is_no_choice():
    boards = [board("a"), board("b", "open", labels=["fast"], platform="rp2040")]
    assert first_choice(Where(label="fast"), boards) == BoardRef("lab.a1", "b")
    assert first_choice(Where(label="fast", platform="host"), boards) is None


class Fleet:
    """Boards that come while they are looked for; a pause is time that passes."""

    def __init__(self, *answers: list[BoardSummary], settles_at_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.asked = 0
        self._answers = list(answers)
        self.finder = BoardFinder(self._ask, lambda: self.now_s, lambda: self.now_s < settles_at_s, self._pause)

    def _ask(self, node: str | None) -> list[BoardSummary]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def _pause(self, pause_s: float) -> None:
        self.now_s += pause_s


def test_a_board_that_a_collector_has_not_heard_of_yet_is_waited_for():
    fleet = Fleet([], [], [], [board("a", labels=["fast"])], settles_at_s=60.0)
    assert fleet.finder.first_like(Where(label="fast")) == BoardRef("lab.a1", "a")
    assert 0 < fleet.now_s < BELIEVED_AFTER_S


def test_that_a_board_is_nowhere_is_believed_in_the_end():
    fleet = Fleet([board("a")], settles_at_s=60.0)
    with pytest.raises(UnknownBoard):
        fleet.finder.find("b")
    assert fleet.now_s == pytest.approx(BELIEVED_AFTER_S)


def test_where_all_collectors_have_heard_of_their_boards_it_is_believed_at_once():
    fleet = Fleet([board("a")])
    with pytest.raises(UnknownBoard):
        fleet.finder.first_like(Where(label="fast"))
    assert (fleet.now_s, fleet.asked) == (0.0, 2)


def heard(age_s: float, partitions=range(16), state="online") -> Heard:
    return Heard(CollectorStatus("one", state, time_ns=round(age_s * S), partitions=list(partitions)), 100.0)


def test_a_collector_settles_for_a_while_after_its_start_and_a_fleet_until_all_partitions_are_served():
    assert are_settling({"one": heard(1.0)}, 101.0)
    assert not are_settling({"one": heard(1.0)}, 100.0 + SETTLED_AFTER_S)
    assert are_settling({"one": heard(60.0, range(8))}, 101.0)
    assert are_settling({"one": heard(60.0, state="offline")}, 101.0)
    assert not are_settling({"one": heard(60.0, range(8)), "two": heard(60.0, range(8, 16))}, 101.0)
