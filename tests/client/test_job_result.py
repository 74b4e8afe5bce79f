"""A result as a script reads it."""

import pytest

from tinyprof.job_result import JobResult
from tinyprof_protocol.jobs import CachedFrom
from tinyprof_protocol.records import Build, ClockReport, Conditions, Event, Figure, Record, Result

BUILD = Build("rp2040", "c", "1", "m", "0" * 64, "Q8_0", "f32", "float32", 256, "device")
RUN = Result(
    bytes(16), "pico-1", BUILD, "quick", ["One day"], 24, "unstable", ["noisy"], "match", ClockReport("checked"),
    {"decode_tps": Figure(31.5, 31.0, 32.0, 0.97, 8), "ttft_ms": Figure(12.0, estimated=True)}, [], Conditions(), 2.0,
    output="there was",
)  # fmt: skip
RECORD = Record(5, "clock", bytes(16), 1, RUN)


def test_metrics_read_by_their_names():
    result = JobResult(RECORD, "lab.pi")
    tps = result.decode_tps
    assert (tps.median, tps.low, tps.high, tps.n, tps.estimated, float(tps)) == (31.5, 31.0, 32.0, 8, False, 31.5)
    assert (result.ttft_ms.low, result.ttft_ms.estimated) == (None, True)
    assert (result.verdict, result.reasons, result.output, result.board) == (
        "unstable",
        ["noisy"],
        "there was",
        "pico-1",
    )
    assert (result.record, result.run, result.node) == (RECORD, RUN, "lab.pi")
    assert sorted(result.metrics) == ["decode_tps", "ttft_ms"]
    assert "decode_tps" in dir(result)


def test_a_metric_that_the_run_has_not_names_those_it_has():
    result = JobResult(RECORD, "lab.pi", CachedFrom("lab.pi", "pico-1", 1, 2.0, "valid"), b"j" * 16)
    with pytest.raises(AttributeError, match=r"no 'decode_tp', which is no metric; nearest: decode_tps"):
        _ = result.decode_tp
    with pytest.raises(AttributeError, match="this run has no 'inference_ms'; it has decode_tps, ttft_ms"):
        _ = result.inference_ms
    assert (result.cached.age_s, result.joined) == (2.0, b"j" * 16)


def test_a_record_that_is_no_result_is_none():
    with pytest.raises(ValueError, match="no result"):
        JobResult(Record(5, "clock", bytes(16), 1, Event("reset")), "lab.pi")
