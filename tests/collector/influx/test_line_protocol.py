"""Lines against an independent parser: what it reads back is what the record says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_protocol_parser import parse_line
from msgspec.structs import replace

from tinyprof_collector.stores.influx import line_protocol
from tinyprof_collector.stores.influx.line_protocol import (
    MAX_TIME_NS,
    TAG_CHARACTERS,
    FixedParts,
    Unwritable,
    canary_line,
    line_of,
    metric_field,
    record_bytes,
    tag_value,
)
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.codec import pack
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import Build, ClockReport, Conditions, Event, Figure, Record, Result, Sample
from tinyprof_protocol.series import series_of

NODE, EPOCH = "lab.pi", bytes(range(16))
WORDS = st.text(st.characters(codec="utf-8"), max_size=TAG_CHARACTERS)
LINES = st.text(st.characters(codec="utf-8"), max_size=300)
FINITE = st.floats(min_value=-1e308, max_value=1e308, allow_nan=False, allow_subnormal=False)
BUILDS = st.builds(
    Build, platform=WORDS, engine=WORDS, engine_build=LINES, model=WORDS, model_sha256=st.just("0" * 64),
    quantisation=WORDS, kv_cache=WORDS, activations=WORDS, ctx=st.integers(0, 2**53), timing=st.just("device"),
    firmware=WORDS, firmware_build=LINES,
)  # fmt: skip


def arrival_of(body, time_ns=1_800_000_000_000_000_123, seq=7) -> Arrival:
    record = Record(time_ns, "clock", bytes(16), 5, body)
    return Arrival(NODE, EPOCH, seq, pack(record), record)


def line(arrival: Arrival, *, whole: bool = True) -> str:
    return line_of(arrival, FixedParts().of(arrival), whole=whole)


def parsed(arrival: Arrival):
    return parse_line(line(arrival))


def result_of(build: Build, figures: dict[str, Figure], suite: str = "quick") -> Result:
    return Result(
        run_id=bytes(16), board="alpha", build=build, suite=suite, prompts=["x"], max_tokens=8, verdict="valid",
        reasons=[], golden="match", clock=ClockReport("host"), figures=figures, repetitions=[],
        conditions=Conditions(), timed_s=1.0,
    )  # fmt: skip


def plain(text: str) -> str:
    """A tag's text as it is meant to arrive."""
    return "".join(" " if ord(one) < 32 or one == "\x7f" else "/" if one == "\\" else one for one in text)


@settings(max_examples=150, deadline=None)
@given(BUILDS, WORDS, st.dictionaries(st.sampled_from(sorted(METRICS)), FINITE, max_size=8))
def test_a_result_reads_back_with_every_tag_and_field(build, suite, values):
    values = {name: value for name, value in values.items() if METRICS[name].type == "float" or abs(value) < 2**53}
    body = result_of(build, {name: Figure(value, value, None) for name, value in values.items()}, suite)
    arrival = arrival_of(body)
    read = parsed(arrival)
    tags = {
        "agent": "pi", "board": "alpha", "site": "lab", "engine": build.engine, "model": build.model,
        "platform": build.platform, "quantisation": build.quantisation,
    }  # fmt: skip
    assert read["tags"] == {name: plain(text) for name, text in tags.items() if text}
    assert read["measurement"] == "tinyprof_result"
    assert read["time"] == arrival.record.time_ns
    fields = read["fields"]
    assert (fields["seq"], fields["epoch"], fields["series_id"]) == (7, EPOCH.hex(), series_of(body))
    assert fields.get("engine_build", "") == build.engine_build.replace("\0", " ")
    assert fields.get("suite", "") == suite.replace("\0", " ")
    assert record_bytes(fields["record"]) == arrival.data
    for name, value in values.items():
        is_int = METRICS[name].type == "int"
        assert fields[name] == (round(value) if is_int else value)
        assert isinstance(fields[name], int if is_int else float)
        assert fields[f"{name}_low"] == value
        assert isinstance(fields[f"{name}_low"], float)


@settings(max_examples=100, deadline=None)
@given(WORDS, LINES)
def test_an_event_reads_back_whatever_its_text(name, message):
    read = parsed(arrival_of(Event(name, message=message)))
    assert read["tags"] == {"agent": "pi", "site": "lab"}
    assert (read["fields"]["event"], read["fields"]["message"]) == (name.replace("\0", " "), message.replace("\0", " "))


