"""The driver of a board that speaks the link over a serial port."""

import contextlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tinyprof_agent.drivers.driver import (
    BoardError,
    BoardInfo,
    Cancelled,
    Generation,
    LinkCounters,
    LoopCheck,
    OnText,
    RoundTrip,
)
from tinyprof_agent.drivers.probe import reset
from tinyprof_agent.drivers.probe.asking import Asking
from tinyprof_agent.drivers.probe.exchange import QUIET_NS, Patience
from tinyprof_agent.drivers.probe.link import Clock, Link
from tinyprof_agent.drivers.probe.looping import Looping
from tinyprof_agent.drivers.probe.messages import RAM_IS_RSS, Abort, Hello, HostMessage
from tinyprof_agent.drivers.probe.opening import Opening
from tinyprof_agent.drivers.probe.options import Options
from tinyprof_agent.drivers.probe.running import Running, RunRequest
from tinyprof_agent.drivers.probe.tick_clock import TickClock
from tinyprof_agent.serial_port import BytePort, SerialPort
from tinyprof_protocol.counts_text import some
from tinyprof_protocol.records import Build

OpenPort = Callable[[str, int], BytePort]
NS = 10**9


def new_id() -> int:
    """A random 32-bit number that is not 0."""
    return secrets.randbelow(0xFFFFFFFF) + 1


@dataclass(frozen=True, slots=True)
class _Board:
    """An open board: the link to it, what it said of itself, and its clock since then."""

    link: Link
    hello: Hello
    clock: TickClock


