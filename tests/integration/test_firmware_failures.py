"""The real firmware where it hangs, faults or starts anew, and where its counter wraps: what the agent makes of it."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from firmware_boards import LONG, QEMU, FirmwareBoard, assert_whole, names_in
from line_with_faults import Spoil, as_it_is, lose, message_in
from msgspec import structs

from tinyprof_agent.boards import BoardConfig
from tinyprof_agent.breaker import BreakerPolicy
from tinyprof_agent.drivers.driver import BoardError
from tinyprof_agent.drivers.probe.messages import End, Hello, Resend, Start, Stats, Tokens
from tinyprof_agent.worker import BoardWorker, WorkerSurroundings
from tinyprof_platforms.suites import Suite
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.records import Body, Event, Result

PATIENCE_S = 120
MakeBoard = Callable[..., FirmwareBoard]


def test_a_reset_in_a_run(board: FirmwareBoard) -> None:
    whole = board.measure()
    over: list[int] = []

    def reset(message: object) -> None:
        if isinstance(message, Start) and not over:
            over.append(message.run)
            board.start_anew() if board.kind == QEMU else os.kill(board.driver.emulator_pid or 0, signal.SIGKILL)

    board.faults.heard = reset
    # As a Linux process it is done with any run before the signal comes: that one stands still.
    result = board.measure(LONG if board.kind == QEMU else structs.replace(LONG, prompts=("!hang",)))
    assert over
    assert result.verdict == "invalid"
    why = "reset: the board started anew" if board.kind == QEMU else "lost: the emulator ended (exit code -9)"
    assert result.reasons[0].startswith(why)
    assert result.figures.keys() <= {"flash_bytes"}
    after = board.measure()
    assert_whole(after)
    assert after.output == whole.output


# A board that fails, as an agent's worker meets it


class Diary:
    """What a worker recorded and told."""

    def __init__(self) -> None:
        self.bodies: list[Body] = []
        self.results: list[Result] = []
        self._changed = threading.Condition()

    def record(self, bodies: Sequence[Body], *, durable: bool = True) -> None:
        with self._changed:
            self.bodies += bodies
            self._changed.notify_all()

    def on_job(self, state: str, job: Job, message: str, result: Result | None) -> None:
        with self._changed:
            self.results += [] if result is None else [result]
            self._changed.notify_all()

    def await_results(self, count: int) -> Result:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.results) >= count, PATIENCE_S), self.bodies
            return self.results[count - 1]

    def events(self, name: str) -> list[str]:
        return [body.message for body in self.bodies if isinstance(body, Event) and body.name == name]


@pytest.fixture
def working() -> Iterator[Callable[[FirmwareBoard], tuple[Callable[[str], Result], Diary]]]:
    """Puts a worker in charge of a board: a function that lets it measure a prompt, and its diary."""
    workers: list[BoardWorker] = []

    def begin(board: FirmwareBoard) -> tuple[Callable[[str], Result], Diary]:
        diary, ids = Diary(), iter(range(1, 1000))
        around = WorkerSurroundings(
            node="site.agent",
            recorder=diary,
            clock_ns=time.monotonic_ns,
            rng=Random(1),
            new_run_id=lambda: next(ids).to_bytes(16),
            on_job=diary.on_job,
            breaker=BreakerPolicy(retry_s=0.01),
        )
        suites = {"emulated": Suite(prompts=("One day",), max_tokens=16, min_timed_s=0, max_timed_s=3)}
        config = BoardConfig(board.kind, "emulated", every_s=0, sample_every_s=0)
        workers.append(BoardWorker(config, board.driver, suites, threading.Lock(), around))
        workers[-1].start()

        def measure(prompt: str) -> Result:
            number = next(ids)
            job = Job(number.to_bytes(16), "site.agent", board.kind, 0, "emulated", [prompt])
            before = len(diary.results)
            workers[-1].submit(job)
            return diary.await_results(before + 1)

        return measure, diary

    yield begin
    for worker in workers:
        assert worker.stop(0.0, PATIENCE_S)


def test_a_board_that_hangs_is_reset_and_goes_on(board: FirmwareBoard, working: Any) -> None:
    measure, diary = working(board)
    whole = measure("One day")
    first = board.driver.emulator_pid
    hung = measure("!hang")
    assert (hung.verdict, hung.reasons[0]) == ("invalid", "timeout: the run did not end within 3 s; 0 tokens came")
    after = measure("One day")
    assert_whole(after)
    assert after.output == whole.output
    assert board.driver.emulator_pid not in (None, first)
    assert diary.events("board_reset") == ["reset because of timeout: the run did not end within 3 s; 0 tokens came"]


FAULTS = {
    "!fault": r"undefined instruction, pc (0x080\w+), lr 0x\w+, cause 0x00010000",
    "!overflow": r"stack overflow, pc 0x00000000, lr 0x00000000, cause 0x\w+, address 0x1fff",
}


@pytest.mark.parametrize("prompt", FAULTS)
def test_a_fault_is_told_with_its_place_and_its_cause(prompt: str, qemu: FirmwareBoard, working: Any) -> None:
    measure, diary = working(qemu)
    whole = measure("One day")
    qemu.faults.bytes_s = 4000  # so slow that the report comes well behind the hello that tells of the reset
    failed = measure(prompt)
    expected = f"the board started anew in the middle of a run; its log ends: reset by a fault: {FAULTS[prompt]}"
    found = re.match(f"reset: {expected}", failed.reasons[0])
    assert failed.verdict == "invalid"
    assert found, failed.reasons
    (event,) = diary.events("board_reset")
    assert re.match(f"the board reset itself: {expected}", event)
    if prompt == "!fault":
        assert names_in(qemu.image, [int(found[1], 16)])[0] in ("fault_if_told", "generate")
    after = measure("One day")
    assert_whole(after)
    assert after.output == whole.output


def unasked(hello: Hello) -> bool:
    """Whether it is what a board says when it has started."""
    return hello.nonce == 0


def test_a_reset_whose_hello_is_lost_is_known_all_the_same(qemu: FirmwareBoard) -> None:
    """By the run that the board knows no more of; and the report of the fault is not lost with it."""
    hello = Spoil(Hello, lose, wanted=unasked)
    qemu.driver.open()
    qemu.faults.to_agent = hello
    with pytest.raises(BoardError, match=r"no longer knows of the run.*reset by a fault: undefined") as caught:
        qemu.generate("!fault", 4)
    assert (caught.value.code, hello.left) == ("reset", 0)


def test_a_reset_after_the_run_and_before_its_tokens_were_sent_again(qemu: FirmwareBoard) -> None:
    qemu.driver.open()
    tokens, hello, started = Spoil(Tokens, lose), Spoil(Hello, lose, wanted=unasked), threading.Event()

    def reset_at_end(message: object) -> None:
        if isinstance(message, End):
            qemu.start_anew()
        elif isinstance(message, Hello) and unasked(message):
            started.set()

    def after_the_start(part: bytes) -> bytes:
        assert started.wait(PATIENCE_S)
        return as_it_is(part)

    qemu.faults.heard, qemu.faults.to_agent = reset_at_end, lambda part: tokens(part) and hello(part)
    qemu.faults.to_board = lambda part: (
        after_the_start(part) if isinstance(message_in(part), Resend) else as_it_is(part)
    )
    with pytest.raises(BoardError, match="no longer knows of the run") as caught:
        qemu.generate("One day", 16)
    assert (caught.value.code, hello.left) == ("reset", 0)


# A counter that wraps


def gaps_of(board: FirmwareBoard, prompt: str, tokens: int) -> list[int]:
    """Nanoseconds from the whole prompt to each token."""
    made = board.generate(prompt, tokens)
    return [stamp - made.t0_ns for stamp in made.token_ns]


def test_a_narrow_counter_wraps_several_times_in_a_run(make_board: MakeBoard, qemu: FirmwareBoard) -> None:
    """The same firmware with 24 bits of its counter, a tenth of a second; two stamps in a row are lost."""
    narrow = make_board(QEMU, variant="24bit", defines="-DCOUNTER_BITS=24")
    for one in (qemu, narrow):
        one.driver.open()
    stamps = Spoil(Stats, as_it_is, lose, lose)
    narrow.faults.to_agent = stamps
    wide, folded = (gaps_of(one, "One day", 64) for one in (qemu, narrow))
    wrap_ns = 2**24 * 10**9 // 168_000_000
    assert wide[-1] > 4 * wrap_ns
    assert stamps.left == 0
    assert len(folded) == len(wide) == 64
    assert max(abs(a - b) / b for a, b in zip(folded, wide, strict=True)) < 5e-3


def test_the_counter_of_the_chip_wraps_in_a_run(make_board: MakeBoard) -> None:
    """32 bits at 168 MHz are 25.6 s; a loop of known instructions brings the counter close to its end."""
    board = make_board(QEMU, answer_s=60.0)
    board.driver.open()
    before = gaps_of(board, "One day", 100)
    wrap_ns = 2**32 * 10**9 // 168_000_000
    now_ns = board.driver.round_trip().board_ns % wrap_ns
    board.driver.known_loop((wrap_ns - now_ns - before[-1] // 2) // 8)
    made = board.generate("One day", 100)
    assert made.t0_ns % wrap_ns > made.token_ns[-1] % wrap_ns, "the counter did not wrap in this run"
    after = [stamp - made.t0_ns for stamp in made.token_ns]
    assert max(abs(a - b) / b for a, b in zip(after, before, strict=True)) < 1e-3
