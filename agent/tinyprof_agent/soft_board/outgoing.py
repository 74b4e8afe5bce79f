"""What a board sends: messages as frames, tokens in groups, and the faults that a test asks for on the way."""

import itertools
import random
from collections.abc import Callable, Sequence

from tinyprof_agent.drivers.probe.frames import encode_frame
from tinyprof_agent.drivers.probe.messages import BoardMessage, Tokens, encode_message
from tinyprof_agent.soft_board.faults import Faults

GROUP_TOKENS = 16
GROUP_TEXT_BYTES = 640
"""Beside 16 ids and ticks this leaves a body room."""
BABBLE = b"the quick brown fox jumps over the lazy dog\r\n" * 64
NOISE_BYTES = 512


class Outgoing:
    """The sending half of a board."""

    def __init__(self, write: Callable[[bytes], None], faults: Faults, noise: random.Random) -> None:
        self._write = write
        self._faults = faults
        self._noise = noise

    def send(self, message: BoardMessage) -> None:
        """Sends one message."""
        self._write(encode_frame(encode_message(message)))

    def send_group(self, group: Tokens) -> None:
        """Sends a group of tokens, unless a fault is to befall it."""
        if self._faults.take("babble"):
            self._write(BABBLE)
        if self._faults.take("noise"):
            self._write(self._noise.randbytes(NOISE_BYTES))
        if self._faults.take("lose-group"):
            return
        frame = encode_frame(encode_message(group))
        self._write(damaged(frame) if self._faults.take("bad-crc") else frame)


def damaged(frame: bytes) -> bytes:
    """A frame with one bit of its CRC turned over, and no zero byte made by that."""
    last = frame[-2]
    return frame[:-2] + bytes([last ^ (1 if last != 1 else 2)]) + frame[-1:]


def groups(
    run: int, ids: Sequence[int], stamps: Sequence[int], mask: int, text: Callable[[Sequence[int]], bytes], span: range
) -> list[Tokens]:
    """The tokens of `span` as messages, in order, each short enough for a frame."""
    made: list[Tokens] = []
    first, texts = span.start, [text(ids[index : index + 1]) for index in span]
    while first < span.stop:
        stop, size = first, 0
        while stop < min(first + GROUP_TOKENS, span.stop):
            size += len(texts[stop - span.start])
            if size > GROUP_TEXT_BYTES and stop > first:
                break
            stop += 1
        raw = stamps[first:stop]
        ticks = [raw[0], *((late - early) & mask for early, late in itertools.pairwise(raw))]
        said = b"".join(texts[first - span.start : stop - span.start])[:GROUP_TEXT_BYTES]
        made.append(Tokens(run, first, list(ids[first:stop]), ticks, said))
        first = stop
    return made
