"""Records decoded with builds made once are those that are decoded each on its own."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import to_builtins
from msgspec.structs import replace

from tinyprof_collector.known_builds import MAX_BYTES, KnownBuilds
from tinyprof_protocol.codec import BadMessage, pack, unpack, unpack_each
from tinyprof_protocol.records import Build, ClockReport, Conditions, Event, Figure, Record, Result, Sample

BUILD = Build("p", "e", "b", "m", "0" * 64, "q", "f32", "f32", 1, "device")


def result_of(build: Build = BUILD) -> Result:
    return Result(
        run_id=bytes(16), board="alpha", build=build, suite="quick", prompts=["x"], max_tokens=8, verdict="valid",
        reasons=[], golden="match", clock=ClockReport("host"), figures={"decode_tps": Figure(1.5)}, repetitions=[],
        conditions=Conditions(), timed_s=1.0,
    )  # fmt: skip


def packed(body: Result | Sample | Event) -> bytes:
    return pack(Record(5, "clock", bytes(16), 5, body))


def with_build(build: object) -> bytes:
    """A record whose result has this for its build, whatever it is."""
    record = to_builtins(Record(5, "clock", bytes(16), 5, result_of()), builtin_types=(bytes,))
    record["body"]["build"] = build
    return pack(record)


PACKED = st.one_of(
    st.builds(replace, st.just(BUILD), engine=st.text(max_size=3), ctx=st.integers(0, 3)).map(result_of).map(packed),
    st.sampled_from([packed(Sample({"temperature_c": 40.0}, "alpha")), packed(Event("e"))]),
    st.binary(max_size=40),
    st.sampled_from([{}, None, 5, {**to_builtins(BUILD), "ctx": -1}]).map(with_build),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(PACKED, max_size=8), max_size=4))
def test_each_record_is_what_it_is_when_decoded_alone(lists):
    builds = KnownBuilds(bound=3)
    for items in lists:
        for ours, alone in zip(builds.unpack_each(items), unpack_each(items, Record), strict=True):
            assert isinstance(ours, BadMessage) is isinstance(alone, BadMessage)
            if isinstance(ours, Record) and isinstance(alone, Record):
                assert pack(ours) == pack(alone)
                assert isinstance(ours.body, type(alone.body))
                assert unpack(pack(ours), Record) == alone
                if isinstance(ours.body, Result) and isinstance(alone.body, Result):
                    assert ours.body.build == alone.body.build


def test_a_build_is_made_once_until_the_bound_is_reached():
    builds = KnownBuilds(bound=2)

    def build_of(engine: str) -> Build:
        [record] = builds.unpack_each([packed(result_of(replace(BUILD, engine=engine)))])
        assert isinstance(record, Record)
        assert isinstance(record.body, Result)
        return record.body.build

    first = build_of("a")
    assert build_of("a") is first
    assert build_of("b") is build_of("b")
    assert build_of("c").engine == "c"
    assert build_of("a") == first
    assert build_of("a") is not first


def test_a_build_with_much_that_nobody_knows_is_not_remembered():
    builds = KnownBuilds()
    data = with_build({**to_builtins(BUILD), "from_the_future": "x" * MAX_BYTES})
    [first], [second] = builds.unpack_each([data]), builds.unpack_each([data])
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert isinstance(first.body, Result)
    assert isinstance(second.body, Result)
    assert first.body.build == second.body.build == BUILD
    assert first.body.build is not second.body.build