def test_tags_stand_sorted_and_the_head_is_the_same_each_time():
    build = Build("p", "e", "", "m", "0" * 64, "q", "f32", "f32", 1, "device")
    head = line(arrival_of(result_of(build, {}))).split(" ")[0]
    assert head == "tinyprof_result,agent=pi,board=alpha,engine=e,model=m,platform=p,quantisation=q,site=lab"


def test_a_tag_is_at_most_64_characters_and_an_empty_one_is_left_out():
    assert tag_value("x" * 65) == "x" * 64
    assert tag_value("a\\") == "a/"
    build = Build("", "e", "", "m", "0" * 64, "q", "f32", "f32", 1, "device")
    assert ",platform=" not in line(arrival_of(result_of(build, {})))


def test_a_figure_that_the_table_does_not_know_is_no_field_and_not_lost():
    arrival = arrival_of(Sample({"temperature_c": 40.0, "seq": 3.5, "from_the_future": 1.0}, "alpha"))
    fields = parsed(arrival)["fields"]
    assert fields.keys() == {"epoch", "seq", "temperature_c", "record"}
    assert fields["seq"] == 7
    assert record_bytes(fields["record"]) == arrival.data


def test_no_metric_has_the_name_of_another_field():
    build = Build("p", "e", "b", "m", "0" * 64, "q", "f32", "f32", 1, "device", firmware="f", firmware_build="x")
    estimated = replace(arrival_of(result_of(build, {})).record, time="estimated")
    own = set(parse_line(line(Arrival(NODE, EPOCH, 1, b"", estimated)))["fields"])
    own |= set(parsed(arrival_of(Event("e", message="m", run_id=bytes(16), job_id=bytes(16))))["fields"])
    given_names = {f"{name}{suffix}" for name in METRICS for suffix in ("", "_low", "_high", "_estimated")}
    assert len(given_names) == 4 * len(METRICS)
    assert own.isdisjoint(given_names)


def test_numbers_keep_their_type_whatever_their_value():
    assert metric_field("decode_tps", 5.0) == "decode_tps=5.0"
    assert metric_field("decode_tps", 1e308) == "decode_tps=1e+308"
    assert metric_field("ram_peak_bytes", 65536.4) == "ram_peak_bytes=65536i"
    with pytest.raises(Unwritable, match="ram_peak_bytes 1e\\+300"):
        metric_field("ram_peak_bytes", 1e300)


def test_a_time_that_influxdb_cannot_hold_is_no_line():
    line(arrival_of(Event("e"), time_ns=MAX_TIME_NS))
    with pytest.raises(Unwritable, match="time 9223372036854775807"):
        line(arrival_of(Event("e"), time_ns=MAX_TIME_NS + 1))


def test_without_whole_records_the_figures_stay():
    text = line(arrival_of(Sample({"temperature_c": 40.0})), whole=False)
    assert parse_line(text)["fields"].keys() == {"epoch", "seq", "temperature_c"}


def test_the_canary_has_a_measurement_of_its_own():
    read = parse_line(canary_line("main", 5))
    assert (read["measurement"], read["tags"], read["time"]) == ("tinyprof_canary", {"collector": "main"}, 5)
    assert read["measurement"] not in line_protocol.MEASUREMENTS


def test_a_boards_fixed_part_is_made_anew_where_its_series_changes_and_is_bounded():
    build = Build("p", "e", "", "m", "0" * 64, "q", "f32", "f32", 1, "device")
    fixed = FixedParts(bound=2)
    first = arrival_of(result_of(build, {}))
    assert fixed.of(first) is fixed.of(arrival_of(result_of(build, {}), seq=8))
    for other in (
        result_of(replace(build, engine="other"), {}), result_of(build, {}, suite="long"),
        replace(result_of(build, {}), prompts=["y"]), replace(result_of(build, {}), max_tokens=9),
        replace(result_of(build, {}), board="beta"),
    ):  # fmt: skip
        again = arrival_of(other)
        assert fixed.of(again) == FixedParts().of(again) != fixed.of(first)
    for n in range(5):
        board = arrival_of(replace(result_of(build, {}), board=f"b{n}"))
        assert fixed.of(board).head == FixedParts().of(board).head
    sample, event = arrival_of(Sample({}, "alpha")), arrival_of(Event("e", board="alpha"))
    assert fixed.of(sample).head == "tinyprof_sample,agent=pi,board=alpha,site=lab"
    assert fixed.of(event).head == "tinyprof_event,agent=pi,board=alpha,site=lab"
