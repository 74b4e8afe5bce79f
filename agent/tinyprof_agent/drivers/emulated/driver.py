"""The driver of an emulated board: a `probe` board whose line is an emulator of this machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from tinyprof_agent.drivers.driver import (
    BoardError,
    BoardInfo,
    Emulation,
    Generation,
    LinkCounters,
    LoopCheck,
    OnText,
    RoundTrip,
)
from tinyprof_agent.drivers.emulated.emulator import CommandFor, Emulator, free_loopback_port, start
from tinyprof_agent.drivers.emulated.installed import emulator_missing, image_missing, image_of
from tinyprof_agent.drivers.emulated.model_size import model_bytes
from tinyprof_agent.drivers.emulated.options import Options
from tinyprof_agent.drivers.emulated.part_speed import part_speed
from tinyprof_agent.drivers.probe.board_driver import OpenPort, ProbeDriver
from tinyprof_agent.drivers.probe.link import Clock
from tinyprof_agent.serial_port import BytePort, SerialPort
from tinyprof_platforms.targets import Emulator as EmulatorOf
from tinyprof_platforms.targets import Target

NS = 10**9
SLICE_NS = NS
"""How long an emulator works before it lets others have the processor."""
SAID_BY_BOARD = frozenset({"version", "refused", "fault", "reset"})
"""Codes of errors that a board has told, so that its emulator was there."""


class _TurnTaking:
    """A port that calls `rest` now and then between two reads."""

    def __init__(self, port: BytePort, rest: Callable[[], None]) -> None:
        self._port, self._rest = port, rest
        self.write, self.drain, self.set_lines, self.close = port.write, port.drain, port.set_lines, port.close

    def read(self, timeout_s: float) -> bytes:
        """As the port's own."""
        self._rest()
        return self._port.read(timeout_s)


class EmulatedDriver:
    """A target's firmware in its emulator; see `Driver` for what each call promises.

    The emulator runs from `open` to `close`, and is paused between calls: an idle one would spin a processor. `open`
    must be called from a thread that lives as long as the board is used: the emulator dies with it.
    """

    def __init__(
        self, name: str, options: Options, target: Target, clock: Clock, open_port: OpenPort = SerialPort
    ) -> None:
        if target.file.emulator is None:
            raise ValueError(f"target {target.name} has no emulator")
        self.counters = LinkCounters()
        self._name = name
        self._options = options
        self._target = target
        self._plan = target.file.emulator
        self._clock = clock
        self._open_port = open_port
        self.let_others: Callable[[], None] = lambda: None
        self._resting_ns = 0
        self._slice_began_ns = 0
        self._emulator: Emulator | None = None
        self._probe: ProbeDriver | None = None

    @property
    def emulator_pid(self) -> int | None:
        """The process id of the emulator, None while there is none."""
        return self._emulator.pid if self._emulator is not None and not self._emulator.has_ended() else None

    def open(self) -> BoardInfo:
        """Starts the emulator and asks the firmware who it is. Raises BoardError."""
        self.close()
        image = self._image()
        missing = emulator_missing(self._target) or image_missing(self._target, image)
        if missing is not None:
            raise BoardError("gone", missing)
        self._emulator = emulator = start(
            self._command_for(image), self._target.folder, self._options.open_s, free_loopback_port
        )
        self._probe = ProbeDriver(
            self._name,
            self._options.probe(emulator.port),
            self._working_ns,
            lambda path, baud: _TurnTaking(self._open_port(path, baud), self._rest),
            quiet_ns=int(self._options.stop_s * NS),
        )
        self._probe.counters = self.counters
        try:
            with self._awake() as probe:
                info = probe.open()
            return self._emulated(info, probe.cpu_hz)
        except BaseException:
            self.close()
            raise

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        """One generation; its times are those of the virtual clock."""
        with self._awake() as probe:
            return probe.generate(prompt, max_tokens, timeout_s=timeout_s, cancelled=cancelled, on_text=on_text)

    def round_trip(self) -> RoundTrip:
        """Asks for the board's counter once. The two clocks have nothing to do with each other."""
        with self._awake() as probe:
            return probe.round_trip()

    def known_loop(self, instructions: int) -> LoopCheck:
        """Lets the board execute a loop of known instructions."""
        with self._awake() as probe:
            return probe.known_loop(instructions)

    def reset(self) -> None:
        """Ends the emulator; `open` starts another."""
        self.close()

    def close(self) -> None:
        """Ends the emulator."""
        probe, self._probe = self._probe, None
        emulator, self._emulator = self._emulator, None
        if probe is not None:
            probe.close()
        if emulator is not None:
            emulator.end()

    @contextmanager
    def _awake(self) -> Iterator[ProbeDriver]:
        """The link while the emulator runs. An emulator that ended is told as that, whatever the link made of it.

        What the board itself has told goes before: some emulators end by themselves once the link is given up.
        """
        emulator, probe = self._emulator, self._probe
        if emulator is None or probe is None:
            raise BoardError("gone", f"the emulator of {self._target.name} is not running")
        emulator.resume()
        self._slice_began_ns = self._clock()
        try:
            yield probe
        except BoardError as why:
            if why.code in SAID_BY_BOARD:
                raise
            # Its line is gone a moment before the process is.
            ended = emulator.why_ended(within_s=1.0 if why.code == "gone" else 0.0)
            raise (ended or why) from None
        finally:
            with suppress(OSError):
                emulator.pause()

    def _working_ns(self) -> int:
        """This machine's clock without the time in which the emulator stood still to let others work."""
        return self._clock() - self._resting_ns

    def _rest(self) -> None:
        emulator, began_ns = self._emulator, self._clock()
        if emulator is None or began_ns - self._slice_began_ns < SLICE_NS:
            return
        emulator.pause()
        try:
            self.let_others()
        finally:
            self._slice_began_ns = self._clock()
            self._resting_ns += self._slice_began_ns - began_ns
            emulator.resume()

    def _image(self) -> Path:
        if self._options.image is not None:
            return Path(self._options.image).resolve()
        return image_of(self._target, self._options.firmware)

    def _command_for(self, image: Path) -> CommandFor:
        plan, folder = self._plan, self._target.folder

        def command(port: int) -> list[str]:
            values = {"port": str(port), "image": str(image), "shift": str(plan.shift or 0), "target": str(folder)}
            return [filled_in(word, values) for word in plan.command]

        return command

    def _emulated(self, info: BoardInfo, cpu_hz: int) -> BoardInfo:
        """What the firmware said, marked as what it is. Raises BoardError for the firmware of another target."""
        build, target = info.build, self._target.file
        if build.platform != target.platform:
            raise BoardError("fault", f"the image is built for {build.platform}, the target is {target.platform}")
        emulation = Emulation(
            self._plan.counts,
            counts_hz(self._plan, cpu_hz),
            part_speed(target.part or target.stands_for),
            model_bytes(build.model_sha256, info.flash_bytes),
        )
        build = structs.replace(build, emulated=True, stands_for=target.stands_for)
        return replace(info, build=build, emulation=emulation)


def counts_hz(plan: EmulatorOf, cpu_hz: int) -> float:
    """Counts in a second of the virtual clock: QEMU's instruction takes 2^shift ns, rp2040js has a chip's clock."""
    if plan.counts == "instructions":
        return NS / (1 << (plan.shift or 0))
    return float(cpu_hz) if plan.counts == "model_cycles" else 0.0


def filled_in(word: str, values: dict[str, str]) -> str:
    """A word of a command with what stands in braces replaced; other braces stay."""
    for name, value in values.items():
        word = word.replace("{" + name + "}", value)
    return word
