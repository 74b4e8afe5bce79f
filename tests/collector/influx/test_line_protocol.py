"""Lines against an independent parser: what it reads back is what the record says."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from line_protocol_parser import parse_line
from msgspec.structs import replace

from tinyprof_collector.config import Details
from tinyprof_collector.stores.influx import line_protocol
from tinyprof_collector.stores.influx.detail import TAGS_OF_BUILD, field_bytes, field_text, record_in
from tinyprof_collector.stores.influx.line_protocol import (
    MAX_TIME_NS,
    TAG_CHARACTERS,
    FixedParts,
    Unwritable,
    canary_line,
    metric_field,
    tag_value,
)
from tinyprof_collector.stores.influx.lines import Line, lines_of
from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.codec import pack
from tinyprof_protocol.metrics import METRICS
from tinyprof_protocol.records import (
    Build,
    ClockReport,
    Conditions,
    Event,
    Figure,
    Record,
    Repetition,
    Result,
    Sample,
)
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

BUILD = Build("p", "e", "b", "m", "0" * 64, "q", "f32", "f32", 1, "device")
NUMBERS = st.none() | FINITE
FIGURES = st.builds(Figure, FINITE, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2**53), st.booleans())
REPETITIONS = st.builds(
    Repetition, st.integers(0, 63), NUMBERS, NUMBERS, st.integers(0, 99), st.integers(0, 99),
    st.sampled_from(["match", "differs"]), st.integers(0, 9), NUMBERS, NUMBERS,
)  # fmt: skip
RESULTS = st.builds(
    Result, run_id=st.binary(min_size=16, max_size=16), board=st.just("alpha"),
    build=st.builds(
        Build, platform=WORDS, engine=WORDS, engine_build=LINES, model=WORDS, model_sha256=st.just("0" * 64),
        quantisation=WORDS, kv_cache=WORDS, activations=WORDS, ctx=st.integers(0, 2**53),
        timing=st.sampled_from(["device", "client", "engine"]), emulated=st.booleans(), stands_for=st.none() | WORDS,
        firmware=WORDS, firmware_build=LINES, streamed=st.booleans(),
    ),
    suite=WORDS, prompts=st.lists(LINES, max_size=3), max_tokens=st.integers(0, 99),
    verdict=st.sampled_from(["valid", "unstable", "invalid"]), reasons=st.lists(LINES, max_size=2),
    golden=st.sampled_from(["match", "tie", "differs", "none"]),
    clock=st.builds(ClockReport, st.just("checked"), st.integers(0, 9), FINITE, NUMBERS, NUMBERS, LINES),
    figures=st.dictionaries(
        st.sampled_from(sorted(name for name, metric in METRICS.items() if metric.type == "float")), FIGURES, max_size=8
    ),
    repetitions=st.lists(REPETITIONS, max_size=3),
    conditions=st.builds(Conditions, NUMBERS, st.none() | st.integers(0, 9), governor=st.none() | WORDS),
    timed_s=FINITE, warm_up_s=FINITE, min_repetitions=st.integers(0, 99), min_timed_s=FINITE,
    itl_us=st.lists(st.integers(0, 2**53), max_size=5), itl_dropped=st.integers(0, 9),
    repetitions_dropped=st.integers(0, 9), output=LINES, job_id=st.none() | st.binary(min_size=16, max_size=16),
    attempt=st.integers(0, 9), ram_is_rss=st.booleans(), suite_terms=WORDS,
)  # fmt: skip


def test_the_strategy_above_gives_every_key_of_a_result_and_its_build():
    """A key that is added to either, and that a line does not carry, must fail here until it does."""
    assert set(Result.__struct_fields__) == {
        "run_id", "board", "build", "suite", "prompts", "max_tokens", "verdict", "reasons", "golden", "clock",
        "figures", "repetitions", "conditions", "timed_s", "warm_up_s", "min_repetitions", "min_timed_s", "itl_us",
        "itl_dropped", "repetitions_dropped", "output", "job_id", "attempt", "ram_is_rss", "suite_terms",
    }  # fmt: skip
    assert set(Figure.__struct_fields__) == {"value", "low", "high", "coverage", "n", "estimated"}
    assert set(Build.__struct_fields__) == {
        "platform", "engine", "engine_build", "model", "model_sha256", "quantisation", "kv_cache", "activations",
        "ctx", "timing", "emulated", "stands_for", "firmware", "firmware_build", "streamed",
    }  # fmt: skip


def arrival_of(body, time_ns=1_800_000_000_000_000_123, seq=7) -> Arrival:
    record = Record(time_ns, "clock", bytes(16), 5, body)
    return Arrival(NODE, EPOCH, seq, pack(record), record)


def made(arrival: Arrival, details: Details = "rest") -> Line:
    [one] = lines_of([arrival], FixedParts(), details)
    return one


def line(arrival: Arrival, details: Details = "rest") -> str:
    one = made(arrival, details)
    assert not one.unwritable
    return one.text.decode()


def parsed(arrival: Arrival, details: Details = "rest"):
    return parse_line(line(arrival, details))


def read_back(arrival: Arrival) -> Record | None:
    read = parsed(arrival)
    return record_in({**read["tags"], **read["fields"], "time": read["time"]})


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
    assert read_back(arrival) == arrival.record
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
    assert field_bytes(fields["record"]) == arrival.data
    unknown = arrival_of(result_of(BUILD, {"decode_tps": Figure(1.0), "from_the_future": Figure(2.0)}))
    assert parsed(unknown)["fields"].keys() & {"decode_tps", "from_the_future", "rest", "record"} == {
        "decode_tps", "record",
    }  # fmt: skip
    assert read_back(unknown) == unknown.record


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
    for body in (Event("e"), result_of(BUILD, {})):
        one = made(arrival_of(body, time_ns=MAX_TIME_NS + 1))
        assert "time 9223372036854775807" in one.unwritable
        assert not one.text


def test_an_unwritable_record_leaves_the_lines_of_its_neighbours_as_they_are():
    bodies = [
        result_of(BUILD, {"decode_tps": Figure(1.5)}), result_of(BUILD, {"ram_peak_bytes": Figure(1e300)}),
        Sample({"ram_peak_bytes": 1e300}), result_of(BUILD, {"ttft_ms": Figure(2.5, 2.0)}),
    ]  # fmt: skip
    arrivals = [arrival_of(body, seq=seq) for seq, body in enumerate(bodies, start=1)]
    first, *bad, last = lines_of(arrivals, FixedParts())
    assert all("ram_peak_bytes 1e+300" in one.unwritable and not one.text for one in bad)
    assert (first.text.decode(), last.text.decode()) == (line(arrivals[0]), line(arrivals[3]))


@settings(max_examples=50, deadline=None)
@given(st.lists(RESULTS, max_size=6))
def test_lines_made_together_are_those_made_one_by_one(results):
    arrivals = [arrival_of(body, seq=seq) for seq, body in enumerate(results, start=1)]
    together = lines_of(arrivals, FixedParts())
    assert [one.text.decode() for one in together] == [line(arrival) for arrival in arrivals]


def test_without_details_the_figures_stay():
    sample = arrival_of(Sample({"temperature_c": 40.0}))
    assert parsed(sample, "none")["fields"].keys() == {"epoch", "seq", "temperature_c"}
    result = arrival_of(result_of(BUILD, {"decode_tps": Figure(1.0)}))
    fields = parsed(result, "none")["fields"]
    assert fields["decode_tps"] == 1.0
    assert not fields.keys() & {"rest", "record"}
    assert record_in({"time": 1, **fields}) is None


@settings(max_examples=200, deadline=None)
@given(RESULTS, st.sampled_from(["clock", "estimated"]), st.binary(min_size=16, max_size=16))
def test_a_result_comes_back_from_its_line_as_it_was(body, time, boot):
    record = Record(1_800_000_000_000_000_123, time, boot, 2**62, body)
    assert read_back(Arrival(NODE, EPOCH, 7, pack(record), record)) == record


def test_what_the_fields_say_is_not_said_again():
    figure = Figure(1.5, 1.0, 2.0, 0.969, 6)
    arrival = arrival_of(result_of(BUILD, {"decode_tps": figure, "ttft_ms": figure}))
    fields = parsed(arrival)["fields"]
    assert "record" not in fields
    assert len(fields["rest"]) < len(arrival.data) / 2


@pytest.mark.parametrize(
    "body",
    [
        lambda: result_of(replace(BUILD, model="a\\b"), {}), lambda: result_of(replace(BUILD, engine="a\tb"), {}),
        lambda: result_of(BUILD, {}, suite="a\0b"), lambda: result_of(BUILD, {"ram_peak_bytes": Figure(65536.4)}),
        lambda: result_of(replace(BUILD, firmware_build="a\0b"), {}),
    ],
)  # fmt: skip
def test_what_a_field_cannot_give_back_keeps_the_whole_record(body):
    arrival = arrival_of(body())
    fields = parsed(arrival)["fields"]
    assert field_bytes(fields["record"]) == arrival.data
    assert "rest" not in fields
    assert read_back(arrival) == arrival.record


def test_a_point_that_is_not_as_it_was_written_is_told():
    read = parsed(arrival_of(result_of(BUILD, {"decode_tps": Figure(1.0)})))
    row = {**read["tags"], **read["fields"], "time": 5}
    assert record_in(row) is not None
    for name in ("decode_tps", "ctx", "run_id", "verdict"):
        with pytest.raises(ValueError, match=r"figures|not as it was|Expected|Invalid"):
            record_in({**row, name: None, "of_another": 1})
    for name, value in (("board", None), ("ctx", "x"), ("decode_tps", "x"), ("verdict", 1)):
        with pytest.raises(ValueError, match=r"(?i)not as it was|expected|invalid|convert"):
            record_in({**row, name: value})
    for text, why in (("&", "base64"), ("AAAA", "array")):
        with pytest.raises(ValueError, match=why):
            record_in({**row, "rest": text})


@settings(max_examples=200, deadline=None)
@given(RESULTS, st.sampled_from(["clock", "estimated"]), st.data())
def test_a_point_that_is_being_written_is_not_there_yet(body, time, data):
    record = Record(1_800_000_000_000_000_123, time, bytes(16), 5, body)
    read = parsed(Arrival(NODE, EPOCH, 7, pack(record), record))
    unseen = data.draw(st.sets(st.sampled_from(sorted(read["fields"])), min_size=1))
    seen = {name: None if name in unseen else value for name, value in read["fields"].items()}
    row = {**read["tags"], **seen, "time": read["time"]}
    assert record_in(row) == (record if seen.get("record") else None)


def test_a_line_of_before_its_fields_were_counted_is_read():
    read = parsed(arrival_of(result_of(BUILD, {"decode_tps": Figure(1.0)})))
    *before, fields = msgspec.msgpack.decode(field_bytes(read["fields"]["rest"]))
    row = {**read["tags"], **read["fields"], "time": 5}
    assert fields == len(row.keys() - {"time", "rest", "agent", "board", "site", *TAGS_OF_BUILD})
    whole = record_in(row)
    assert whole is not None
    assert record_in({**row, "rest": field_text(pack(before))}) == whole


def test_the_canary_has_a_measurement_of_its_own():
    read = parse_line(canary_line("main", 5).decode())
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
    assert fixed.of(sample).head == b"tinyprof_sample,agent=pi,board=alpha,site=lab"
    assert fixed.of(event).head == b"tinyprof_event,agent=pi,board=alpha,site=lab"
