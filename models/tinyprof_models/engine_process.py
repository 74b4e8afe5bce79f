"""The reference engine as a child process: `python -m tinyprof_models.engine_process`.

It speaks `engine_messages` over stdin and stdout, measures with its own clock, and ends when stdin closes,
when told to, or after `--idle-seconds` without a request. SIGINT is the parent's affair and ignored here.
"""

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinyprof_models.engine_channel import Channel, ChannelClosedError
from tinyprof_models.engine_messages import (
    Abort,
    Failed,
    FailureCode,
    FrameError,
    Generate,
    Generated,
    Load,
    Loaded,
    Ping,
    Pong,
    Quit,
    Request,
    Stopped,
    TokenMade,
)

if TYPE_CHECKING:
    from tinyprof_models.engine import Engine

ENGINE = "tinyprof-numpy"
IDLE_SECONDS = 30.0
SEND_SECONDS = 30.0
CLOCK = time.get_clock_info("perf_counter").implementation
THREAD_LIMITS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PROC_STATUS, PROC_CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class _Run:
    """What one `Generate` has produced so far."""

    request: Generate
    t0_ns: int
    cpu0_ns: int
    rss_peak_of_run: bool
    prompt_tokens: int = 0
    tokens: list[int] = field(default_factory=list)
    token_ns: list[int] = field(default_factory=list)


class EngineProcess:
    """Serves one parent's requests, one at a time, until it is told to quit."""

    def __init__(self, channel: Channel, engine_build: str) -> None:
        self._channel = channel
        self._engine_build = engine_build
        self._engine: Engine | None = None
        self._read_rates: dict[int, float] = {}

    def serve(self, idle_seconds: float) -> None:
        """Answers requests until `Quit` or `idle_seconds` without one.

        Raises `ChannelClosedError`, and `FrameError` when the stream can no longer be followed.
        """
        while (request := self._channel.receive(idle_seconds)) is not None:
            match request:
                case FrameError():
                    self._fail("bad_request", str(request))
                case Quit():
                    return
                case Ping():
                    self._pong()
                case Load():
                    self._load(request)
                case Generate() if self._generate(request) == "quit":
                    return

    def _fail(self, code: FailureCode, message: str, repetition: int | None = None) -> None:
        self._channel.send(Failed(code, " ".join(message.split())[:1000], repetition))

    def _pong(self) -> None:
        self._channel.send(Pong(time.perf_counter_ns(), CLOCK))

    def _load(self, request: Load) -> None:
        from tinyprof_models.engine import Engine
        from tinyprof_models.model_file import ModelError, read_model
        from tinyprof_models.read_rate import best_read_rate

        begin_ns = time.perf_counter_ns()
        self._engine = None
        try:
            model = read_model(Path(request.path))
            self._engine = engine = Engine(model, request.activations, request.kv_cache)
        except ModelError as error:
            self._fail(error.code, str(error))
            return
        read_bytes_s = self._read_rates.get(engine.weight_bytes)
        if read_bytes_s is None:
            read_bytes_s = self._read_rates[engine.weight_bytes] = best_read_rate(engine.weight_bytes)
        self._channel.send(
            Loaded(
                sha256=model.sha256,
                quantisation=model.quantisation,
                context=engine.context,
                name=model.name,
                file_bytes=model.file_bytes,
                engine=ENGINE,
                engine_build=self._engine_build,
                kv_cache=engine.kv_cache,
                activations=engine.activations,
                load_ms=(time.perf_counter_ns() - begin_ns) / 1e6,
                weight_bytes=engine.weight_bytes,
                read_bytes_s=read_bytes_s,
            )
        )

    def _generate(self, request: Generate) -> Literal["done", "quit"]:
        engine = self._engine
        if engine is None:
            self._fail("no_model", "no model is loaded", request.repetition)
            return "done"
        too_long = f"the prompt leaves no room in the context of {engine.context} tokens"
        # A prompt that cannot fit whatever its tokens are is refused before the cost of tokenising it.
        if len(request.prompt.encode()) > engine.context * engine.tokenizer.longest_piece_bytes:
            self._fail("prompt_too_long", too_long, request.repetition)
            return "done"
        run = _Run(
            request, rss_peak_of_run=_reset_rss_peak(), cpu0_ns=time.process_time_ns(), t0_ns=time.perf_counter_ns()
        )
        prompt_tokens = engine.tokenizer.encode(request.prompt)
        run.prompt_tokens = len(prompt_tokens)
        if run.prompt_tokens >= engine.context:
            self._fail("prompt_too_long", too_long, request.repetition)
            return "done"
        asked = self._decode(engine, run, prompt_tokens)
        cpu_ns = time.process_time_ns() - run.cpu0_ns
        if asked == "quit":
            return "quit"
        self._channel.send(_generated(engine, run, cpu_ns, aborted=asked == "abort"))
        return "done"

    def _decode(self, engine: "Engine", run: _Run, prompt_tokens: list[int]) -> Literal["go", "abort", "quit"]:
        clock, limit = time.perf_counter_ns, run.request.max_tokens
        for token, _ in engine.greedy(prompt_tokens, limit):
            now_ns = clock()
            run.token_ns.append(now_ns)
            run.tokens.append(token)
            if run.request.stream:
                text = engine.tokenizer.decode_bytes((token,))
                index = len(run.tokens) - 1
                self._channel.send(TokenMade(run.request.repetition, index, token, now_ns, text))
            while (request := self._channel.receive_now()) is not None:
                asked = self._answer_during_run(request)
                if asked != "go":
                    return asked
        return "go"

    def _answer_during_run(self, request: Request | FrameError) -> Literal["go", "abort", "quit"]:
        match request:
            case Abort():
                return "abort"
            case Quit():
                return "quit"
            case Ping():
                self._pong()
            case FrameError():
                self._fail("bad_request", str(request))
            case Generate():
                self._fail("busy", "a run is under way", request.repetition)
            case Load():
                self._fail("busy", "a run is under way")
        return "go"


