"""The link under faults, with the real firmware at its end: in QEMU, and as a Linux process.

What a fault costs is asked of the agent's own result: whole and valid where the link can make it good, invalid with its
reason where it cannot, and in either case the run after it is as if nothing had been.
"""

import time
from collections.abc import Callable
from random import Random

import pytest
from firmware_boards import LINUX, QEMU, FirmwareBoard, assert_whole
from line_with_faults import Spoil, as_it_is, cut_short, flip_bit, lose, noise_before, speaking_of
from msgspec import structs

from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.probe.messages import (
    AskHello,
    AskLoop,
    AskStats,
    End,
    Hello,
    Loop,
    Resend,
    Run,
    Start,
    Stats,
    Tokens,
)

NOISE_BYTES = 12_000  # what a line of 115,200 baud carries in a second
MakeBoard = Callable[..., FirmwareBoard]


# What the link makes good


def test_noise_between_frames(board: FirmwareBoard, chance: Random) -> None:
    """None of it comes in the middle of a run: a board that is spoken to counts more instructions."""
    board.faults.to_board, board.faults.to_agent = noise_before(chance), noise_before(chance)
    assert_whole(board.measure())
    assert board.counted("log_bytes") > 50
    assert board.counted("bad_crc") > 0


FRAMES = [
    (QEMU, AskHello), (QEMU, Hello), (QEMU, Run), (QEMU, Tokens), (QEMU, End), (QEMU, AskLoop), (QEMU, Loop),
    (LINUX, AskHello), (LINUX, Hello), (LINUX, Run), (LINUX, Start), (LINUX, Tokens), (LINUX, End),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "frame"), FRAMES, ids=lambda value: getattr(value, "__name__", value))
def test_a_frame_that_is_lost_then_cut_then_spoilt(
    kind: str, frame: type, make_board: MakeBoard, chance: Random
) -> None:
    board, spoil = make_board(kind), Spoil(frame, lose, cut_short, flip_bit(chance))
    board.faults.to_board = board.faults.to_agent = spoil
    assert_whole(board.measure())
    assert spoil.left == 0
    from_board = frame not in (AskHello, Run, AskLoop)
    assert board.counted("bad_crc") == (2 if from_board else 0)


def test_questions_between_runs_that_are_lost(board: FirmwareBoard, chance: Random) -> None:
    board.driver.open()
    spoil_question = Spoil(AskStats, lose, cut_short, flip_bit(chance))
    spoil_answer = Spoil(Stats, lose, cut_short, flip_bit(chance))
    board.faults.to_board, board.faults.to_agent = spoil_question, spoil_answer
    trip = board.driver.round_trip()
    assert spoil_question.left == spoil_answer.left == 0
    assert (trip.received_ns - trip.sent_ns) < 0.5e9, "the time of a question that was lost is not counted"


def test_lost_groups_of_tokens_are_sent_again(board: FirmwareBoard) -> None:
    board.driver.open()
    whole = board.generate("One day", 200)
    first_and_third, again = Spoil(Tokens, lose, as_it_is, lose), Spoil(Resend, lose)
    board.faults.to_agent, board.faults.to_board = first_and_third, again
    repaired = board.generate("One day", 200)
    assert (first_and_third.left, again.left) == (0, 0)
    assert len(repaired.tokens) == 200
    assert (repaired.tokens, repaired.text, repaired.missing_tokens) == (whole.tokens, whole.text, 0)
    assert len(repaired.token_ns) == 200
    assert repaired.token_ns == sorted(repaired.token_ns)
    assert board.counted("resends_asked") == 3


def test_all_of_a_runs_end_is_lost_at_once(board: FirmwareBoard) -> None:
    """After a silence the board is asked how it is, and then for everything."""
    tokens, end = Spoil(Tokens, lose), Spoil(End, lose)
    board.faults.to_agent = lambda part: tokens(part) and end(part)
    assert_whole(board.measure())
    assert (tokens.left, end.left) == (0, 0)


