"""A board made of the C probe and a toy model, in this thread, and the line from it to the agent's driver."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tinyprof_agent.drivers.probe.board_driver import ProbeDriver
from tinyprof_agent.drivers.probe.options import Options

MS = 10**6
EOS = 2
SIZE = ctypes.c_size_t
WRITE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), SIZE)
TICKS = ctypes.CFUNCTYPE(ctypes.c_uint64)
GENERATE = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint8), SIZE, ctypes.c_uint32)
TEXT = ctypes.CFUNCTYPE(SIZE, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint8))
LOOP = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
UNKNOWN = 2**64 - 1


@dataclass
class HandClock:
    """Nanoseconds that pass when someone says so."""

    now_ns: int = 10**12

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Settings:
    """What a board is and does. `on_token` is told each token's index before it is made, `token_ms` says its time."""

    tick_bits: int = 32
    tick_hz: int = 10**9
    rx_max: int = 256
    token_max: int = 4096
    ring_bytes: int = 1024
    boot: int = 77
    identity: bytes | None = b"serial-7"
    platform: bytes = b"host"
    build_id: bytes = b"\x01\x02"
    sizes: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    token_ms: Callable[[int], float] = lambda index: 1.0
    on_token: Callable[[int], None] = lambda index: None
    id_of: Callable[[int], int] = lambda index: 100 + index
    text: Callable[[int], bytes] | None = lambda token: b"<%d>" % token
    loop: Callable[[int], int] | None = None
    stop_after: int = 10**9
    peaks: tuple[int, int, int] = (1000, UNKNOWN, 300)
    fault: tuple[bytes, bytes] | None = None


class CBoard:
    """The C probe with a toy model. There is one in a process at a time: the shim's memory is static."""

    def __init__(self, library: Any, settings: Settings, clock: HandClock, write: Callable[[bytes], None]) -> None:
        self.settings = settings
        self.arriving: Callable[[], bytes] = bytes
        self.prompts: list[bytes] = []
        self.stopped_at: list[int] = []
        self._library = library
        self._clock = clock
        self._dead = False
        self._write = write
        self._functions = (
            WRITE(self._on_write),
            TICKS(self._ticks),
            GENERATE(self._generate),
            TEXT(self._text) if settings.text else TEXT(),
            LOOP(settings.loop) if settings.loop else LOOP(),
        )

    def restart(self) -> None:
        """Starts, or starts anew as a reset does."""
        kept = self.settings
        self._dead = False
        self._library.shim_functions(*self._functions)
        self._library.shim_describe(kept.identity, kept.platform, kept.build_id, SIZE(len(kept.build_id)))
        self._library.shim_sizes(*map(ctypes.c_uint64, kept.sizes[:4]), kept.sizes[4])
        hz, rx_max, token_max = ctypes.c_uint64(kept.tick_hz), SIZE(kept.rx_max), SIZE(kept.token_max)
        done = self._library.shim_start(kept.boot, hz, kept.tick_bits, rx_max, token_max, SIZE(kept.ring_bytes))
        if done:
            raise ValueError("tp_init refuses this configuration")
        kept.boot += 1

    def attend(self) -> None:
        """Takes what has come and deals with it, as a main loop does."""
        while data := self.arriving():
            self.receive(data)
            self._library.shim_poll()
            if self._dead:
                self.restart()

    def receive(self, data: bytes) -> None:
        """Puts bytes into the ring, as an interrupt does."""
        self._library.shim_receive(data, SIZE(len(data)))

    def log(self, level: int, line: bytes) -> None:
        self._library.shim_log(level, line)

    def die(self) -> None:
        """A reset in the middle of whatever the board is doing: nothing more of it is heard."""
        self._dead = True

    def _on_write(self, data: Any, count: int) -> None:
        if not self._dead:
            self._write(ctypes.string_at(data, count))

    def _ticks(self) -> int:
        return self._clock.now_ns * self.settings.tick_hz // 10**9 % 2**64

    def _generate(self, prompt: Any, count: int, max_tokens: int) -> None:
        kept = self.settings
        self.prompts.append(ctypes.string_at(prompt, count))
        made, ended = 0, False
        while not ended:
            self._clock.now_ns += int(kept.token_ms(made) * MS)
            kept.on_token(made)
            if self._dead:
                return
            self.receive(self.arriving())
            ended = made == kept.stop_after
            stop = self._library.shim_token(EOS if ended else kept.id_of(made))
            made += 1
            if stop:
                break
        self.stopped_at.append(made)
        code, line = kept.fault or (None, None)
        marks = map(ctypes.c_uint64, kept.peaks)
        self._library.shim_outcome(1 + count, int(ended), *marks, code, line)

    def _text(self, token: int, room: Any) -> int:
        assert self.settings.text is not None
        said = self.settings.text(token)
        ctypes.memmove(room, said, len(said))
        return len(said)


class Line:
    """Both ends of a line in memory. The board runs ahead; what it writes reaches the host at its own time."""

    def __init__(self, host: HandClock, at_board: HandClock) -> None:
        self._host, self._at_board = host, at_board
        self._to_board = bytearray()
        self.to_host: list[tuple[int, bytes]] = []
        self.board: CBoard | None = None
        self.frame = bytearray()
        self.spoil_to_host: Callable[[bytes], bytes] = lambda data: data
        self.spoil_to_board: Callable[[bytes], bytes] = lambda data: data

    def board_reads(self) -> bytes:
        data = bytes(self._to_board)
        self._to_board.clear()
        return data

    def board_writes(self, data: bytes) -> None:
        """Gathers the pieces of a frame, so that a test can spoil whole ones."""
        self.frame += data
        if data.endswith(b"\x00") and len(self.frame) > 1:
            self.to_host.append((self._at_board.now_ns, bytes(self.frame)))
            self.frame.clear()

    def read(self, timeout_s: float) -> bytes:
        assert self.board is not None
        self._at_board.now_ns = max(self._at_board.now_ns, self._host.now_ns)
        self.board.attend()
        until_ns = self._host.now_ns + max(int(timeout_s * 1e9), MS)
        if not self.to_host or self.to_host[0][0] > until_ns:
            self._host.now_ns = until_ns
            return b""
        written_ns, data = self.to_host.pop(0)
        self._host.now_ns = max(self._host.now_ns, written_ns)
        return self.spoil_to_host(data)

    def write(self, data: bytes) -> None:
        self._to_board += self.spoil_to_board(data)

    def drain(self) -> None:
        self.to_host.clear()

    def set_lines(self, *, dtr: bool, rts: bool) -> None:
        if rts and self.board is not None:
            self._to_board.clear()
            self.board.restart()

    def close(self) -> None:
        return


@dataclass
class Bench:
    """A driver and a board on one line."""

    clock: HandClock
    line: Line
    board: CBoard
    driver: ProbeDriver
    said: list[bytes] = field(default_factory=list)


def make_bench(library: Any, options: dict[str, Any] | None = None, **settings: Any) -> Bench:
    """A started board and a driver that is not open; `settings` are the board's, `options` the driver's."""
    clock, at_board = HandClock(), HandClock()
    line = Line(clock, at_board)
    board = CBoard(library, Settings(**settings), at_board, line.board_writes)
    board.arriving = line.board_reads
    line.board = board
    board.restart()
    driver = ProbeDriver("bench", Options(port="memory", **(options or {})), clock, lambda path, baud: line)
    return Bench(clock, line, board, driver)
