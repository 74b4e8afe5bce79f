import pathlib
import tracemalloc
import zlib

import msgpack
import msgspec
import protocol_examples as ex
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyprof_protocol import codec, delivery, presence, records

WIRE = pathlib.Path(__file__).with_name("wire")
HOSTILE_KINDS = [
    delivery.Batch, delivery.Sack, records.Record, presence.AgentStatus, presence.CollectorStatus,
    presence.BoardSummary,
]  # fmt: skip


@pytest.mark.parametrize("name", sorted(ex.EXAMPLES))
def test_every_message_survives_a_round_trip(name):
    message = ex.EXAMPLES[name]
    assert codec.decode(codec.encode(message), type(message)) == message
    assert codec.decode(codec.encode(message, compress=False), type(message)) == message


@pytest.mark.parametrize("name", sorted(ex.EXAMPLES))
def test_recorded_bytes_of_version_1_still_mean_the_same(name):
    recorded = (WIRE / f"v1-{name}.msgpack").read_bytes()
    assert codec.decode(recorded, type(ex.EXAMPLES[name])) == ex.EXAMPLES[name]


def as_lists(value):
    """Tuples as the lists that MessagePack makes of them."""
    if isinstance(value, dict):
        return {key: as_lists(inner) for key, inner in value.items()}
    return [as_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("name", sorted(ex.EXAMPLES))
def test_our_bytes_are_plain_messagepack_to_an_independent_reader(name):
    packed = codec.pack(ex.EXAMPLES[name])
    theirs = msgpack.unpackb(packed, raw=False, strict_map_key=True)
    assert theirs == as_lists(msgspec.to_builtins(ex.EXAMPLES[name], builtin_types=[bytes]))
    kind = type(ex.EXAMPLES[name])
    assert codec.unpack(msgpack.packb(theirs, use_bin_type=True), kind) == ex.EXAMPLES[name]


@given(ex.all_records)
def test_any_record_survives_a_round_trip(record):
    assert codec.decode(codec.encode(record), records.Record) == record


@given(ex.all_records)
def test_a_body_that_the_spool_kept_as_bytes_decodes_as_the_record(record):
    kept = msgspec.Raw(codec.pack(record.body))
    sent = records.EncodedRecord(record.time_ns, record.time, record.boot, record.boottime_ns, kept)
    assert codec.unpack(codec.pack(sent), records.Record) == record


def mutations(payload: bytes) -> st.SearchStrategy[bytes]:
    at = st.integers(0, len(payload) - 1)
    return st.one_of(
        at.map(lambda i: payload[:i]),
        st.tuples(at, st.integers(0, 255)).map(lambda p: payload[: p[0]] + bytes([p[1]]) + payload[p[0] + 1 :]),
        st.tuples(at, st.binary(min_size=1, max_size=9)).map(lambda p: payload[: p[0]] + p[1] + payload[p[0] :]),
        st.tuples(at, at).map(lambda p: payload[: min(p)] + payload[max(p) :]),
    )


def accepts_or_refuses(payload: bytes, kind: type) -> None:
    """Decodes, or raises the one error, with one line; anything else fails the test."""
    said = "decoded"
    try:
        codec.decode(payload, kind)
    except codec.BadMessage as why:
        said = str(why)
    assert said
    assert "\n" not in said


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", ["batch", "record", "agent-status", "sack", "job", "history-reply"])
@settings(max_examples=150)
@given(data=st.data())
def test_mutated_bytes_give_one_kind_of_error(name, compress, data):
    payload = codec.encode(ex.EXAMPLES[name], compress=compress)
    accepts_or_refuses(data.draw(mutations(payload)), type(ex.EXAMPLES[name]))


@settings(max_examples=300)
@given(st.binary(max_size=300), st.sampled_from(HOSTILE_KINDS))
@example(b"", delivery.Batch)
@example(b"\x02\x80", delivery.Batch)
@example(b"\x01", delivery.Batch)
def test_random_bytes_give_one_kind_of_error(payload, kind):
    accepts_or_refuses(payload, kind)
    accepts_or_refuses(b"\x00" + payload, kind)


def hostile() -> dict[str, bytes]:
    deep = b"\x91" * 200_000 + b"\xc0"
    key = b"\xa7records"
    head = b"\x85\xa4node\xa3a.b\xa5epoch\xc4\x10" + bytes(16) + b"\xa4base\x01\xa7evicted\x90" + key
    return {
        "a million entries announced": b"\x00" + head + b"\xdd\x00\x0f\x42\x40",
        "four billion entries announced": b"\x00" + head + b"\xdd\xff\xff\xff\xff",
        "four billion keys": b"\x00\xdf\xff\xff\xff\xff",
        "a million real entries": b"\x01" + zlib.compress(head + b"\xdd\x00\x0f\x42\x40" + b"\xc0" * 1_000_000),
        "a million entries under an unknown key": b"\x01"
        + zlib.compress(b"\x81\xa1x\xdd\x00\x0f\x42\x40" + b"\xc0" * 10**6),
        "deep nesting": b"\x00" + deep,
        "deep nesting under an unknown key": b"\x00\x81\xa1x" + deep,
        "a zlib bomb": b"\x01" + zlib.compress(bytes(64 << 20), 9),
        "a zlib stream without an end": b"\x01" + zlib.compress(codec.pack(ex.BATCH))[:-5],
        "bytes behind the zlib stream": b"\x01" + zlib.compress(codec.pack(ex.BATCH)) + b"x",
        "too long for the wire": b"\x00" + bytes(codec.MAX_WIRE_BYTES),
        "a huge string announced": b"\x00\x81\xdb\xff\xff\xff\xff",
        "an integer beyond its bound": b"\x00" + msgpack.packb({"node": "a.b", "epoch": bytes(16), "base": 2**60}),
        "a name that is none": b"\x00" + msgpack.packb({"node": "A.b", "epoch": bytes(16)}),
        "a name with a line feed behind it": b"\x00" + msgpack.packb({"node": "a.b\n", "epoch": bytes(16)}),
        "a node without a dot": b"\x00" + msgpack.packb({"node": "ab", "epoch": bytes(16)}),
        "text that is no UTF-8": b"\x00\x81\xa4node\xa3\xff\xfe\xfd",
        "a key that is no UTF-8": b"\x00\x81\xa4\xff\xfe\xfd\xfc\xa3a.b",
        "an extension type": b"\x00\xc7\x03\x05abc",
    }


@pytest.mark.parametrize("name", sorted(hostile()))
def test_hostile_bytes_are_refused_within_10_megabytes(name):
    payload = hostile()[name]
    codec.decode(codec.encode(ex.BATCH), delivery.Batch)
    tracemalloc.start()
    try:
        for kind in HOSTILE_KINDS:
            with pytest.raises(codec.BadMessage):
                codec.decode(payload, kind)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_figure_that_is_no_number_is_refused():
    for value in (float("nan"), float("inf"), float("-inf")):
        data = msgspec.msgpack.encode({"readings": {"temperature_c": value}, "kind": "sample"})
        with pytest.raises(codec.BadMessage):
            codec.unpack(data, records.Sample)


def test_unknown_keys_are_ignored():
    theirs = msgpack.unpackb(codec.pack(ex.SACK))
    theirs["a_key_of_a_later_version"] = {"x": [1, 2]}
    assert codec.unpack(msgpack.packb(theirs), delivery.Sack) == ex.SACK


def test_a_message_over_the_limit_is_refused_before_it_is_sent():
    too_long = delivery.Batch("a.b", bytes(16), 1, [], [delivery.Entry(i + 1, bytes(32_000)) for i in range(70)])
    with pytest.raises(codec.BadMessage, match="over 2097152"):
        codec.encode(too_long)
    with pytest.raises(codec.BadMessage, match="on the wire"):
        codec.encode(delivery.Batch("a.b", bytes(16), 1, [], too_long.records[:20]), compress=False)
