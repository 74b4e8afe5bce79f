"""llama-bench's JSON: its fields and types, and nothing that is not known."""

import msgspec
import pytest

from tinyprof.formats.llama_bench import ModelSize, TimedRun, llama_bench_tests
from tinyprof_protocol.records import Repetition

# The fields of llama-bench (llama.cpp, tools/llama-bench/llama-bench.cpp, test::get_fields and get_field_type), and
# `use_mmap`, which its scripts/compare-llama-bench.py asks for.
INT = {"build_number", "n_batch", "n_ubatch", "n_threads", "poll", "model_size", "model_n_params", "n_gpu_layers",
       "main_gpu", "n_prompt", "n_gen", "n_depth", "avg_ns", "stddev_ns", "no_op_offload", "n_cpu_moe", "fit_target",
       "fit_min_ctx", "flash_attn"}  # fmt: skip
BOOL = {"no_kv_offload", "cpu_strict", "embeddings", "no_host", "use_mmap"}
FLOAT = {"avg_ts", "stddev_ts"}
STRING = {"build_commit", "cpu_info", "gpu_info", "backends", "model_filename", "model_type", "cpu_mask", "type_k",
          "type_v", "split_mode", "devices", "tensor_split", "tensor_buft_overrides", "load_mode",
          "test_time"}  # fmt: skip
LISTS = {"samples_ns", "samples_ts"}


@pytest.fixture
def run(result):
    repetitions = [Repetition(0, 10.0, 2.0, 5, 24), Repetition(1, 30.0, 3.0, 9, 24),
                   Repetition(0, 12.0, 2.5, 5, 24), Repetition(1, 34.0, 3.0, 9, 24)]  # fmt: skip
    return result(repetitions=repetitions, prompts=["a", "b"])


def test_each_prompt_is_a_test_of_the_prompt_and_one_of_what_follows(run) -> None:
    tests = llama_bench_tests([TimedRun(run, 10**18)])
    assert [(one["n_prompt"], one["n_gen"], one["n_depth"]) for one in tests] == [
        (5, 0, 0), (0, 23, 5), (9, 0, 0), (0, 23, 9),
    ]  # fmt: skip
    prompt, generated = tests[:2]
    assert prompt["samples_ns"] == [10_000_000, 12_000_000]
    assert prompt["samples_ts"] == pytest.approx([500, 5e3 / 12])
    assert (prompt["avg_ns"], prompt["stddev_ns"]) == (11_000_000, 1_414_213)
    assert prompt["avg_ts"] == pytest.approx((500 + 5e3 / 12) / 2)
    assert generated["samples_ns"] == [46_000_000, 57_500_000]
    assert generated["samples_ts"] == pytest.approx([500, 400])
    assert generated["stddev_ts"] == pytest.approx(70.7107, rel=1e-4)


def test_fields_and_types_are_llama_benchs_own(run) -> None:
    for test in llama_bench_tests([TimedRun(run, 10**18)], lambda _: ModelSize(1000, 2000)):
        assert set(test) == INT | BOOL | FLOAT | STRING | LISTS
        for names, kind in ((INT, int), (BOOL, bool), (FLOAT, float), (STRING, str), (LISTS, list)):
            assert [name for name in names if not isinstance(test[name], kind | None)] == []


def test_only_what_is_known_is_filled_in(run) -> None:
    [test, *_] = llama_bench_tests([TimedRun(run, 1_700_000_000 * 10**9, "A processor")])
    known = {name: value for name, value in test.items() if value is not None}
    assert known.keys() == {
        "build_commit", "cpu_info", "model_filename", "model_type", "type_k", "type_v", "embeddings", "n_prompt",
        "n_gen", "n_depth", "test_time", "avg_ns", "stddev_ns", "avg_ts", "stddev_ts", "samples_ns", "samples_ts",
    }  # fmt: skip
    assert (test["cpu_info"], test["type_k"], test["test_time"]) == ("A processor", "f32", "2023-11-14T22:13:20Z")
    ours = msgspec.structs.replace(run, build=msgspec.structs.replace(run.build, engine="tinyprof-c"))
    [test, *_] = llama_bench_tests([TimedRun(ours, 0)], lambda _: ModelSize(1000, 2000))
    assert (test["backends"], test["gpu_info"], test["n_gpu_layers"], test["model_size"]) == ("CPU", "", 0, 1000)


def test_what_was_not_timed_or_is_invalid_is_no_test(run) -> None:
    emulated = msgspec.structs.replace(run, build=msgspec.structs.replace(run.build, emulated=True))
    invalid = msgspec.structs.replace(run, verdict="invalid")
    assert llama_bench_tests([TimedRun(emulated, 0), TimedRun(invalid, 0)]) == []


def test_a_single_token_has_no_second_test_and_one_sample_no_deviation(result) -> None:
    run = result(repetitions=[Repetition(0, 10.0, None, 5, 1)])
    [test] = llama_bench_tests([TimedRun(run, 0)])
    assert (test["n_prompt"], test["stddev_ns"], test["stddev_ts"]) == (5, 0, 0.0)
