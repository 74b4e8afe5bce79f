"""The thin shell around the exchanges: bytes from a port to messages, messages to bytes, and the waiting."""

from collections import deque
from collections.abc import Callable

from tinyprof_agent.drivers.driver import BoardError, LinkCounters
from tinyprof_agent.drivers.probe.exchange import Exchange, one_line
from tinyprof_agent.drivers.probe.frames import FrameDecoder, encode_frame
from tinyprof_agent.drivers.probe.messages import (
    BoardMessage,
    Hello,
    HostMessage,
    Log,
    decode_board_message,
    encode_message,
)
from tinyprof_agent.serial_port import BytePort

MAX_WAIT_S = 0.05
"""A wait on the port is never longer, so that a cancelled run is seen soon."""
KEPT_LOG_BYTES = 4096
MAX_BABBLE_BYTES = 2 * 1024 * 1024
"""What may come in one exchange without any message between: after that the board is said to babble."""
TEXT_SHARE = 0.9

Clock = Callable[[], int]
"""Monotonic nanoseconds of the host."""


class Link:
    """One open port with a board at its end."""

    def __init__(self, port: BytePort, clock: Clock, counters: LinkCounters) -> None:
        self._port = port
        self._clock = clock
        self._counters = counters
        self._decoder = FrameDecoder()
        self._log: deque[int] = deque(maxlen=KEPT_LOG_BYTES)
        self._babbled = 0
        self._log_since_hello = False
        self.bytes_in = 0
        """Bytes that came, whatever they are."""
        self.frames_in = 0
        """Messages among them."""

    def drain(self) -> None:
        """Throws away what came before anyone asked."""
        self._port.drain()
        self._decoder.reset()

    def carry_out(self, exchange: Exchange, on_wait: Callable[[int], list[HostMessage]] | None = None) -> None:
        """Carries an exchange through to its end. `on_wait` is told the time at each turn and may add messages.

        Raises what the exchange and the port raise, and what `on_wait` does; BoardError `silent` for a board that sends
        without end and says nothing.
        """
        self._babbled = 0
        self._send(exchange.begin(self._clock()))
        while not exchange.done:
            now_ns = self._clock()
            if on_wait is not None:
                self._send(on_wait(now_ns))
            self._send(exchange.on_time(now_ns))
            wait_s = (exchange.wake_ns - now_ns) / 1e9
            # Where the exchange is done with its tries, no more is waited for.
            data = b"" if exchange.done else self._port.read(min(max(wait_s, 0.0), MAX_WAIT_S))
            received_ns = self._clock()
            messages = self._messages(data)
            for message in messages:
                if not exchange.done:
                    self._send(exchange.on_message(message, received_ns))
            self._babbled = 0 if messages else self._babbled + len(data)
            if self._babbled > MAX_BABBLE_BYTES:
                self._count("babbled", 1)
                raise BoardError("silent", f"the board babbles: {self._babbled} bytes and no message among them")

    def await_log(self, limit_ns: int) -> None:
        """Listens for the `log` message in which a board says, after its `hello`, why it started; at most so long."""
        deadline_ns = self._clock() + limit_ns
        while not self._log_since_hello and (left_ns := deadline_ns - self._clock()) > 0:
            self._messages(self._port.read(min(left_ns / 1e9, MAX_WAIT_S)))

    def try_to_send(self, message: HostMessage) -> None:
        """Sends a message that nobody will answer for: a port that is gone does not matter any more."""
        try:
            self._send([message])
        except BoardError:
            self._counters.add("unsent")

    def last_log_line(self) -> str:
        """The end of what the board printed, on one line, for an error that it may explain."""
        lines = bytes(self._log).decode(errors="replace").split("\n")
        return next((line for line in map(one_line, reversed(lines)) if line), "")[-120:]

    def log_is_text(self) -> bool:
        """Whether what came last, and is no frame, can be read: at a wrong baud rate it cannot."""
        readable = sum(0x20 <= byte < 0x7F or byte in b"\t\r\n\x1b" for byte in self._log)
        return bool(self._log) and readable >= TEXT_SHARE * len(self._log)

    def close(self) -> None:
        """Lets go of the port."""
        self._port.close()

    def _send(self, messages: list[HostMessage]) -> None:
        for message in messages:
            self._port.write(encode_frame(encode_message(message)))

    def _messages(self, data: bytes) -> list[BoardMessage]:
        if not data:
            return []
        bad_before = self._decoder.bad_crc
        self.bytes_in += len(data)
        bodies, log = self._decoder.feed(data)
        self._count("bad_crc", self._decoder.bad_crc - bad_before)
        self._keep_log(log)
        messages: list[BoardMessage] = []
        for body in bodies:
            message = decode_board_message(body)
            if message is None:
                self._count("unknown_messages", 1)
            elif isinstance(message, Log):
                self._keep_log(message.text + b"\n")
                self._log_since_hello = True
            else:
                self._log_since_hello &= not isinstance(message, Hello)
                messages.append(message)
        self.frames_in += len(messages)
        return messages

    def _keep_log(self, log: bytes) -> None:
        self._count("log_bytes", len(log))
        self._log.extend(log[-KEPT_LOG_BYTES:])

    def _count(self, name: str, n: int) -> None:
        if n:
            self._counters.add(name, n)