def test_a_prompt_of_many_pieces_of_which_some_are_lost(board: FirmwareBoard, chance: Random) -> None:
    prompt = "One day a little dog went to the park and saw a big red ball. " * 12
    assert 512 < len(prompt) < 1024
    board.driver.open()
    whole = board.generate(prompt, 8)
    pieces = [Spoil(Run, lose, flip_bit(chance), wanted=lambda run, at=at: run.piece == at) for at in (0, 2)]
    starts = Spoil(Start, lose, cut_short, wanted=lambda start: start.pieces == 2)
    board.faults.to_board = lambda part: part and pieces[0](part) if pieces[0].left else pieces[1](part)
    board.faults.to_agent = starts
    again = board.generate(prompt, 8)
    assert [one.left for one in (*pieces, starts)] == [0, 0, 0]
    assert whole.prompt_tokens > 150
    assert (again.tokens, again.prompt_tokens) == (whole.tokens, whole.prompt_tokens)


def test_a_line_that_carries_little(board: FirmwareBoard) -> None:
    board.faults.bytes_s = 1000
    assert_whole(board.measure())


def test_a_line_full_of_noise_before_anyone_asks(board: FirmwareBoard, chance: Random) -> None:
    board.driver.open()
    whole = board.generate("One day", 16)
    board.send_to_board(chance.randbytes(NOISE_BYTES) + b"\x00")
    assert board.generate("One day", 16).tokens == whole.tokens


# What it cannot make good


def test_tokens_that_never_arrive_are_missed(board: FirmwareBoard) -> None:
    board.faults.to_agent = lambda part: lose(part) if Spoil(Tokens, lose)(part) == b"" else as_it_is(part)
    result = board.measure()
    assert result.verdict == "invalid"
    assert "missing tokens: 16" in result.reasons
    board.faults.to_agent = as_it_is
    assert_whole(board.measure())


def test_a_board_that_babbles_at_full_speed_in_a_run(board: FirmwareBoard, chance: Random) -> None:
    noise = chance.randbytes(64 * 1024)
    board.faults.heard = lambda message: setattr(board.faults, "babble", noise) if isinstance(message, End) else None
    began = time.monotonic()
    result = board.measure()
    assert time.monotonic() - began < 60
    assert result.verdict == "invalid"
    assert result.reasons[0].startswith("silent: the board babbles: ")
    board.faults.heard, board.faults.babble = lambda message: None, b""
    assert_whole(board.measure())


def test_a_line_that_stalls_in_a_run_and_then_says_it_all(board: FirmwareBoard) -> None:
    """What comes late belongs to a run that is over, and is taken for no other's."""
    board.driver.open()
    whole = board.generate("One day", 16)
    board.faults.heard = lambda message: board.faults.flows.clear() if isinstance(message, Start) else None
    with pytest.raises(BoardError) as caught:
        board.generate("The little dog", 100, timeout_s=1.5)
    assert caught.value.code == "timeout"
    board.faults.heard = lambda message: None
    board.faults.flows.set()
    assert board.generate("One day", 16).tokens == whole.tokens
    assert board.counted("strangers") > 0


def test_a_version_of_the_link_that_the_board_does_not_speak(board: FirmwareBoard) -> None:
    later = speaking_of(lambda said: structs.replace(said, low=2, high=9) if isinstance(said, AskHello) else None)
    board.faults.to_board = later
    with pytest.raises(BoardError, match=r"^the board speaks another version of the link$") as caught:
        board.driver.open()
    assert caught.value.code == "version"
    board.faults.to_board = as_it_is
    assert_whole(board.measure())


def test_a_prompt_that_the_board_has_no_memory_for(board: FirmwareBoard) -> None:
    board.driver.open()
    with pytest.raises(BoardError, match=r"^the board says too_long$") as caught:
        board.generate("dog " * 300, 4)
    assert caught.value.code == "refused"
    assert len(board.generate("One day", 16).tokens) == 16
