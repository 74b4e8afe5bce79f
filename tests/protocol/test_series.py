"""Which results may be compared."""

import pathlib

import protocol_examples as ex
import pytest
from msgspec import structs

from tinyprof_protocol import requests
from tinyprof_protocol.codec import decode, pack, unpack
from tinyprof_protocol.records import Build, Record
from tinyprof_protocol.series import KnownSeries, describe, is_series, series_of

RECORDED = "8d2e0bdc0dca2e2c"
WIRE = pathlib.Path(__file__).with_name("wire")
OTHER_BUILDS = [
    {
        name: 512
        if name == "ctx"
        else True
        if name in ("emulated", "streamed")
        else "client"
        if name == "timing"
        else "x"
    }
    for name in Build.__struct_fields__
]
OTHERS = [
    *({"build": structs.replace(ex.BUILD, **change)} for change in OTHER_BUILDS),
    {"suite": "standard"},
    {"prompts": ["One day", "Once"]},
    {"prompts": ["One", "day"]},
    {"prompts": []},
    {"max_tokens": 17},
]


def test_the_series_of_a_result_is_what_it_was_in_every_version():
    assert series_of(ex.RESULT) == RECORDED
    recorded = decode((WIRE / "v1-record.msgpack").read_bytes(), Record)
    assert series_of(recorded.body) == RECORDED
    assert is_series(RECORDED)


@pytest.mark.parametrize("change", OTHERS, ids=",".join)
def test_whatever_differs_in_the_build_or_in_what_was_asked_is_another_series(change):
    assert series_of(structs.replace(ex.RESULT, **change)) != RECORDED


def test_what_was_measured_and_who_asked_is_no_part_of_the_series():
    other = structs.replace(
        ex.RESULT, run_id=b"r" * 16, board="soft-1", verdict="invalid", figures={}, repetitions=[], job_id=None,
        output="", itl_us=[], timed_s=9.0, golden="differs",
    )  # fmt: skip
    assert series_of(other) == RECORDED


def test_known_series_are_the_same_within_any_bound():
    results = [ex.RESULT, *(structs.replace(ex.RESULT, **change) for change in OTHERS)]
    results += [unpack(pack(record), Record).body for record in [ex.RECORD] * 2]
    for bound in (1, 3, 1000):
        known = KnownSeries(bound)
        assert [known.of(result) for result in results * 2] == [series_of(result) for result in results * 2]
        assert len(known) <= bound


def test_a_series_in_words_is_cut_to_its_bounds():
    long = structs.replace(ex.RESULT, prompts=["a\nb " * 1000, "c"])
    seen = describe(long)
    assert unpack(pack(seen), type(seen)) == seen
    assert (seen.prompt[:7], seen.prompts, seen.max_tokens, seen.suite) == ("a b a b", 2, 16, "quick")
    assert seen.build == "numpy-reference 0.1.0 numpy 2.4 soft-board 0.1.0"


def test_a_point_without_a_series_is_one_of_an_older_collector():
    point = requests.Point(1, 2.0, None, None, "valid", b"r")
    assert unpack(pack([1, 2.0, None, None, "valid", b"r"]), requests.Point) == point
    assert unpack(pack(structs.replace(point, series=RECORDED)), requests.Point).series == RECORDED
