"""Messages come back as they were, in bytes that fit; bytes that are none are None."""

from typing import Any, get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import inspect

from tinyprof_agent.drivers.probe.frames import MAX_BODY_BYTES
from tinyprof_agent.drivers.probe.messages import (
    MAX_GROUP,
    MIN_RX_MAX,
    AskHello,
    BoardMessage,
    Firmware,
    Hello,
    HostMessage,
    Limits,
    Machine,
    Model,
    Run,
    Stats,
    Tokens,
    decode_board_message,
    decode_host_message,
    encode_message,
)

NAME = "n" * 64
FULLEST_HELLO = Hello(
    2**32 - 1,
    255,
    2**32 - 1,
    Firmware(NAME, NAME, bytes(32), NAME, "b" * 200),
    Machine(NAME, NAME, 2**64 - 1, 2**53, 2**53, 2**53, 2**32 - 1),
    Limits(10**12, 64, 65535, 65535),
    Model(NAME, bytes(32), NAME, NAME, 2**32 - 1, NAME),
)


def within_bounds(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of a type within the bounds that the messages declare."""
    match kind:
        case inspect.IntType():
            return st.integers(kind.ge or 0, 2**64 - 1 if kind.le is None else kind.le)
        case inspect.StrType():
            return st.text(max_size=kind.max_length)
        case inspect.BytesType():
            return st.binary(min_size=kind.min_length or 0, max_size=min(kind.max_length or 0, 100))
        case inspect.NoneType():
            return st.none()
        case inspect.UnionType():
            return st.one_of(map(within_bounds, kind.types))
        case inspect.StructType():
            return st.builds(kind.cls, *(within_bounds(field.type) for field in kind.fields))
    raise AssertionError(kind)


def any_of(kinds: Any) -> st.SearchStrategy[Any]:
    return st.one_of(*(within_bounds(inspect.type_info(kind)) for kind in kinds))


groups = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)), min_size=1, max_size=MAX_GROUP).map(
    lambda pairs: Tokens(1, 2, [token for token, _ in pairs], [ticks for _, ticks in pairs], b"text")
)


@given(any_of(get_args(HostMessage)))
@settings(max_examples=150)
def test_host_messages_come_back(message: HostMessage) -> None:
    assert decode_host_message(encode_message(message)) == message


@given(st.one_of(groups, any_of(kind for kind in get_args(BoardMessage) if kind is not Tokens)))
@settings(max_examples=150)
def test_board_messages_come_back(message: BoardMessage) -> None:
    assert decode_board_message(encode_message(message)) == message


def test_the_fullest_hello_fits_into_a_frame_and_the_question_into_the_smallest_board() -> None:
    body = encode_message(FULLEST_HELLO)
    assert len(body) <= MAX_BODY_BYTES
    assert decode_board_message(body) == FULLEST_HELLO
    assert len(encode_message(AskHello(2**32 - 1, 255, 255))) <= MIN_RX_MAX


def test_elements_that_a_later_version_adds_are_ignored() -> None:
    later = [*msgpack.unpackb(encode_message(Stats(1, 2, 0, 3, 4, 5))), "more", [1, 2]]
    assert decode_board_message(msgpack.packb(later)) == Stats(1, 2, 0, 3, 4, 5)


@pytest.mark.parametrize(
    "array",
    [
        [99, 1],
        [22, 1],
        ["22", 1, 2, 0, 3, 4, 5],
        [22, -1, 2, 0, 3, 4, 5],
        [22, 1, 2, 0, 2**32, 4, 5],
        [18, 0, 1, 1],
        [19, 1, 0, [], [], b""],
        [19, 1, 0, [1, 2], [1], b""],
        [19, 1, 0, [1] * (MAX_GROUP + 1), [1] * (MAX_GROUP + 1), b""],
        [21, 0, "x" * 17, ""],
        [23, 1, bytes(201)],
        [17, 0, 1, 1, ["f", "1", bytes(33), "e", "b"], [], [], []],
    ],
    ids=str,
)
def test_what_breaks_a_bound_is_no_message(array: list[object]) -> None:
    assert decode_board_message(msgpack.packb(array)) is None


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_a_message_or_none(body: bytes) -> None:
    for found in (decode_board_message(body), decode_host_message(body)):
        assert found is None or encode_message(found)


def test_deep_and_long_headers_cost_nothing() -> None:
    assert decode_board_message(b"\x91" * 100_000) is None
    assert decode_host_message(b"\x97\x02\x05\x00\x01\x20\x00\xc6\xff\xff\xff\xff") is None


def test_a_piece_is_bounded() -> None:
    assert decode_host_message(encode_message(Run(1, 0, 1, 1, 0, bytes(1025)))) is None
