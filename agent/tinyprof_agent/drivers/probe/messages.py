"""The messages of the board link, as arrays of fixed order whose first element is the message's number.

They are laid out so that C can build them without allocating: no maps, no optional arrays, strings of bounded length.
Arrays only ever grow at their end, and a reader ignores elements that it does not know. `docs/link-protocol.md` has the
same, byte by byte.
"""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

PROTOCOL_LOW = 1
PROTOCOL_HIGH = 1
MAX_GROUP = 64
"""Most tokens in one group."""
MAX_TOKENS = 65535
MIN_RX_MAX = 64
RUN_OVERHEAD = 24
"""Bytes of a `run` body around its piece of prompt, at most."""

U8 = Annotated[int, Meta(ge=0, le=0xFF)]
U16 = Annotated[int, Meta(ge=0, le=0xFFFF)]
U32 = Annotated[int, Meta(ge=0, le=0xFFFFFFFF)]
U64 = Annotated[int, Meta(ge=0)]
"""MessagePack itself has no larger one."""
Size = Annotated[int, Meta(ge=0, le=2**53)]
RunId = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
Name = Annotated[str, Meta(max_length=64)]
Code = Annotated[str, Meta(max_length=16)]
ShortText = Annotated[str, Meta(max_length=200)]

RAM_IS_RSS = 1
"""Bit of `Machine.flags`: RAM figures are the peak resident set of a process, not static + heap + stack."""

IDLE, RECEIVING, RUNNING, SENDING = range(4)
"""What a board is doing (`Stats.state`)."""

ENDED_EOS, ENDED_LIMIT, ENDED_ABORTED = range(3)
"""Why a run ended (`End.reason`)."""


# Host to board


class AskHello(Struct, frozen=True, array_like=True, tag=1):
    """Who are you? Ends whatever the board is doing. `nonce` (not 0) comes back in the answer."""

    nonce: RunId
    low: U8
    high: U8


class Run(Struct, frozen=True, array_like=True, tag=2):
    """One piece of a prompt; the run starts when the last of `pieces` is there. The same piece may come twice."""

    run: RunId
    piece: U16
    pieces: Annotated[int, Meta(ge=1, le=0xFFFF)]
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
    streamed: Annotated[int, Meta(ge=0, le=1)]
    prompt: Annotated[bytes, Meta(max_length=1024)]


class Abort(Struct, frozen=True, array_like=True, tag=3):
    """Stop before the next token; `End` with reason 2 answers."""

    run: RunId


class AskStats(Struct, frozen=True, array_like=True, tag=4):
    """What does your counter say? Answered at once, between tokens too. `nonce` (not 0) comes back."""

    nonce: RunId


class Resend(Struct, frozen=True, array_like=True, tag=5):
    """Send tokens `first` … `first + count` − 1 of the last run again, and then `End`; `count` may be 0."""

    run: RunId
    first: U16
    count: U16


class AskLoop(Struct, frozen=True, array_like=True, tag=6):
    """Execute a loop of about so many known instructions. Only while idle; a board without one says `bad_request`."""

    nonce: RunId
    instructions: U32


# Board to host


class Firmware(Struct, frozen=True, array_like=True):
    """What runs on the board. `build_id` is the linker's (a binary cannot hold its own hash)."""

    name: Name
    version: Name
    build_id: Annotated[bytes, Meta(max_length=32)]
    engine: Name
    engine_build: ShortText


class Machine(Struct, frozen=True, array_like=True):
    """The machine. `identity` is its own serial number or nil; sizes and the CPU's clock in Hz are 0 where unknown."""

    platform: Name
    identity: Name | None
    cpu_hz: U64
    ram_bytes: Size
    flash_bytes: Size
    flash_used_bytes: Size
    flags: U32


class Limits(Struct, frozen=True, array_like=True):
    """The counter that stamps, the longest body that the board can take, the most tokens of a run that it keeps."""

    tick_hz: Annotated[int, Meta(ge=1, le=10**12)]
    tick_bits: Annotated[int, Meta(ge=8, le=64)]
    rx_max: Annotated[int, Meta(ge=MIN_RX_MAX, le=0xFFFF)]
    token_max: Annotated[int, Meta(ge=1, le=MAX_TOKENS)]


