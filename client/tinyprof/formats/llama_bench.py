"""Results as llama-bench of llama.cpp prints them with `-o json`: an object a test, each field of its own list.

A field that is not known is null. A run of one prompt is two tests: `n_prompt` tokens until the first token is chosen,
and the gaps after it as `n_gen` at the depth of the prompt. llama-bench times neither tokenising nor sampling; here the
times have both in them. Invalid runs and boards without a clock (emulated ones) give no test.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tinyprof_protocol.records import Repetition, Result

FIELDS: Final = (
    "build_commit", "build_number", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "model_size",
    "model_n_params", "n_batch", "n_ubatch", "n_threads", "cpu_mask", "cpu_strict", "poll", "type_k", "type_v",
    "n_gpu_layers", "n_cpu_moe", "split_mode", "main_gpu", "no_kv_offload", "flash_attn", "devices", "tensor_split",
    "tensor_buft_overrides", "load_mode", "use_mmap", "embeddings", "no_op_offload", "no_host", "fit_target",
    "fit_min_ctx", "n_prompt", "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts",
    "samples_ns", "samples_ts",
)  # fmt: skip
"""In llama-bench's own order; `use_mmap` was a field until `load_mode` took its place, and readers still ask for it."""
OWN_ENGINES: Final = "tinyprof"
"""What the names of our engines begin with: they compute on the processor and on nothing else."""


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model's weights: their bytes and how many they are."""

    bytes: int
    parameters: int


@dataclass(frozen=True, slots=True)
class TimedRun:
    """A result with what it does not say itself: when it was made, and the processor's name where that is known."""

    result: Result
    time_ns: int
    cpu: str = ""


def llama_bench_tests(
    tested: Sequence[TimedRun], size_of: Callable[[str], ModelSize | None] = lambda _: None
) -> list[dict[str, Any]]:
    """The tests of these results. `size_of` knows models by their sha256."""
    return [test for one in tested for test in _tests_of(one, size_of(one.result.build.model_sha256))]


def _tests_of(tested: TimedRun, size: ModelSize | None) -> Iterator[dict[str, Any]]:
    result = tested.result
    if result.verdict == "invalid" or result.build.emulated:
        return
    known = _known(tested, size)
    for prompt in range(len(result.prompts)):
        repetitions = [one for one in result.repetitions if one.prompt == prompt]
        for n_prompt, n_gen, n_depth, samples_ns in _timed(repetitions):
            yield _test(known | {"n_prompt": n_prompt, "n_gen": n_gen, "n_depth": n_depth}, samples_ns)


def _timed(repetitions: Sequence[Repetition]) -> Iterator[tuple[int, int, int, list[int]]]:
    """Prompt tokens, generated tokens, depth, and the times: first of the prompt, then of what was generated."""
    for tokens, gaps in dict.fromkeys((one.prompt_tokens, one.output_tokens - 1) for one in repetitions):
        same = [one for one in repetitions if (one.prompt_tokens, one.output_tokens - 1) == (tokens, gaps)]
        prefill = [round(one.ttft_ms * 1e6) for one in same if one.ttft_ms]
        decode = [round(one.tpot_ms * gaps * 1e6) for one in same if one.tpot_ms]
        if prefill and tokens:
            yield tokens, 0, 0, prefill
        if decode and gaps:
            yield 0, gaps, tokens, decode


def _known(tested: TimedRun, size: ModelSize | None) -> dict[str, Any]:
    build = tested.result.build
    own = build.engine.startswith(OWN_ENGINES)
    when = dt.datetime.fromtimestamp(tested.time_ns // 10**9, dt.UTC)
    return {
        "build_commit": build.firmware_build or build.engine_build,
        "cpu_info": tested.cpu or build.platform,
        "gpu_info": "" if own else None,
        "backends": "CPU" if own else None,
        "n_gpu_layers": 0 if own else None,
        "model_filename": build.model,
        "model_type": f"{build.model} {build.quantisation}",
        "model_size": size.bytes if size else None,
        "model_n_params": size.parameters if size else None,
        "type_k": build.kv_cache,
        "type_v": build.kv_cache,
        "embeddings": False,
        "test_time": f"{when:%Y-%m-%dT%H:%M:%SZ}",
    }


def _test(known: dict[str, Any], samples_ns: list[int]) -> dict[str, Any]:
    tokens = known["n_prompt"] + known["n_gen"]
    samples_ts = [1e9 * tokens / sample for sample in samples_ns]
    measured = {
        "avg_ns": int(_mean(samples_ns)),
        "stddev_ns": int(_deviation(samples_ns)),
        "avg_ts": _mean(samples_ts),
        "stddev_ts": _deviation(samples_ts),
        "samples_ns": samples_ns,
        "samples_ts": samples_ts,
    }
    return dict.fromkeys(FIELDS) | known | measured


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _deviation(values: Sequence[float]) -> float:
    """The deviation of a sample; 0 of a single value, as llama-bench has it."""
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
