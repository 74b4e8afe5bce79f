"""The exchanges alone: messages and time in, messages out."""

import pytest

from tinyprof_agent.drivers.driver import BoardError, LinkCounters
from tinyprof_agent.drivers.probe.asking import Asking
from tinyprof_agent.drivers.probe.collected import Collected, ids_crc
from tinyprof_agent.drivers.probe.exchange import MS, QUIET_NS, Patience
from tinyprof_agent.drivers.probe.messages import (
    IDLE,
    RUNNING,
    Abort,
    AskHello,
    AskStats,
    End,
    Fault,
    Firmware,
    Hello,
    Limits,
    Machine,
    Model,
    Resend,
    Run,
    Start,
    Stats,
    Tokens,
    encode_message,
)
from tinyprof_agent.drivers.probe.opening import MAX_QUESTIONS, Opening
from tinyprof_agent.drivers.probe.running import Running, RunRequest, pieces_of
from tinyprof_agent.drivers.probe.tick_clock import NS, TickClock

PATIENCE = Patience(answer_ns=500 * MS, tries=3)
BOOT = 77


def hello(nonce: int, boot: int = BOOT, protocol: int = 1) -> Hello:
    return Hello(
        nonce,
        protocol,
        boot,
        Firmware("f", "1", b"", "e", "b"),
        Machine("p", None, 0, 0, 0, 0, 0),
        Limits(NS, 32, 64, 64),
        Model("m", bytes(32), "q", "f32", 1, "a"),
    )


class Counting:
    """Ids 1, 2, 3 …"""

    def __init__(self) -> None:
        self.last = 0

    def __call__(self) -> int:
        self.last += 1
        return self.last


def running(max_tokens: int = 8, prompt: bytes = b"hi", *, tick_bits: int = 32) -> Running:
    request = RunRequest(5, prompt, max_tokens, False, BOOT, 64, 60 * NS, 10 * NS)
    return Running(request, TickClock(NS, tick_bits), PATIENCE, LinkCounters())


def group(first: int, ids: list[int], start: int = 1000) -> Tokens:
    return Tokens(5, first, ids, [start] + [10] * (len(ids) - 1), b"".join(b"<%d>" % one for one in ids))


def end(ids: list[int], reason: int = 1) -> End:
    return End(5, reason, 3, len(ids), 900, 2000, 4096, None, None, ids_crc(ids))


def code_of(error: pytest.ExceptionInfo[BoardError]) -> str:
    return error.value.code


# Opening


def test_opening_takes_the_answer_to_its_own_question_only() -> None:
    opening = Opening(Counting(), PATIENCE, 5 * NS)
    assert opening.begin(0) == [AskHello(1, 1, 1)]
    opening.on_message(hello(99), 0)
    opening.on_message(Tokens(3, 0, [1], [1], b""), 0)
    assert not opening.done
    assert opening.on_time(500 * MS) == [AskHello(2, 1, 1)]
    opening.on_message(hello(1), 0)
    assert opening.done
    assert opening.hello == hello(1)


def test_a_board_that_has_just_started_is_asked_at_once_but_not_for_ever() -> None:
    opening = Opening(Counting(), PATIENCE, 5 * NS)
    opening.begin(0)
    asked = sum(len(opening.on_message(hello(0), 1)) for _ in range(1000))
    assert asked == MAX_QUESTIONS - 1


def test_a_silent_line_ends_in_time() -> None:
    opening = Opening(Counting(), PATIENCE, 2 * NS)
    opening.begin(0)
    with pytest.raises(BoardError, match="no answer in 2 s") as error:
        opening.on_time(2 * NS)
    assert code_of(error) == "silent"


def test_a_board_of_another_version_is_refused() -> None:
    for message in (Fault(0, "version", "speaks 2"), hello(1, protocol=2)):
        opening = Opening(Counting(), PATIENCE, NS)
        opening.begin(0)
        with pytest.raises(BoardError) as error:
            opening.on_message(message, 1)
        assert code_of(error) == "version"


# Asking


