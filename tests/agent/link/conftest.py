"""A soft board in this very thread, at the end of a line in memory, with a clock that only goes when it is told."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from tinyprof_agent.drivers.probe.board_driver import ProbeDriver
from tinyprof_agent.drivers.probe.messages import Firmware, Limits, Model
from tinyprof_agent.drivers.probe.options import Options
from tinyprof_agent.soft_board.board import FaultHappened, SoftBoard
from tinyprof_agent.soft_board.facts import Counter, Facts, PromptTooLong
from tinyprof_agent.soft_board.faults import FaultName, Faults
from tinyprof_agent.soft_board.outgoing import Outgoing

MS = 10**6
LIMITS = Limits(tick_hz=10**9, tick_bits=64, rx_max=512, token_max=4096)


@dataclass
class HandClock:
    """Nanoseconds that pass when someone says so."""

    now_ns: int = 10**12

    def __call__(self) -> int:
        return self.now_ns

    def pass_ms(self, ms: float) -> None:
        self.now_ns += int(ms * MS)


@dataclass
class CountingModel:
    """A model that says 100, 101, 102 … and ends at `eos`; each token takes `token_ms` of the clock."""

    clock: HandClock
    token_ms: Callable[[int], float]
    eos: int = 2
    stop_after: int = 10**9
    on_token: Callable[[int], None] = lambda index: None
    prompts: list[str] = field(default_factory=list)
    firmware = Firmware("counting", "1", b"\x01\x02", "counting-engine", "none")
    model = Model("counting", bytes(32), "F32", "f32", 256, "float32")

    def encode(self, prompt: str) -> list[int]:
        if len(prompt) > 2000:
            raise PromptTooLong("the prompt leaves no room")
        self.prompts.append(prompt)
        return [1, *prompt.encode()]

    def greedy(self, prompt_tokens: Sequence[int], max_tokens: int) -> Iterator[int]:
        for index in range(max_tokens):
            self.clock.pass_ms(self.token_ms(index))
            self.on_token(index)
            if index == self.stop_after:
                yield self.eos
                return
            yield 100 + index

    def text(self, tokens: Sequence[int]) -> bytes:
        return b"".join(b"<%d>" % token for token in tokens)


class MemoryLine:
    """Both ends of a line. The board runs ahead, and what it writes reaches the host when the host's clock gets there.

    What the host writes in the middle of a run is therefore read after it, unless a test puts it there earlier.
    """

    def __init__(self, host: HandClock, at_board: HandClock) -> None:
        self._host = host
        self._at_board = at_board
        self.to_board = bytearray()
        self.to_host: list[tuple[int, bytes]] = []
        self.board: SoftBoard | None = None
        self.hangs = False
        self.spoil_to_board: Callable[[bytes], bytes] = lambda data: data
        self.spoil_to_host: Callable[[bytes], bytes] = lambda data: data
        self.closed = 0

    def board_reads(self) -> bytes:
        data = bytes(self.to_board)
        self.to_board.clear()
        return data

    def board_writes(self, data: bytes) -> None:
        self.to_host.append((self._at_board.now_ns, self.spoil_to_host(data)))

    def read(self, timeout_s: float) -> bytes:
        self._at_board.now_ns = max(self._at_board.now_ns, self._host.now_ns)
        self._let_board_attend()
        until_ns = self._host.now_ns + max(int(timeout_s * 1e9), MS)
        if not self.to_host or self.to_host[0][0] > until_ns:
            self._host.now_ns = until_ns
            return b""
        written_ns, data = self.to_host.pop(0)
        self._host.now_ns = max(self._host.now_ns, written_ns)
        return data

    def _let_board_attend(self) -> None:
        if self.board is None or self.hangs:
            return
        try:
            self.board.attend()
        except FaultHappened as fault:
            self.hangs = fault.name == "hang"
            if not self.hangs:
                self.board.restart()

    def write(self, data: bytes) -> None:
        self.to_board += self.spoil_to_board(data)

    def drain(self) -> None:
        self.to_host.clear()

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        if rts and self.board is not None:
            self.hangs = False
            self.to_board.clear()
            self.board.restart()

    def close(self) -> None:
        self.closed += 1


@dataclass
class Bench:
    """A driver and a board on one line."""

    clock: HandClock
    line: MemoryLine
    model: CountingModel
    driver: ProbeDriver


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench() -> MakeBench:
    """Makes a bench; `faults`, `limits` and options may be given."""

    def make(
        faults: dict[FaultName, int] | None = None,
        limits: Limits = LIMITS,
        token_ms: Callable[[int], float] = lambda index: 1.0,
        **options: object,
    ) -> Bench:
        clock, at_board = HandClock(), HandClock()
        line = MemoryLine(clock, at_board)
        model = CountingModel(at_board, token_ms)
        left = Faults(faults)
        facts = Facts(model.firmware, model.model, limits, "serial-7")
        boots = iter(range(1, 1000))
        line.board = SoftBoard(
            facts,
            model,
            Counter(limits.tick_hz, limits.tick_bits, at_board),
            Outgoing(line.board_writes, left, random.Random(1)),
            line.board_reads,
            left,
            lambda: next(boots),
        )
        settings = Options(port="memory", **options)  # type: ignore[arg-type]
        return Bench(clock, line, model, ProbeDriver("bench", settings, clock, lambda path, baud: line))

    return make
