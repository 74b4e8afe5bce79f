"""Which waiting batches come from the newest end of a spool, told from their first bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyprof_collector.batch_spans import HEAD_BYTES, Span, ahead, span_of
from tinyprof_protocol.codec import encode
from tinyprof_protocol.delivery import Batch, Entry, Evicted

EPOCH = bytes(range(16))


@pytest.mark.parametrize("compress", [True, False])
@given(st.integers(1, 2**53 - 300), st.integers(1, 256), st.integers(0, 300))
def test_a_batch_tells_where_it_begins_and_ends(compress, first, count, size):
    entries = [Entry(seq, bytes(size)) for seq in range(first, first + count)]
    base = max(1, first - size)
    batch = Batch("lab.pi", bytes(range(16)), base, [Evicted(1, 2, "cap")], entries)
    assert span_of(encode(batch, compress=compress)) == Span(bytes(range(16)), base, first, first + count - 1)


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


@pytest.mark.parametrize(
    ("spans", "found"),
    [
        ([], []), ([(1, 5)], []), ([(1, 5), (6, 9)], []), ([(6, 9), (1, 5)], []),
        ([(1, 5), (90, 99), (6, 9)], [1]), ([(90, 99), (1, 5), (80, 84)], [2, 0]),
        ([(1, 5), None, (90, 99)], [2]), ([(1, 5), (1, 5), (6, 9)], []), ([(1, 9), (3, 5), (10, 12)], []),
    ],
)  # fmt: skip
def test_what_lies_beyond_a_gap_is_ahead(spans, found):
    assert ahead([span and Span(EPOCH, 1, *span) for span in spans]) == found


def test_what_does_not_follow_on_from_what_is_owed_is_ahead_though_nothing_older_waits():
    assert ahead([Span(EPOCH, 7, 90, 99)]) == [0]
    assert ahead([None, Span(EPOCH, 7, 91, 99), Span(EPOCH, 7, 90, 90)]) == [2, 1]
    assert ahead([Span(EPOCH, 90, 90, 99)]) == []
    assert ahead([Span(EPOCH, 7, 60, 79), Span(EPOCH, 60, 80, 80)]) == []  # what was owed meanwhile is not any more
