"""A board that plays observations back, on a clock that only it moves."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tinyprof_agent.drivers.driver import (
    BoardError,
    BoardInfo,
    Cancelled,
    Generation,
    LinkCounters,
    OnText,
    RoundTrip,
)
from tinyprof_protocol.records import Build

MS = 1_000_000
BUILD = Build(
    platform="stm32f405",
    engine="tinyprof-c",
    engine_build="1.0",
    model="stories260k-q8_0",
    model_sha256="0" * 64,
    quantisation="Q8_0",
    kv_cache="f32",
    activations="float32",
    ctx=256,
    timing="device",
)


@dataclass
class PlayedBoard:
    """`play(n, prompt, max_tokens)` tells (TTFT ms, gaps ms, tokens) of the n-th generation, or raises."""

    play: Callable[[int, str, int], tuple[float, list[float], list[int]]]
    now_ns: int = 1_000_000_000
    rate: float = 1.0
    """Speed of the board's clock against the host's."""
    round_trip_ns: int = 2 * MS
    stopped: str = "limit"
    missing: int = 0
    cpu_ns_per_token: int = 1000
    info: BoardInfo = field(default_factory=lambda: BoardInfo(BUILD, "", 10**9, host_clock=False))
    generations: list[str] = field(default_factory=list)
    counters: LinkCounters = field(default_factory=LinkCounters)

    def clock_ns(self) -> int:
        return self.now_ns

    def open(self) -> BoardInfo:
        return self.info

    def generate(
        self,
        prompt: str,
        max_tokens: int,
        *,
        timeout_s: float,
        cancelled: threading.Event,
        on_text: OnText | None = None,
    ) -> Generation:
        if cancelled.is_set():
            raise Cancelled
        self.generations.append(prompt)
        ttft_ms, gaps_ms, tokens = self.play(len(self.generations), prompt, max_tokens)
        stamps_ms = [ttft_ms + sum(gaps_ms[:i]) for i in range(len(gaps_ms) + 1)]
        t0_ns = int(self.now_ns * self.rate)
        self.now_ns += int(stamps_ms[-1] * MS)
        for token in tokens if on_text is not None else ():
            on_text(b" t%d" % token)
        return Generation(
            t0_ns=t0_ns,
            token_ns=[t0_ns + int(stamp * MS * self.rate) for stamp in stamps_ms],
            tokens=tokens,
            prompt_tokens=len(prompt.split()) + 1,
            text=b" ".join(b"t%d" % token for token in tokens),
            stopped=self.stopped,  # type: ignore[arg-type]
            missing_tokens=self.missing,
            ram_peak_bytes=60_000 + len(self.generations),
            cpu_ns=self.cpu_ns_per_token * len(tokens),
        )

    def round_trip(self) -> RoundTrip:
        sent_ns = self.now_ns
        self.now_ns += self.round_trip_ns
        return RoundTrip(sent_ns, self.now_ns, int((sent_ns + self.round_trip_ns / 2) * self.rate))

    def reset(self) -> None:
        raise BoardError("refused", "a run never resets its board")

    def close(self) -> None:
        return


@pytest.fixture
def played_board() -> type[PlayedBoard]:
    return PlayedBoard