class ProbeDriver:
    """A board with tinyprof's firmware, or with our library in its own; see `Driver` for what each call promises."""

    def __init__(
        self,
        name: str,
        options: Options,
        clock: Clock,
        open_port: OpenPort = SerialPort,
        *,
        quiet_ns: int = QUIET_NS,
    ) -> None:
        """`quiet_ns`: the silence in a run after which the board is asked how it is."""
        self.counters = LinkCounters()
        self._name = name
        self._options = options
        self._clock = clock
        self._open_port = open_port
        self._patience = Patience(int(options.answer_s * NS), options.tries, quiet_ns)
        self._port: BytePort | None = None
        self._board: _Board | None = None

    @property
    def cpu_hz(self) -> int:
        """The clock of its processor as the board says it; 0 where it is not open or does not say."""
        return self._board.hello.machine.cpu_hz if self._board is not None else 0

    def open(self) -> BoardInfo:
        """Opens the port and asks who is there. Raises BoardError: gone, busy, refused, silent, version."""
        self.close()
        port = self._port = self._open_port(self._options.port, self._options.baud)
        link = Link(port, self._clock, self.counters)
        try:
            link.drain()
            hello = self._greet(link)
        except BoardError:
            self.close()
            raise
        self._board = _Board(link, hello, TickClock(hello.limits.tick_hz, hello.limits.tick_bits))
        return board_info(hello, streamed=self._options.streamed)

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        """One generation; tokens are streamed where the options say so, else `on_text` is told after the timed part.

        Raises Cancelled, and BoardError: gone, silent, reset, fault, refused, timeout.
        """
        board = self._opened()
        running = Running(
            self._request(board.hello, prompt, max_tokens, timeout_s),
            board.clock,
            self._patience,
            self.counters,
            on_text,
        )

        stopping = False

        def stop_when_cancelled(now_ns: int) -> list[HostMessage]:
            nonlocal stopping
            if stopping or not cancelled.is_set():
                return []
            stopping = True
            return running.stop(now_ns)

        try:
            board.link.carry_out(running, stop_when_cancelled)
        except BoardError as why:
            if why.code == "timeout":
                board.link.try_to_send(Abort(running.run))
            elif why.code == "reset":
                with contextlib.suppress(BoardError):
                    board.link.await_log(self._patience.answer_ns)
            raise _with_log(why, board.link) from None
        if running.stopped_early:
            raise Cancelled
        return running.generation()

    def round_trip(self) -> RoundTrip:
        """Asks for the board's counter once. Raises BoardError: gone, silent, reset."""
        board = self._opened()
        asking = Asking(new_id, self._patience)
        board.link.carry_out(asking)
        if asking.stats is None:
            raise RuntimeError("an exchange ended without its answer")
        ticks = board.clock.at(asking.stats.tick, asking.received_ns)
        return RoundTrip(asking.sent_ns, asking.received_ns, board.clock.ns(ticks))

    def known_loop(self, instructions: int) -> LoopCheck:
        """Lets the board execute a loop of known instructions. Raises BoardError: gone, silent, reset, refused."""
        board = self._opened()
        looping = Looping(new_id, self._patience, instructions)
        board.link.carry_out(looping)
        if looping.loop is None:
            raise RuntimeError("an exchange ended without its answer")
        ticks = (looping.loop.after - looping.loop.before) % board.clock.wrap_ticks
        return LoopCheck(looping.loop.instructions, board.clock.ns(ticks))

    def reset(self) -> None:
        """Resets the board as the options say; with "none" nothing but the port is closed. Raises BoardError."""
        how = self._options.reset
        try:
            if how == "dtr":
                port = self._port or self._open_port(self._options.port, self._options.baud)
                self._port = port
                reset.pulse_lines(port)
            elif not isinstance(how, str):
                reset.run_command(how)
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the port."""
        port, self._port, self._board = self._port, None, None
        if port is not None:
            with contextlib.suppress(BoardError):
                port.close()

    def _opened(self) -> _Board:
        if self._board is None:
            raise BoardError("gone", f"{self._options.port} is not open")
        return self._board

    def _greet(self, link: Link) -> Hello:
        opening = Opening(new_id, self._patience, int(self._options.open_s * NS))
        try:
            link.carry_out(opening)
        except BoardError as why:
            raise _explained(why, link, self._options.baud) from None
        if opening.hello is None:
            raise RuntimeError("an exchange ended without its answer")
        return opening.hello

    def _request(self, hello: Hello, prompt: str, max_tokens: int, timeout_s: float) -> RunRequest:
        most = hello.limits.token_max
        if not 1 <= max_tokens <= most:
            raise BoardError("refused", f"{some(max_tokens, 'token')} asked for; the board makes 1 to {most} in a run")
        return RunRequest(
            run=new_id(),
            prompt=prompt.encode(errors="replace"),
            max_tokens=max_tokens,
            streamed=self._options.streamed,
            boot=hello.boot,
            rx_max=min(hello.limits.rx_max, self._options.rx_max),
            limit_ns=int(timeout_s * NS),
            stop_ns=int(self._options.stop_s * NS),
        )


def board_info(hello: Hello, *, streamed: bool) -> BoardInfo:
    """What a board's `hello` means to the rest of the agent."""
    firmware, machine, model = hello.firmware, hello.machine, hello.model
    build = Build(
        platform=machine.platform,
        engine=firmware.engine,
        engine_build=firmware.engine_build,
        model=model.name,
        model_sha256=model.sha256.hex(),
        quantisation=model.quantisation,
        kv_cache=model.kv_cache,
        activations=model.activations,
        ctx=model.ctx,
        timing="device",
        firmware=f"{firmware.name} {firmware.version}".strip()[:64],
        firmware_build=firmware.build_id.hex(),
        streamed=streamed,
    )
    return BoardInfo(
        build=build,
        identity=machine.identity or "",
        tick_hz=hello.limits.tick_hz,
        host_clock=False,
        flash_bytes=machine.flash_used_bytes or None,
        ram_is_rss=bool(machine.flags & RAM_IS_RSS),
    )


def _explained(why: BoardError, link: Link, baud: int) -> BoardError:
    """A board that did not answer: whether its line was dead, or what came was no word of ours."""
    if why.code != "silent" or not link.bytes_in:
        return _with_log(why, link)
    if link.frames_in:
        return _with_log(BoardError("silent", f"the board speaks, but did not answer: {why}"), link)
    came = f"{link.bytes_in} bytes came and no frame among them"
    if link.log_is_text():
        return _with_log(BoardError("silent", f"{came}, only text: its firmware does not answer tinyprof's link"), link)
    return BoardError("silent", f"{came}, nor any text: the baud rate is wrong (it is set to {baud}), or the wiring is")


def _with_log(why: BoardError, link: Link) -> BoardError:
    """The same error with the last line that the board printed, which often says why."""
    line = link.last_log_line()
    return BoardError(why.code, f"{why}; its log ends: {line}") if line else why
