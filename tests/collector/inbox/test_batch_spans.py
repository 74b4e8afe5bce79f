"""What waiting batches hold, told from their first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_collector.batch_spans import HEAD_BYTES, Span, span_of
from tinyprof_protocol.codec import encode
from tinyprof_protocol.delivery import MAX_LIVE_RECORDS, Batch, Entry, Evicted


@pytest.mark.parametrize("compress", [True, False])
@given(st.integers(1, 2**53 - 300), st.integers(1, 256), st.integers(0, 300))
def test_a_batch_tells_where_it_begins_and_ends(compress, first, count, size):
    entries = [Entry(seq, bytes(size)) for seq in range(first, first + count)]
    batch = Batch("lab.pi", bytes(range(16)), max(1, first - size), [Evicted(1, 2, "cap")], entries)
    assert span_of(encode(batch, compress=compress)) == Span(bytes(range(16)), first, first + count - 1)


@given(st.binary(max_size=200))
def test_whatever_it_is_given_it_answers(payload):
    span = span_of(payload)
    assert span is None or span.first <= span.last


def test_what_does_not_tell_tells_nothing():
    evicted = [Evicted(n * 10**12 + 1, n * 10**12 + 2, "corrupt") for n in range(64)]
    many = encode(Batch("lab.pi", bytes(16), 1, evicted, [Entry(2**50, b"")]), compress=False)
    assert len(many) > HEAD_BYTES
    for payload in (b"", b"\0", b"\1", b"\1xx", b"\2", many, encode(Batch("lab.pi", bytes(16), 1, [], []))):
        assert span_of(payload) is None


@pytest.mark.parametrize(("records", "live"), [(1, True), (MAX_LIVE_RECORDS, True), (MAX_LIVE_RECORDS + 1, False)])
def test_a_batch_is_known_as_one_of_results_of_now_by_its_few_records(records, live):
    entries = [Entry(seq, b"") for seq in range(90, 90 + records)]
    span = span_of(encode(Batch("lab.pi", bytes(16), 1, [], entries)))
    assert span is not None
    assert span.is_live() == live
