"""Every metric, once: name, unit, which way is better, label, definition and source.

Records, stores, commands, the dashboard and the documents read this table.
"""

from dataclasses import dataclass
from typing import Final, Literal

Better = Literal["lower", "higher", "neither"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `type` fixes the type of its field in every store for ever."""

    name: str
    unit: str
    better: Better
    label: str
    definition: str
    source: str
    type: Literal["float", "int"] = "float"
    decimals: int = 1


_DESIGN = "tinyprof, docs/architecture.md, Profiling"
_MLPERF = "MLPerf Inference rules, LLM latency constraints (TTFT, TPOT)"
_LINUX = "proc(5)"

_ALL: Final = (
    Metric(
        "ttft_ms",
        "ms",
        "lower",
        "TTFT",
        "Time to first token: t_1 - t0. t0 is when the whole request is known to the timing side (tokenising "
        "included, the link not); t_1 is when the first token's id is chosen.",
        _MLPERF,
        decimals=3,
    ),
    Metric(
        "tpot_ms",
        "ms",
        "lower",
        "TPOT",
        "Time per output token: (t_last - t_first) / (n - 1), n counting EOS; none for n = 1.",
        _MLPERF,
        decimals=3,
    ),
    Metric("itl_p50_us", "us", "lower", "ITL p50", "Median of the raw gaps between tokens.", _DESIGN),
    Metric(
        "itl_p99_us",
        "us",
        "lower",
        "ITL p99",
        "99th percentile of the raw gaps between tokens, from 100 gaps on.",
        _DESIGN,
    ),
    Metric("prefill_tps", "tokens/s", "higher", "prefill", "Prompt tokens (BOS counted) / TTFT.", _DESIGN),
    Metric("decode_tps", "tokens/s", "higher", "decode", "(n - 1) / (t_last - t_first).", _DESIGN),
    Metric(
        "bound_pct",
        "%",
        "higher",
        "of bound",
        "decode_tps as a share of the most that this platform can decode with this model, one core reading each weight "
        "once a token and multiplying at its full rate. Not for emulated boards.",
        "tinyprof, docs/platforms.md",
    ),
    Metric("e2e_ms", "ms", "lower", "E2E", "From t0 until the last token's id is chosen.", _DESIGN, decimals=3),
    Metric(
        "inference_ms",
        "ms",
        "lower",
        "inference",
        "One inference of a model without tokens.",
        "MLPerf Tiny (not an MLPerf result)",
        decimals=3,
    ),
    Metric(
        "ram_peak_bytes",
        "B",
        "lower",
        "RAM peak",
        "Static + heap + stack on firmware; peak resident set of the engine's process on Linux (marked).",
        _DESIGN,
        "int",
        0,
    ),
    Metric("heap_peak_bytes", "B", "lower", "heap peak", "High-water mark of the heap.", _DESIGN, "int", 0),
    Metric(
        "stack_peak_bytes",
        "B",
        "lower",
        "stack peak",
        "High-water mark of the stack, by painting.",
        _DESIGN,
        "int",
        0,
    ),
    Metric("flash_bytes", "B", "lower", "flash", "Code, constants and model in flash.", _DESIGN, "int", 0),
    Metric("output_tokens", "tokens", "neither", "output", "Tokens generated, EOS counted.", _DESIGN, "int", 0),
    Metric(
        "prompt_tokens",
        "tokens",
        "neither",
        "prompt",
        "Tokens of the prompt, BOS counted.",
        _DESIGN,
        "int",
        0,
    ),
    Metric(
        "cpu_ns_per_token",
        "ns",
        "lower",
        "CPU/token",
        "CPU time of the engine's process for each output token.",
        _LINUX,
    ),
    Metric(
        "cpu_share",
        "ratio",
        "higher",
        "CPU share",
        "Share of the timed work in which a single-threaded engine on this machine had the processor: its CPU time / "
        "the time from t0 to the last token.",
        _DESIGN,
        decimals=3,
    ),
    Metric(
        "instructions_per_token",
        "instructions",
        "lower",
        "instr/token",
        "Instructions for each output token after the first, as an emulator counts them: those from t_1 to t_last / "
        "(n - 1).",
        "QEMU -icount",
        decimals=0,
    ),
    Metric(
        "instructions_to_first_token",
        "instructions",
        "lower",
        "instr to 1st",
        "Instructions from t0 to t_1, as an emulator counts them: the prompt's tokenising and prefill.",
        "QEMU -icount",
        decimals=0,
    ),
    Metric(
        "model_cycles_per_token",
        "cycles",
        "lower",
        "cycles/token",
        "Cycles of an emulator's model for each output token after the first: those from t_1 to t_last / (n - 1). The "
        "model knows no wait states and no cache misses.",
        "rp2040js",
        decimals=0,
    ),
    Metric(
        "model_cycles_to_first_token",
        "cycles",
        "lower",
        "cycles to 1st",
        "Cycles of an emulator's model from t0 to t_1.",
        "rp2040js",
        decimals=0,
    ),
    Metric("power_mw", "mW", "lower", "power", "Mean power over the timed window.", _DESIGN),
    Metric(
        "energy_mj_per_token",
        "mJ",
        "lower",
        "energy/token",
        "Energy of the decode window / (n - 1).",
        _DESIGN,
        decimals=3,
    ),
    Metric(
        "energy_net_mj_per_token",
        "mJ",
        "lower",
        "net energy/token",
        "Energy of the decode window less idle power / (n - 1).",
        _DESIGN,
        decimals=3,
    ),
    Metric("temperature_c", "degC", "lower", "temperature", "Temperature of the processor or board.", _LINUX),
    Metric("cpu_clock_hz", "Hz", "higher", "clock", "Clock of the processor under test.", _LINUX, "int", 0),
    Metric(
        "throttled_share",
        "ratio",
        "lower",
        "throttled",
        "Share of the timed work under throttling.",
        _LINUX,
        decimals=3,
    ),
    Metric("load_1m", "tasks", "lower", "load", "Load average of the host over one minute.", _LINUX, decimals=2),
    Metric("memory_available_bytes", "B", "higher", "memory free", "MemAvailable of the host.", _LINUX, "int", 0),
    Metric(
        "clock_drift_ratio",
        "ratio",
        "lower",
        "clock drift",
        "Difference between the board's clock and the host's over the timed span.",
        _DESIGN,
        decimals=5,
    ),
    Metric("round_trip_us", "us", "lower", "round trip", "Quickest of the round trips to the board.", _DESIGN),
    Metric("spool_bytes", "B", "lower", "spool", "Bytes of records in the agent's spool.", _DESIGN, "int", 0),
)

METRICS: Final[dict[str, Metric]] = {metric.name: metric for metric in _ALL}
