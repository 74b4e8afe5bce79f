"""A TCP proxy between two parties, and the weather on it: cuts, delays, throttles, halved packets, silence."""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

CHUNK_BYTES: Final = 16_384
THROTTLED_PIECE_S: Final = 0.1
SPLIT_PAUSE_S: Final = 0.02
LOOK_S: Final = 0.1
CONNECT_S: Final = 2.0

WeatherKind = Literal["fair", "cut", "delay", "throttle", "split", "tear", "stall"]


@dataclass(frozen=True)
class Weather:
    """What happens to bytes. `amount`: milliseconds of a delay, bytes a second of a throttle."""

    kind: WeatherKind = "fair"
    amount: int = 0


@dataclass(frozen=True)
class Piece:
    """Bytes to pass on after a wait; `last`: the connection is cut after them."""

    wait_s: float
    data: bytes
    last: bool = False


def pieces(weather: Weather, data: bytes, chance: random.Random) -> Iterator[Piece]:
    """What becomes of bytes in a weather; all of them in order, but for a tear, which keeps the second part."""
    if weather.kind == "delay":
        yield Piece(weather.amount / 1000, data)
    elif weather.kind == "throttle":
        size = max(1, int(weather.amount * THROTTLED_PIECE_S))
        for start in range(0, len(data), size):
            yield Piece(THROTTLED_PIECE_S, data[start : start + size])
    elif weather.kind == "split" and len(data) > 1:
        middle = chance.randint(1, len(data) - 1)
        yield Piece(0.0, data[:middle])
        yield Piece(SPLIT_PAUSE_S, data[middle:])
    elif weather.kind == "tear":
        yield Piece(0.0, data[: chance.randint(0, len(data) - 1)], last=True)
    else:
        yield Piece(0.0, data)


class Proxy:
    """Listens on a free port of loopback and passes on to another; `start`, then `stop`."""

    def __init__(self, to_port: int, chance: random.Random) -> None:
        self._to_port = to_port
        self._chance = chance
        self._weather = Weather()
        self._changed = threading.Condition()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._stopping = False
        self.passed_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True)

    def start(self) -> "Proxy":
        """Starts to listen."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Closes everything."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(CONNECT_S + 1)
        self._listener.close()
        self.reset()

    def set_weather(self, weather: Weather) -> None:
        """From now on; a cut also ends the connections that stand."""
        with self._changed:
            self._weather = weather
            self._changed.notify_all()
        if weather.kind == "cut":
            self.reset()

    def reset(self) -> None:
        """Ends the connections that stand, as a router does that has forgotten them."""
        with self._changed:
            pairs = list(self._pairs)
            self._changed.notify_all()
        for pair in pairs:
            self._end(pair)

    def _accept(self) -> None:
        while not self._stopping:
            readable, _, _ = select.select([self._listener], [], [], LOOK_S)
            if not readable:
                continue
            near, _ = self._listener.accept()
            if self._weather.kind == "cut":
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._to_port), CONNECT_S)
            except OSError:
                near.close()
                continue
            pair = (near, far)
            for end in pair:
                end.settimeout(None)
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._pairs.add(pair)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(
                    target=self._pump, args=(pair, source, sink), name=f"pump-{self.port}", daemon=True
                ).start()

    def _pump(self, pair: tuple[socket.socket, socket.socket], source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(CHUNK_BYTES):
                weather = self._await_passage(pair)
                if weather is None or not self._pass_on(pair, sink, weather, data):
                    break
        self._end(pair)

    def _await_passage(self, pair: tuple[socket.socket, socket.socket]) -> Weather | None:
        """The weather once it lets anything pass; None if the connection is over."""
        with self._changed:
            while self._weather.kind == "stall" and pair in self._pairs and not self._stopping:
                self._changed.wait(LOOK_S)
            return self._weather if pair in self._pairs and not self._stopping else None

    def _pass_on(
        self, pair: tuple[socket.socket, socket.socket], sink: socket.socket, weather: Weather, data: bytes
    ) -> bool:
        for piece in pieces(weather, data, self._chance):
            if piece.wait_s and self._weather == weather:
                time.sleep(piece.wait_s)
            if pair not in self._pairs:
                return False
            self.passed_bytes += len(piece.data)
            sink.sendall(piece.data)
            if piece.last:
                return False
        return True

    def _end(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._changed:
            if pair not in self._pairs:
                return
            self._pairs.discard(pair)
        for end in pair:
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                end.close()