def test_a_late_answer_to_a_lost_question_is_not_the_round_trip() -> None:
    asking = Asking(Counting(), PATIENCE)
    assert asking.begin(100) == [AskStats(1)]
    assert asking.on_time(100 + 500 * MS) == [AskStats(2)]
    asking.on_message(Stats(1, 7, IDLE, 0, 0, 0), 600 * MS)
    assert not asking.done
    asking.on_message(Stats(2, 8, IDLE, 0, 0, 0), 601 * MS)
    assert asking.done
    assert (asking.sent_ns, asking.received_ns) == (100 + 500 * MS, 601 * MS)


def test_asking_gives_up_and_tells_a_reset() -> None:
    asking = Asking(Counting(), PATIENCE)
    asking.begin(0)
    asking.on_time(500 * MS)
    asking.on_time(1000 * MS)
    with pytest.raises(BoardError, match="asked 3 times") as error:
        asking.on_time(1500 * MS)
    assert code_of(error) == "silent"
    with pytest.raises(BoardError) as error:
        asking.on_message(hello(0), 0)
    assert code_of(error) == "reset"


# Running: the prompt


def test_pieces_fit_into_what_the_board_takes() -> None:
    prompt = bytes(range(256)) * 4
    pieces = pieces_of(prompt, 64)
    assert b"".join(pieces) == prompt
    longest = max(len(encode_message(Run(2**32 - 1, 65535, 65535, 65535, 1, piece))) for piece in pieces)
    assert longest <= 64
    assert pieces_of(b"", 64) == [b""]


def test_one_piece_at_a_time_each_after_its_acknowledgement() -> None:
    run = running(prompt=bytes(100))
    (first,) = run.begin(0)
    assert isinstance(first, Run)
    assert (first.piece, first.pieces, len(first.prompt)) == (0, 3, 40)
    (second,) = run.on_message(Start(5, 1, 10), 1)
    assert run.on_message(Start(5, 1, 10), 1) == []
    assert run.on_time(500 * MS + 1) == [second]
    (third,) = run.on_message(Start(5, 2, 10), 600 * MS)
    assert isinstance(third, Run)
    assert third.piece == 2
    assert run.on_message(Start(5, 3, 10), 600 * MS) == []


def test_a_piece_that_is_never_acknowledged_is_a_silent_board() -> None:
    run = running()
    sent = len(run.begin(0))
    sent += len(run.on_time(500 * MS)) + len(run.on_time(1000 * MS))
    assert sent == 3
    with pytest.raises(BoardError, match="piece 1 of 1") as error:
        run.on_time(1500 * MS)
    assert code_of(error) == "silent"


# Running: tokens


def test_a_whole_run_gives_its_generation() -> None:
    run = running()
    run.begin(0)
    run.on_message(Start(5, 1, 890), 1)
    run.on_message(group(0, [403, 407]), 2)
    run.on_message(group(2, [2], 1050), 3)
    assert run.on_message(end([403, 407, 2], reason=0), 4) == []
    assert run.done
    made = run.generation()
    assert (made.tokens, made.t0_ns, made.token_ns) == ([403, 407, 2], 900, [1000, 1010, 1050])
    assert (made.text, made.stopped, made.prompt_tokens) == (b"<403><407><2>", "eos", 3)
    assert (made.missing_tokens, made.ram_peak_bytes, made.heap_peak_bytes) == (0, 4096, None)


def test_a_lost_start_does_no_harm() -> None:
    run = running()
    run.begin(0)
    run.on_message(group(0, [403]), 2)
    run.on_message(end([403]), 4)
    assert run.generation().token_ns == [1000]


def test_lost_groups_are_asked_for_exactly() -> None:
    run = running()
    ids = [10, 11, 12, 13, 14, 15]
    run.begin(0)
    run.on_message(Start(5, 1, 890), 1)
    run.on_message(group(2, ids[2:4]), 2)
    assert run.on_message(end(ids), 3) == [Resend(5, 0, 2)]
    run.on_message(group(0, ids[:2]), 4)
    assert run.on_message(end(ids), 5) == [Resend(5, 4, 2)]
    run.on_message(group(4, ids[4:]), 6)
    run.on_message(end(ids), 7)
    assert run.generation().tokens == ids
    assert run.generation().text == b"".join(b"<%d>" % one for one in ids)


