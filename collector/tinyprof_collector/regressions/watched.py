"""Which runs make one line to watch, and which of their figures. Pure.

A line is what a series is, less the builds of firmware and engine: a change that a new build brings is just what is
looked for.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from tinyprof_protocol.codec import pack
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Result

WATCHED: Final = (
    "ttft_ms", "decode_tps", "inference_ms", "energy_mj_per_token", "ram_peak_bytes", "instructions_to_first_token",
    "instructions_per_token", "model_cycles_to_first_token", "model_cycles_per_token",
)  # fmt: skip
"""What is watched where the configuration names no metrics: what the others follow from."""
_COUNTED: Final = frozenset({"instructions", "cycles", "B"})
"""Units of what an emulator counts: without noise."""


def line_of(result: Result) -> bytes:
    """What identifies the line of a board's runs that a result belongs to: 8 bytes."""
    build = result.build
    terms = (
        build.platform, build.stands_for, build.emulated, build.engine, build.model_sha256, build.quantisation,
        build.kv_cache, build.activations, build.ctx, build.timing, build.streamed,
        result.suite, result.prompts, result.max_tokens,
    )  # fmt: skip
    return blake2b(pack(terms), digest_size=8).digest()


def build_words(result: Result) -> str:
    """The build that ran, for people."""
    build = result.build
    words = (build.engine, build.engine_build, build.firmware, build.firmware_build)
    return " ".join(word for word in words if word)[:200]


def figures_of(result: Result, metrics: Iterable[str]) -> dict[str, float]:
    """Those of a result's figures that are watched: measured or counted, never estimated."""
    found: Mapping[str, object] = result.figures
    return {
        metric: result.figures[metric].value
        for metric in metrics
        if metric in found and not result.figures[metric].estimated
    }


def is_counted(metric: str, result: Result) -> bool:
    """Whether a figure is an emulator's count, which has no noise."""
    return result.build.emulated and METRICS[metric].unit in _COUNTED


def is_worse(metric: str, change: float) -> bool:
    """Whether a change, (after - before) / before, is bad news by the metric's own direction."""
    better = METRICS[metric].better
    return change > 0 if better == "lower" else change < 0 if better == "higher" else False