class Model(Struct, frozen=True, array_like=True):
    """The model, as it was built in. `sha256` is of its file."""

    name: Name
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    quantisation: Name
    kv_cache: Name
    ctx: U32
    activations: Name


class Hello(Struct, frozen=True, array_like=True, tag=17):
    """Who the board is; laid out once for ever. `nonce` is 0 where nobody asked: the board has just started."""

    nonce: U32
    protocol: U8
    boot: U32
    firmware: Firmware
    machine: Machine
    limits: Limits
    model: Model


class Start(Struct, frozen=True, array_like=True, tag=18):
    """The board has pieces 0 … `pieces` − 1 of the run; with the last of them it starts. `tick` is now."""

    run: RunId
    pieces: U16
    tick: U64


class Tokens(Struct, frozen=True, array_like=True, tag=19):
    """A group of tokens from index `first` on.

    `ticks[0]` is the raw stamp of the group's first token; each further one is the difference to the token before,
    modulo the counter. `text` is the tokens' text one after another: bytes, which may end within a character.
    """

    run: RunId
    first: U16
    ids: Annotated[list[U32], Meta(min_length=1, max_length=MAX_GROUP)]
    ticks: Annotated[list[U64], Meta(min_length=1, max_length=MAX_GROUP)]
    text: Annotated[bytes, Meta(max_length=1024)]


class End(Struct, frozen=True, array_like=True, tag=20):
    """The run is over and all its tokens were sent. `t0` and `t_end` are raw stamps.

    Memory in bytes, nil where it is not measured. `ids_crc` is the CRC-32 (as zlib's) of all the token ids, four bytes
    each, least significant first.
    """

    run: RunId
    reason: U8
    prompt_tokens: U32
    tokens: U16
    t0: U64
    t_end: U64
    ram_peak: Size | None
    heap_peak: Size | None
    stack_peak: Size | None
    ids_crc: U32


class Fault(Struct, frozen=True, array_like=True, tag=21):
    """Something that was asked cannot be done. `run` is 0 where it is about no run."""

    run: U32
    code: Code
    text: ShortText


class Stats(Struct, frozen=True, array_like=True, tag=22):
    """The counter now, and what the board is doing.

    `nonce` is 0 where nobody asked: the stamp of each quarter wrap. `run` is the run under way or the last one (0:
    none since the start); `tokens` how many it has made; `dropped` the frames and bytes that the board had to drop.
    """

    nonce: U32
    tick: U64
    state: U8
    run: U32
    tokens: U16
    dropped: U32


class Log(Struct, frozen=True, array_like=True, tag=23):
    """A line of the board's log."""

    level: U8
    text: Annotated[bytes, Meta(max_length=200)]


class Loop(Struct, frozen=True, array_like=True, tag=24):
    """The known loop was executed: how many instructions it was exactly, and the counter before and after it."""

    nonce: U32
    instructions: U32
    before: U64
    after: U64


HostMessage = AskHello | Run | Abort | AskStats | Resend | AskLoop
BoardMessage = Hello | Start | Tokens | End | Fault | Stats | Log | Loop

_encoder = msgspec.msgpack.Encoder()
_from_host = msgspec.msgpack.Decoder(HostMessage)
_from_board = msgspec.msgpack.Decoder(BoardMessage)
T = TypeVar("T")


def encode_message(message: HostMessage | BoardMessage) -> bytes:
    """The body of a frame."""
    return _encoder.encode(message)


def decode_host_message(body: bytes) -> HostMessage | None:
    """What the host says in this body; None if it is no message that we know."""
    return _decoded(_from_host, body)


def decode_board_message(body: bytes) -> BoardMessage | None:
    """What the board says in this body; None if it is no message that we know."""
    message = _decoded(_from_board, body)
    return None if isinstance(message, Tokens) and len(message.ids) != len(message.ticks) else message


def _decoded(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T | None:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        return None