def test_each_gap_that_is_filled_gives_new_tries() -> None:
    run = running(max_tokens=12)
    ids = list(range(10, 22))
    run.begin(0)
    run.on_message(Start(5, 1, 890), 1)
    for index in range(1, 12, 2):
        run.on_message(group(index, [ids[index]], 1000 + index), 2)
    asked = run.on_message(end(ids), 3)
    while asked:
        (resend,) = asked
        assert isinstance(resend, Resend)
        assert resend.count == 1
        run.on_message(group(resend.first, [ids[resend.first]], 1000 + resend.first), 4)
        asked = run.on_message(end(ids), 5)
    assert (run.generation().tokens, run.generation().missing_tokens) == (ids, 0)


def test_what_stays_lost_is_missing_and_not_waited_for_without_end() -> None:
    run = running()
    ids = [10, 11, 12]
    run.begin(0)
    run.on_message(Start(5, 1, 890), 1)
    run.on_message(group(0, ids[:1]), 2)
    asked, now = len(run.on_message(end(ids), 3)), 3
    while not run.done:
        now += 500 * MS
        asked += len(run.on_time(now))
    assert asked == PATIENCE.tries
    assert (run.generation().tokens, run.generation().missing_tokens) == ([10], 2)


def test_ids_that_belie_their_crc_are_asked_for_again_and_never_believed() -> None:
    run = running()
    run.begin(0)
    run.on_message(Start(5, 1, 890), 1)
    run.on_message(group(0, [10, 99]), 2)
    assert run.on_message(end([10, 11]), 3) == [Resend(5, 0, 2)]
    rounds = 0
    while not run.done:
        rounds += 1
        run.on_message(group(0, [10, 99]), 4)
        run.on_message(end([10, 11]), 5)
        assert rounds < 10
    assert (run.generation().tokens, run.generation().missing_tokens) == ([], 2)


def test_a_lost_end_is_found_by_asking() -> None:
    run = running()
    run.begin(0)
    run.on_message(Start(5, 1, 890), 1)
    run.on_message(group(0, [10]), 2)
    assert run.on_time(500 * MS + 2) == [AskStats(5)]
    assert run.on_message(Stats(5, 3000, IDLE, 5, 1, 0), 501 * MS) == [Resend(5, 0, 0)]
    run.on_message(end([10]), 502 * MS)
    assert run.done


def test_strangers_are_dropped_and_counted() -> None:
    counters = LinkCounters()
    run = Running(RunRequest(5, b"hi", 8, False, BOOT, 64, NS, NS), TickClock(NS, 32), PATIENCE, counters)
    run.begin(0)
    for stranger in (Start(4, 1, 0), Tokens(4, 0, [1], [1], b""), end([])):
        if isinstance(stranger, End):
            stranger = End(4, 1, 1, 0, 0, 0, None, None, None, 0)
        run.on_message(stranger, 1)
    run.on_message(Fault(4, "internal", ""), 1)
    assert counters.counts["strangers"] == 4
    assert not run.done


def test_a_group_beyond_what_was_asked_for_is_not_kept() -> None:
    collected = Collected(4)
    assert not collected.add(group(3, [1, 2]), 1 << 32)
    assert collected.ids() == []


@pytest.mark.parametrize("message", [hello(0), hello(9, boot=BOOT + 1)], ids=["unasked", "another-boot"])
def test_a_hello_in_the_middle_of_a_run_is_a_reset(message: Hello) -> None:
    run = running()
    run.begin(0)
    run.on_message(Start(5, 1, 0), 1)
    with pytest.raises(BoardError) as error:
        run.on_message(message, 2)
    assert code_of(error) == "reset"


def test_a_late_answer_to_opening_is_no_reset() -> None:
    run = running()
    run.begin(0)
    assert run.on_message(hello(9), 2) == []


