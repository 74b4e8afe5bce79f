"""The `host` driver: this machine as a board. Its engine's clock is the host's own, so there is nothing to check."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct

from tinyprof_agent.drivers.driver import (
    BadOptions,
    BoardError,
    BoardInfo,
    Cancelled,
    Generation,
    LinkCounters,
    OnText,
    RoundTrip,
)
from tinyprof_agent.drivers.host.engine_child import EngineChild, engine_command
from tinyprof_models.catalogue import shipped_models
from tinyprof_models.engine_messages import Abort, Failed, Generate, Generated, Load, Loaded, Reply, TokenMade
from tinyprof_models.gguf_magic import why_no_gguf
from tinyprof_models.golden import Activations
from tinyprof_protocol.records import Build

ABORT_S: Final = 5.0
SEND_S: Final = 5.0

Seconds = Annotated[float, Meta(gt=0, le=3600)]


class Options(Struct, frozen=True, forbid_unknown_fields=True):
    """`model` is a shipped model's name or the path of a GGUF file. Times in seconds.

    `idle_end_s` is after how long without a request the child ends, to give its memory back.
    """

    model: Annotated[str, Meta(min_length=1, max_length=4096)]
    activations: Activations = "float32"
    idle_end_s: Seconds = 30.0
    load_timeout_s: Seconds = 60.0


def default_processor(_options: Options) -> str:
    """Boards that run on this machine share its processor."""
    return "host"


def make(name: str, options: Options, clock: Callable[[], int]) -> "HostDriver":
    """A driver that starts its child when it is opened. `clock` is monotonic, in nanoseconds.

    Raises BadOptions for a model that is not there or is no GGUF file.
    """
    try:
        fault = why_no_gguf(_model_path(options.model))
    except OSError as why:
        fault = f"model {options.model!r} cannot be read: {why.strerror}"
    except BoardError as why:
        fault = str(why)
    if fault is not None:
        raise BadOptions(fault)
    return HostDriver(name, options, clock, engine_command(options.idle_end_s))


class HostDriver:
    """The reference engine in a child process; see `Driver` for what each call promises."""

    def __init__(self, name: str, options: Options, clock: Callable[[], int], command: Sequence[str]) -> None:
        self.counters = LinkCounters()
        self._name = name
        self._options = options
        self._clock = clock
        self._command = command
        self._child: EngineChild | None = None
        self._loaded: Loaded | None = None
        self._repetition = 0

    @property
    def child_pid(self) -> int | None:
        """The process id of the child, None while there is none."""
        return self._child.pid if self._child and not self._child.has_ended() else None

    def open(self) -> BoardInfo:
        """Starts the child and loads the model."""
        self.close()
        self._loaded = loaded = self._start()
        build = Build(
            platform="host",
            engine=loaded.engine[:64],
            engine_build=loaded.engine_build,
            model=_model_name(self._options.model),
            model_sha256=loaded.sha256,
            quantisation=loaded.quantisation[:64],
            kv_cache=loaded.kv_cache,
            activations=loaded.activations,
            ctx=loaded.context,
            timing="device",
        )
        return BoardInfo(
            build,
            identity="",
            tick_hz=10**9,
            host_clock=True,
            ram_is_rss=True,
            weight_bytes=loaded.weight_bytes or None,
            read_bytes_s=loaded.read_bytes_s or None,
        )

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        """Generates in the child, which is started again where it had ended by itself."""
        if cancelled.is_set():
            raise Cancelled
        child = self._awake()
        self._repetition = (self._repetition + 1) % 2**32
        request = Generate(self._repetition, prompt, max_tokens, stream=on_text is not None)
        child.send(request, SEND_S)
        deadline_ns = self._clock() + int(timeout_s * 1e9)
        while True:
            left_s = max(0.0, (deadline_ns - self._clock()) / 1e9)
            reply = self._receive(child, left_s, cancelled.is_set)
            if reply is None:
                self._abort(child)
                raise Cancelled
            if isinstance(reply, TokenMade) and on_text is not None and reply.repetition == self._repetition:
                on_text(reply.text)
            if isinstance(reply, Generated) and reply.repetition == self._repetition:
                return _generation(reply)

    def round_trip(self) -> RoundTrip:
        """The child keeps time by the host's clock, so it need not be asked, nor woken."""
        now_ns = self._clock()
        return RoundTrip(now_ns, now_ns, now_ns)

    def reset(self) -> None:
        """Kills the child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def close(self) -> None:
        """Ends the child."""
        child, self._child = self._child, None
        if child is not None:
            child.close()

    def _awake(self) -> EngineChild:
        if self._loaded is None:
            raise BoardError("gone", "the board is not open")
        if self._child is None or self._child.has_ended():
            self.close()
            self.counters.add("child_restarts")
            again = self._start()
            if (again.sha256, again.engine_build) != (self._loaded.sha256, self._loaded.engine_build):
                raise BoardError("reset", "the model or the engine changed while the engine's process was away")
        assert self._child is not None
        return self._child

    def _start(self) -> Loaded:
        path = _model_path(self._options.model)
        self._child = child = EngineChild(self._command, self._clock)
        child.send(Load(str(path), self._options.activations), SEND_S)
        reply = self._receive(child, self._options.load_timeout_s)
        if not isinstance(reply, Loaded):
            raise BoardError("fault", f"the engine's process answered a load with {type(reply).__name__}")
        return reply

    def _receive(self, child: EngineChild, timeout_s: float, stop: Callable[[], bool] = lambda: False) -> Reply | None:
        reply = child.receive(timeout_s, stop)
        if isinstance(reply, Failed):
            code = "refused" if reply.code in ("prompt_too_long", "bad_request") else "fault"
            raise BoardError(code, f"{reply.message} ({reply.code})")
        return reply

    def _abort(self, child: EngineChild) -> None:
        """Ends the run under way between tokens, or the child if it does not listen."""
        try:
            child.send(Abort(), SEND_S)
            while not isinstance(child.receive(ABORT_S), Generated | Failed):
                self.counters.add("replies_after_abort")
        except BoardError:
            self.reset()


def _generation(reply: Generated) -> Generation:
    if reply.stopped == "aborted":
        raise BoardError("fault", "the engine's process aborted a run that nobody cancelled")
    return Generation(
        t0_ns=reply.t0_ns,
        token_ns=list(reply.token_ns),
        tokens=list(reply.tokens),
        prompt_tokens=reply.prompt_tokens,
        text=reply.text,
        stopped=reply.stopped,
        ram_peak_bytes=reply.rss_peak_bytes,
        cpu_ns=reply.cpu_ns,
    )


def _model_path(model: str) -> Path:
    """The file of a shipped model, or the path itself. Raises BoardError `gone`."""
    shipped = shipped_models()
    if model in shipped:
        return shipped[model].path
    path = Path(model)
    if not path.is_file():
        raise BoardError("gone", f"model {model!r} is neither a file nor one of {', '.join(shipped)}")
    return path


def _model_name(model: str) -> str:
    return (model if model in shipped_models() else Path(model).stem)[:64]
