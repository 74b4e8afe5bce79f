"""Frames: what goes in comes out under any chunking, and noise never becomes a frame."""

import itertools
import json
from pathlib import Path

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_agent.drivers.probe.frames import (
    MAX_BODY_BYTES,
    FrameDecoder,
    FrameError,
    cobs_decode,
    cobs_encode,
    crc16,
    encode_frame,
)
from tinyprof_agent.drivers.probe.messages import AskStats, decode_board_message, decode_host_message, encode_message

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())

bodies = st.builds(
    lambda head, rest: bytes([head]) + rest, st.integers(0x91, 0x9F), st.binary(max_size=MAX_BODY_BYTES - 1)
)
log_text = st.text(st.characters(min_codepoint=9, max_codepoint=126), min_size=2, max_size=40).map(str.encode)


def crc_bit_by_bit(data: bytes) -> int:
    """CRC-16/IBM-3740 straight from its definition."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def cobs_byte_by_byte(data: bytes) -> bytes:
    """COBS as its paper writes it, one byte at a time."""
    out, code_at = bytearray([0]), 0
    for index, byte in enumerate(data):
        if byte:
            out.append(byte)
        if not byte or (len(out) - code_at == 0xFF and index < len(data) - 1):
            out[code_at] = len(out) - code_at
            code_at = len(out)
            out.append(0)
    out[code_at] = len(out) - code_at
    return bytes(out)


def feed_in_chunks(decoder: FrameDecoder, data: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    found: list[bytes] = []
    log = b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(edges):
        decoded = decoder.feed(data[start:stop])
        found += decoded.bodies
        log += decoded.log
    return found, log


def test_crc_has_the_check_value_of_its_catalogue() -> None:
    assert crc16(b"123456789") == 0x29B1


@given(st.binary(max_size=200))
def test_crc_is_the_bitwise_one(data: bytes) -> None:
    assert crc16(data) == crc_bit_by_bit(data)


@given(st.one_of(st.binary(max_size=800), st.integers(250, 520).map(lambda n: b"\x01" * n)))
@settings(max_examples=200)
def test_cobs_is_the_papers_has_no_zero_and_comes_back(data: bytes) -> None:
    encoded = cobs_encode(data)
    assert encoded == cobs_byte_by_byte(data)
    assert 0 not in encoded
    assert cobs_decode(encoded) == data


@given(st.binary(max_size=300))
def test_cobs_decodes_anything_to_bytes_or_none(data: bytes) -> None:
    decoded = cobs_decode(data)
    assert decoded is None or len(decoded) <= len(data)


@given(st.lists(bodies, max_size=5), st.lists(st.integers(0, 10**6), max_size=12))
@settings(max_examples=150)
def test_frames_come_back_under_any_chunking(sent: list[bytes], cuts: list[int]) -> None:
    decoder = FrameDecoder()
    found, log = feed_in_chunks(decoder, b"".join(map(encode_frame, sent)), cuts)
    assert (found, log, decoder.bad_crc) == (sent, b"", 0)


@given(st.lists(st.tuples(log_text, bodies), max_size=5), st.lists(st.integers(0, 10**6), max_size=12))
@settings(max_examples=100)
def test_text_between_frames_is_the_log(sent: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(text + encode_frame(body) for text, body in sent)
    decoder = FrameDecoder()
    found, log = feed_in_chunks(decoder, data, cuts)
    assert found == [body for _, body in sent]
    assert log == b"".join(text for text, _ in sent)


@given(bodies, st.data())
@settings(max_examples=200)
def test_after_one_flipped_bit_the_next_frame_is_whole(body: bytes, data: st.DataObject) -> None:
    frame = bytearray(encode_frame(body))
    at = data.draw(st.integers(1, len(frame) - 2))
    frame[at] ^= 1 << data.draw(st.integers(0, 7))
    *others, last = FrameDecoder().feed(bytes(frame) + encode_frame(b"\x91\x05")).bodies
    assert last == b"\x91\x05"
    assert all(cut_short(other, body) for other in others)


@given(bodies, st.integers(1, 10**6))
def test_after_a_cut_frame_the_next_one_is_whole(body: bytes, where: int) -> None:
    frame = encode_frame(body)
    kept = frame[: 1 + where % (len(frame) - 2)]
    *others, last = FrameDecoder().feed(kept + encode_frame(b"\x91\x05")).bodies
    assert last == b"\x91\x05"
    assert all(cut_short(other, body) for other in others)


def cut_short(found: bytes, body: bytes) -> bool:
    """The one thing that this CRC cannot see: a body less its last byte, where that is the CRC's of what is before it.

    No message is the beginning of another one, so such a body is never a message.
    """
    return found == body[:-1] and crc16(found) >> 8 == body[-1]


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_no_flipped_bit_and_no_cut_makes_another_message(vector: dict[str, object]) -> None:
    decode = decode_host_message if vector["from"] == "host" else decode_board_message
    line = bytes.fromhex(str(vector["line"]))
    inside = range(1, len(line) - 1)
    spoilt = [line[:at] + bytes([line[at] ^ 1 << bit]) + line[at + 1 :] for at in inside for bit in range(8)]
    cut = [line[:at] + b"\x00" for at in inside]
    found = [body for bad in spoilt + cut for body in FrameDecoder().feed(bad).bodies]
    assert [decode(body) for body in found if decode(body) is not None] == []


def test_a_body_less_its_last_byte_may_have_the_right_crc_and_is_no_message() -> None:
    questions = [encode_message(AskStats(nonce)) for nonce in range(2**16, 2**17)]
    blind = [body for body in questions if crc16(body[:-1]) >> 8 == body[-1]]
    assert len(blind) > 100
    for body in blind:
        (found,) = FrameDecoder().feed(encode_frame(body)[:-2] + b"\x00").bodies
        assert found == body[:-1]
        assert decode_host_message(found) is None


@given(st.lists(st.binary(max_size=3000), max_size=6))
@settings(max_examples=150)
def test_any_bytes_leave_the_decoder_able_and_bounded(chunks: list[bytes]) -> None:
    decoder = FrameDecoder(max_body_bytes=64)
    came = 0
    logged = 0
    for chunk in chunks:
        decoded = decoder.feed(chunk)
        came += len(chunk)
        logged += len(decoded.log)
        assert all(len(body) <= 64 + 2 for body in decoded.bodies)
        assert len(decoder._pending) <= 64 + 2 + 2
    assert logged <= came
    assert decoder.feed(encode_frame(b"\x91\x05")).bodies[-1:] == [b"\x91\x05"]


def test_a_frame_beyond_the_limit_is_counted_and_dropped() -> None:
    decoder = FrameDecoder(max_body_bytes=64)
    decoded = decoder.feed(encode_frame(b"\x92" + b"\x01" * 300) + encode_frame(b"\x91\x05"))
    assert (decoded.bodies, decoded.log, decoder.bad_crc) == ([b"\x91\x05"], b"", 1)


@pytest.mark.parametrize("extra", [1, 2, 3, 4])
def test_a_body_that_is_a_little_too_long_is_dropped_however_short_it_encodes(extra: int) -> None:
    # Many zeros make few parts, and so the frame is no longer than one of the longest body may be.
    decoder = FrameDecoder()
    body = b"\x92\xc5" + (MAX_BODY_BYTES - 5 + extra).to_bytes(2, "big") + bytes(MAX_BODY_BYTES - 5 + extra)
    body += b"\x00"
    assert len(body) == MAX_BODY_BYTES + extra
    line = b"\x00" + cobs_encode(body + crc16(body).to_bytes(2, "big")) + b"\x00"
    assert decoder.feed(line + encode_frame(b"\x91\x05")).bodies == [b"\x91\x05"]
    assert decoder.bad_crc == 1


def test_log_is_handed_on_before_any_zero_byte() -> None:
    assert FrameDecoder().feed(b"booting...").log == b"booting..."


@pytest.mark.parametrize("body", [b"", b"\x81\x01\x02", b"\x90", b"\x91" * (MAX_BODY_BYTES + 1)])
def test_what_no_frame_can_carry_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        encode_frame(body)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_recorded_frames_are_what_we_send_and_read(vector: dict[str, object]) -> None:
    line, body = bytes.fromhex(str(vector["line"])), bytes.fromhex(str(vector["body"]))
    assert encode_frame(body) == line
    assert FrameDecoder().feed(line).bodies == [body]
    assert line == b"\x00" + cobs_byte_by_byte(body + crc_bit_by_bit(body).to_bytes(2, "big")) + b"\x00"
    decode = decode_host_message if vector["from"] == "host" else decode_board_message
    message = decode(body)
    assert message is not None
    assert type(message).__name__ == vector["message"]
    assert encode_message(message) == body
    assert msgspec.to_builtins(message, builtin_types=(bytes,)) == msgpack.unpackb(body)


@pytest.mark.parametrize("vector", VECTORS["lines"], ids=lambda vector: vector["name"])
def test_recorded_lines_give_the_recorded_frames_log_and_count(vector: dict[str, object]) -> None:
    decoder = FrameDecoder()
    decoded = decoder.feed(bytes.fromhex(str(vector["line"])))
    assert [body.hex() for body in decoded.bodies] == vector["bodies"]
    assert decoded.log.hex() == vector["log"]
    assert decoder.bad_crc == vector["bad_crc"]