def test_a_board_that_no_longer_knows_of_the_run_was_reset() -> None:
    run = running()
    run.begin(0)
    run.on_message(Start(5, 1, 0), 1)
    assert run.on_time(QUIET_NS + 1) == [AskStats(5)]
    with pytest.raises(BoardError) as error:
        run.on_message(Stats(5, 3000, IDLE, 0, 0, 0), QUIET_NS + 2)
    assert code_of(error) == "reset"


@pytest.mark.parametrize(
    ("fault", "code"),
    [("too_long", "refused"), ("busy", "refused"), ("bad_request", "refused"), ("memory", "fault")],
)
def test_faults_have_codes_of_ours(fault: str, code: str) -> None:
    run = running()
    run.begin(0)
    with pytest.raises(BoardError, match="why\\?") as error:
        run.on_message(Fault(5, fault, "why?\n"), 2)
    assert code_of(error) == code
    assert "\n" not in str(error.value)


def test_a_board_that_cannot_send_again_what_it_made_was_reset() -> None:
    run = running()
    run.begin(0)
    assert run.on_message(end([1, 2]), 2) == [Resend(5, 0, 2)]
    with pytest.raises(BoardError, match="no longer knows of the run") as error:
        run.on_message(Fault(5, "no_run", ""), 3)
    assert code_of(error) == "reset"


def test_more_tokens_than_asked_for_are_a_fault() -> None:
    run = running(max_tokens=1)
    run.begin(0)
    with pytest.raises(BoardError) as error:
        run.on_message(end([1, 2]), 2)
    assert code_of(error) == "fault"


def test_a_run_that_does_not_end_times_out_and_one_that_does_not_stop_too() -> None:
    run = running()
    run.begin(0)
    with pytest.raises(BoardError, match="did not end within 60 s") as error:
        run.on_time(60 * NS)
    assert code_of(error) == "timeout"
    run = running()
    run.begin(0)
    assert run.stop(NS) == [Abort(5)]
    assert run.on_time(NS + 500 * MS) == [Abort(5)]
    with pytest.raises(BoardError, match="did not stop within 10 s") as error:
        run.on_time(11 * NS)
    assert code_of(error) == "timeout"


def test_a_stopped_run_is_done_at_its_end_whatever_is_missing() -> None:
    run = running()
    run.begin(0)
    run.on_message(Start(5, 1, 0), 1)
    run.stop(2)
    run.on_message(end([1, 2, 3], reason=2), 3)
    assert run.done
    assert run.stopped_early


def test_stamps_in_a_run_tell_of_wraps_between_tokens() -> None:
    run = running(tick_bits=8)
    run.begin(0)
    run.on_message(Start(5, 1, 250), 1)
    run.on_message(Stats(0, 100, RUNNING, 5, 0, 0), 300)
    run.on_message(Stats(0, 50, RUNNING, 5, 0, 0), 500)
    run.on_message(Tokens(5, 0, [1, 2], [60, 4], b""), 520)
    run.on_message(End(5, 1, 1, 2, 252, 70, None, None, None, ids_crc([1, 2])), 530)
    made = run.generation()
    # From 252: 104 on to 100, 206 on to 50, 10 on to 60.
    assert made.token_ns[0] - made.t0_ns == 104 + 206 + 10
    assert made.token_ns[1] - made.token_ns[0] == 4


def test_the_clock_goes_on_from_a_runs_end_by_the_boards_own_stamps_alone() -> None:
    clock = TickClock(NS, 8)
    run = Running(RunRequest(5, b"", 8, False, BOOT, 64, NS, NS), clock, PATIENCE, LinkCounters())
    run.begin(0)
    run.on_message(Start(5, 1, 10), 0)
    # By the host's clock all of it takes half as long as by the board's.
    ticks = 10
    for _ in range(20):
        ticks += 200
        run.on_message(Stats(0, ticks % 256, RUNNING, 5, 0, 0), ticks // 2)
    run.on_message(group(0, [1], (ticks + 50) % 256), ticks // 2 + 30)
    run.on_message(End(5, 1, 1, 1, 12, (ticks + 55) % 256, None, None, None, ids_crc([1])), ticks // 2 + 30)
    assert run.generation().token_ns == [ticks + 50]
    assert clock.at((ticks + 70) % 256, ticks // 2 + 35) == ticks + 70
