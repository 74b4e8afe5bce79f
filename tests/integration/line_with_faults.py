"""A TCP line between an agent and a board on which things go wrong: what goes over it is cut at its zero bytes, and a
function of each part says what becomes of it. A fault is drawn from the parts themselves, never from the time."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tinyprof_agent.drivers.probe.frames import FrameDecoder, encode_frame
from tinyprof_agent.drivers.probe.messages import (
    BoardMessage,
    HostMessage,
    decode_board_message,
    decode_host_message,
    encode_message,
)

Change = Callable[[bytes], bytes]
"""From what lay between two zero bytes to what goes on over the line in its place, delimiters included."""
Message = BoardMessage | HostMessage

MAX_PART: Final = 64 * 1024
READ_BYTES: Final = 4096
PIECE_BYTES: Final = 8
END_S: Final = 10.0


def as_it_is(part: bytes) -> bytes:
    """The part as it was."""
    return b"\x00" + part + b"\x00"


def message_in(part: bytes) -> Message | None:
    """The message of either side that a part is, None for anything else."""
    bodies = FrameDecoder().feed(as_it_is(part)).bodies
    return (decode_board_message(bodies[0]) or decode_host_message(bodies[0])) if bodies else None


class Spoil:
    """Makes the first of `changes` to the first message of a kind, the second to the second, and then none.

    `wanted` says which messages count.
    """

    def __init__(self, kind: type, *changes: Change, wanted: Callable[[Any], bool] = lambda message: True) -> None:
        self._kind, self._left, self._wanted = kind, list(changes), wanted

    @property
    def left(self) -> int:
        """How many changes have not been made."""
        return len(self._left)

    def __call__(self, part: bytes) -> bytes:
        """The part as it goes on."""
        message = message_in(part)
        if not self._left or not isinstance(message, self._kind) or not self._wanted(message):
            return as_it_is(part)
        return self._left.pop(0)(part)


def lose(part: bytes) -> bytes:
    """Nothing arrives."""
    return b""


def cut_short(part: bytes) -> bytes:
    """The end is missing, and the delimiter with it: the next frame begins where this one was cut."""
    return b"\x00" + part[: len(part) // 2]


def flip_bit(chance: Random) -> Change:
    """One bit of the part is another one; the part stays one part."""

    def flip(part: bytes) -> bytes:
        while True:
            spoilt = bytearray(part)
            spoilt[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
            if 0 not in spoilt:
                return as_it_is(bytes(spoilt))

    return flip


def noise_before(chance: Random, most: int = 48) -> Change:
    """Bytes of any kind before each part, some of which begin as a frame does."""

    def noise() -> bytes:
        some = chance.randbytes(chance.randrange(1, most))
        return some if chance.random() < 0.5 else b"\x00\x05\x93" + some

    return lambda part: noise() + as_it_is(part)


def speaking_of(change: Callable[[Message], Message | None]) -> Change:
    """A message becomes another one; None: it stays."""

    def replace(part: bytes) -> bytes:
        message = message_in(part)
        other = None if message is None else change(message)
        return as_it_is(part) if other is None else encode_frame(encode_message(other))

    return replace


@dataclass
class Faults:
    """What is to go wrong; each may be set at any time, for the parts that come after it."""

    to_board: Change = as_it_is
    to_agent: Change = as_it_is
    heard: Callable[[Message], None] = lambda message: None
    """Told each message that the board has said, before it goes on."""
    bytes_s: float | None = None
    """So many bytes a second and no more, each way."""
    babble: bytes = b""
    """Sent without end in place of what the board says."""
    flows: threading.Event = field(default_factory=threading.Event)
    """While it is not set, nothing that the board says goes on."""

    def __post_init__(self) -> None:
        self.flows.set()


class LineWithFaults:
    """Listens for one agent on `port` and connects it to the board's."""

    def __init__(self, board_port: int, faults: Faults) -> None:
        self._faults = faults
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(END_S)
        self.port: int = self._listener.getsockname()[1]
        self._board = socket.create_connection(("127.0.0.1", board_port), END_S)
        self._board.settimeout(None)
        self._agent: socket.socket | None = None
        self._thread = threading.Thread(target=self._carry, name="line-with-faults")
        self._thread.start()

    def send_to_board(self, data: bytes) -> None:
        """Bytes that no agent has sent."""
        self._board.sendall(data)

    def close(self) -> None:
        """Ends both connections; may be called more than once."""
        self._ended.set()
        self._hang_up()
        self._thread.join(END_S)
        assert not self._thread.is_alive(), "the line did not end"

    def _hang_up(self) -> None:
        self._ended.set()
        for end in (self._board, self._agent, self._listener):
            if end is not None:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _carry(self) -> None:
        with self._listener, self._board:
            try:
                self._agent, _ = self._listener.accept()
            except OSError:
                return
            with self._agent:
                back = threading.Thread(target=self._pump, args=(self._board, self._agent, self._from_board))
                back.start()
                self._pump(self._agent, self._board, self._to_board)
                back.join()

    def _to_board(self, part: bytes) -> bytes:
        return self._faults.to_board(part)

    def _from_board(self, part: bytes) -> bytes:
        message = message_in(part)
        if message is not None:
            self._faults.heard(message)
        while not self._faults.flows.wait(0.05) and not self._ended.is_set():
            continue
        while self._faults.babble and not self._ended.is_set():
            assert self._agent is not None
            self._agent.sendall(self._faults.babble)
        return self._faults.to_agent(part)

    def _pump(self, source: socket.socket, to: socket.socket, change: Change) -> None:
        """Carries one way until either end is gone, and then ends the other way too."""
        pending = b""
        with contextlib.suppress(OSError):
            while data := source.recv(READ_BYTES):
                *parts, pending = (pending + data).split(b"\x00")
                assert len(pending) < MAX_PART
                for part in filter(None, parts):
                    for piece in self._pieces(change(part)):
                        to.sendall(piece)
        self._hang_up()

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        rate = self._faults.bytes_s
        if rate is None:
            yield data
            return
        for at in range(0, len(data), PIECE_BYTES):
            self._ended.wait(PIECE_BYTES / rate)
            yield data[at : at + PIECE_BYTES]