def _generated(engine: "Engine", run: _Run, cpu_ns: int, *, aborted: bool) -> Generated:
    ended = bool(run.tokens) and run.tokens[-1] == engine.tokenizer.eos
    stopped: Stopped = "eos" if ended else "aborted" if aborted else "limit"
    return Generated(
        repetition=run.request.repetition,
        clock=CLOCK,
        t0_ns=run.t0_ns,
        token_ns=tuple(run.token_ns),
        tokens=tuple(run.tokens),
        prompt_tokens=run.prompt_tokens,
        text=engine.tokenizer.decode_bytes(run.tokens),
        stopped=stopped,
        rss_peak_bytes=_rss_peak_bytes(),
        rss_peak_of_run=run.rss_peak_of_run,
        cpu_ns=cpu_ns,
    )


def _reset_rss_peak() -> bool:
    """Starts the kernel's peak anew; False where it keeps the peak of the process's whole life."""
    try:
        PROC_CLEAR_REFS.write_text("5")
    except OSError:
        return False
    return True


def _rss_peak_bytes() -> int:
    try:
        lines = PROC_STATUS.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def engine_build() -> str:
    """What figures of this engine depend on: its version, numpy's and the BLAS's, and the threads."""
    import numpy as np

    try:
        version = metadata.version("tinyprof")
    except metadata.PackageNotFoundError:
        version = "unpackaged"
    blas = (np.show_config(mode="dicts") or {}).get("Build Dependencies", {}).get("blas", {})
    return f"tinyprof {version}, numpy {np.__version__}, {blas.get('name')} {blas.get('version')}, 1 thread"[:256]


def main(arguments: Sequence[str] | None = None) -> int:
    """The process; returns its exit code: 0, or 1 when the parent's stream could not be followed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser(prog="python -m tinyprof_models.engine_process", description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, help="default %(default)s")
    parser.add_argument(
        "--send-seconds",
        type=float,
        default=SEND_SECONDS,
        help="how long the parent may leave a reply unread (default %(default)s)",
    )
    options = parser.parse_args(arguments)
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))  # read when numpy is imported, so before that
    # Frames have a descriptor of their own: whatever prints to stdout must not get between them.
    output_fd = os.dup(1)
    os.dup2(2, 1)
    channel = Channel(0, output_fd, options.send_seconds)
    try:
        EngineProcess(channel, engine_build()).serve(options.idle_seconds)
    except ChannelClosedError:
        return 0
    except FrameError as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
