"""A batch speaks for a span: all that is owed in it is carried, and every limit holds."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_agent.spool import Piece
from tinyprof_agent.uplink.cutter import PACKET_BYTES, Limits, cut, limits_for
from tinyprof_protocol.codec import pack
from tinyprof_protocol.delivery import MAX_BATCH_BYTES, MAX_BATCH_EVICTED, Entry, Evicted
from tinyprof_protocol.ranges import RangeSet

NODE = "a" * 63 + "." + "b" * 63
EPOCH = b"e" * 16
Item = tuple[str, int]


@st.composite
def spans(draw: st.DrawFn) -> list[Entry | Evicted]:
    """What an epoch owes, in order: records, evicted ranges, and gaps that were acknowledged."""
    items: list[Entry | Evicted] = []
    seq = draw(st.integers(1, 50))
    for kind, length in draw(st.lists(st.tuples(st.sampled_from("rrreg"), st.integers(1, 6)), max_size=150)):
        if kind == "r":
            items += [Entry(seq + i, bytes(draw(st.sampled_from([40, 400, 4000, 32_000])))) for i in range(length)]
        elif kind == "e":
            items.append(Evicted(seq, seq + length - 1, "cap"))
        seq += length + (kind != "r")
    return items


def read(items: list[Entry | Evicted], newest: bool, max_records: int) -> Piece:
    """As the spool reads, cut short at its own limits."""
    ordered = items[::-1] if newest else items
    records = [item for item in ordered if isinstance(item, Entry)]
    evicted = [item for item in ordered if isinstance(item, Evicted)]
    return Piece(
        EPOCH, 1, records[:max_records], evicted[:MAX_BATCH_EVICTED],
        len(records) > max_records, len(evicted) > MAX_BATCH_EVICTED,
    )  # fmt: skip


def seqs_of(items: list[Entry | Evicted]) -> RangeSet:
    return RangeSet((item.seq, item.seq) if isinstance(item, Entry) else (item.first, item.last) for item in items)


@settings(max_examples=150, deadline=None)
@given(spans(), st.booleans(), st.integers(1, 256), st.sampled_from([600, 5_000, 40_000, MAX_BATCH_BYTES]))
def test_a_cut_carries_all_that_is_owed_in_its_span_and_keeps_every_limit(
    items: list[Entry | Evicted], newest: bool, max_records: int, max_bytes: int
) -> None:
    last = max((item.seq if isinstance(item, Entry) else item.last for item in items), default=60)
    made = cut(NODE, read(items, newest, max_records), 1, last, newest=newest, limits=Limits(max_records, max_bytes))
    assert len(pack(made.batch)) <= max_bytes
    assert len(made.batch.records) <= max_records
    assert len(made.batch.evicted) <= MAX_BATCH_EVICTED
    assert made.first <= made.last
    assert made.last == last if newest else made.first == 1
    assert [entry.seq for entry in made.batch.records] == sorted(entry.seq for entry in made.batch.records)
    within = RangeSet(seqs_of(items).within(made.first, made.last))
    for seq in made.oversize:
        within.discard(seq)
    assert made.owes == within


@given(st.integers(1, 10**6))
def test_limits_stay_below_the_brokers_packet(max_packet_bytes: int) -> None:
    limits = limits_for(max_packet_bytes)
    assert limits.max_bytes <= min(MAX_BATCH_BYTES, max_packet_bytes - PACKET_BYTES)
    assert limits_for(None).max_bytes == MAX_BATCH_BYTES


def test_a_batch_may_hold_evicted_ranges_alone_and_ends_before_the_65th() -> None:
    items: list[Entry | Evicted] = [Evicted(seq, seq, "cap" if seq % 2 else "corrupt") for seq in range(1, 100)]
    made = cut(NODE, read(items, False, 256), 1, 200, newest=False, limits=Limits())
    assert made.batch.records == []
    assert (made.first, made.last) == (1, 64)
    assert len(made.batch.evicted) == 64


def test_a_record_that_no_packet_takes_is_passed_over_and_named() -> None:
    items: list[Entry | Evicted] = [Entry(1, b"a"), Entry(2, bytes(5000)), Entry(3, b"c")]
    made = cut(NODE, read(items, False, 256), 1, 3, newest=False, limits=Limits(256, 1000))
    assert [entry.seq for entry in made.batch.records] == [1, 3]
    assert made.oversize == [2]
    assert made.owes == RangeSet([(1, 1), (3, 3)])
