"""What an agent imports of this package must not bring numpy, and its messages must survive the wire."""

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_models import engine_messages
from tinyprof_models.engine_messages import (
    MAX_FRAME_BYTES,
    Abort,
    Failed,
    FrameError,
    FrameSplitter,
    Generate,
    Generated,
    Load,
    Loaded,
    Ping,
    Pong,
    Quit,
    TokenMade,
    frame,
    parse_reply,
    parse_request,
)


def test_the_agents_part_loads_neither_numpy_nor_gguf() -> None:
    script = (
        "import sys, tinyprof_models.golden, tinyprof_models.catalogue, tinyprof_models.engine_messages\n"
        "models = tinyprof_models.catalogue.shipped_models()\n"
        "assert len(models) == 3\n"
        "print(sorted({'numpy', 'gguf', 'tinyprof_models.engine'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


REQUESTS = (Load("/m.gguf", "int8"), Generate(1, "é", 5, stream=True), Abort(), Ping(), Quit())
LOADED = Loaded("0" * 64, "F32", 256, "n", 1, "e", "b", "f32", "float32", 1.5)
RUN = Generated(1, "c", 1, (2, 3), (4, 5), 3, b"\xff\x00", "eos", 1, True, 9)
REPLIES = (LOADED, TokenMade(1, 0, 5, 2, b"\xe2"), RUN, Pong(1, "c"), Failed("busy", "no", 3))

REQUESTS_AND_REPLIES = tuple(type(message) for message in REQUESTS + REPLIES)


@pytest.mark.parametrize("message", REQUESTS + REPLIES, ids=lambda message: type(message).__name__)
def test_messages_survive_a_round_trip(message: engine_messages.Request | engine_messages.Reply) -> None:
    (body,) = FrameSplitter().feed(frame(message))
    parse = parse_request if message in REQUESTS else parse_reply
    assert parse(body) == message


@settings(max_examples=100)
@given(st.lists(st.sampled_from(REPLIES), max_size=6), st.data())
def test_frames_come_out_whole_however_they_are_cut(replies: list[engine_messages.Reply], data: st.DataObject) -> None:
    stream = b"".join(frame(reply) for reply in replies)
    splitter, out = FrameSplitter(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        out += [parse_reply(body) for body in splitter.feed(stream[:size])]
        stream = stream[size:]
    assert out == replies


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from(REQUESTS), st.integers(0, 200), st.integers(0, 255))
def test_hostile_bodies_give_one_error_type(
    noise: bytes, request_: engine_messages.Request, at: int, byte: int
) -> None:
    mutated = bytearray(frame(request_)[4:])
    mutated[at % len(mutated)] = byte
    for body in (noise, bytes(mutated), bytes(mutated[: at % len(mutated)])):
        for parse in (parse_request, parse_reply):
            with contextlib.suppress(FrameError):
                assert isinstance(parse(body), REQUESTS_AND_REPLIES)


def test_frames_over_the_limit_are_refused_both_ways() -> None:
    huge = Generated(1, "c", 1, (), (), 3, bytes(MAX_FRAME_BYTES), "eos", 1, True, 9)
    with pytest.raises(FrameError, match="over"):
        frame(huge)
    with pytest.raises(FrameError, match="over"):
        list(FrameSplitter().feed(b"\x7f\xff\xff\xff"))
