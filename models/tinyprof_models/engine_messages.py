"""What an agent and the engine's child process say to each other over stdin and stdout.

Each frame is its length as four bytes, big-endian, then one MessagePack map of one of these types.
A `Generate` has exactly one answer, `Generated` or `Failed`; an `Abort` without a run is ignored.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

import msgspec

from tinyprof_models.golden import Activations, KvCache

MAX_FRAME_BYTES = 1 << 20
MAX_PROMPT_CHARACTERS = 65536
MAX_TOKENS = 65536
LENGTH_BYTES = 4

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
ClockNs = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
RepetitionId = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
Token = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Name = Annotated[str, msgspec.Meta(max_length=256)]
FailureCode = Literal[
    "bad_request",
    "busy",
    "model_corrupt",
    "model_missing",
    "model_too_large",
    "model_unsupported",
    "no_model",
    "prompt_too_long",
]
Stopped = Literal["eos", "limit", "aborted"]


class FrameError(Exception):
    """Bytes that are no frame of this protocol; the text says why, in one line."""


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    pass


class Load(_Message, frozen=True, tag="load"):
    """Load the GGUF file at `path`, in place of any model loaded before."""

    path: Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
    activations: Activations
    kv_cache: KvCache = "f32"


class Generate(_Message, frozen=True, tag="generate"):
    """Tell greedily what follows `prompt`: at most `max_tokens`, and no more than the context holds."""

    repetition: RepetitionId
    prompt: Annotated[str, msgspec.Meta(max_length=MAX_PROMPT_CHARACTERS)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
    stream: bool = False


class Abort(_Message, frozen=True, tag="abort"):
    """End the run under way after the token being made."""


class Ping(_Message, frozen=True, tag="ping"):
    """Ask for the child's clock; answered at once, between tokens too."""


class Quit(_Message, frozen=True, tag="quit"):
    """End the process."""


class Loaded(_Message, frozen=True, tag="loaded"):
    """A model is ready.

    `activations` is what is in use: a file without quantized matrices has `float32` ones, whatever was asked.
    `context` is in tokens; `load_ms` is the time from the request to this answer. `weight_bytes` are read for each
    token, and `read_bytes_s` is how fast one thread read so many at best, measured once; 0: not known.
    """

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    quantisation: Name
    context: Count
    name: Name
    file_bytes: Count
    engine: Name
    engine_build: Name
    kv_cache: KvCache
    activations: Activations
    load_ms: float
    weight_bytes: Count = 0
    read_bytes_s: float = 0.0


class TokenMade(_Message, frozen=True, tag="token"):
    """One token of a streamed run, as it is chosen; `text` may be a part of a character."""

    repetition: RepetitionId
    index: Count
    token: Token
    clock_ns: ClockNs
    text: Annotated[bytes, msgspec.Meta(max_length=1024)]


class Generated(_Message, frozen=True, tag="generated"):
    """A run, complete or aborted.

    `t0_ns` is before tokenising and `token_ns` when each token's id was chosen, on `clock`. `prompt_tokens`
    counts begin-of-sequence, `tokens` has end-of-sequence where it was chosen. `rss_peak_bytes` is the
    process's resident peak: of this run, or, unless `rss_peak_of_run`, since the process began.
    `cpu_ns` is the CPU time of all the process's threads during the run.
    """

    repetition: RepetitionId
    clock: Name
    t0_ns: ClockNs
    token_ns: Annotated[tuple[ClockNs, ...], msgspec.Meta(max_length=MAX_TOKENS)]
    tokens: Annotated[tuple[Token, ...], msgspec.Meta(max_length=MAX_TOKENS)]
    prompt_tokens: Count
    text: Annotated[bytes, msgspec.Meta(max_length=MAX_FRAME_BYTES)]
    stopped: Stopped
    rss_peak_bytes: Count
    rss_peak_of_run: bool
    cpu_ns: Count


class Pong(_Message, frozen=True, tag="pong"):
    """The child's clock, as `Generated` uses it."""

    clock_ns: ClockNs
    clock: Name


class Failed(_Message, frozen=True, tag="failed"):
    """A request could not be served; `repetition` is that of the `Generate` that failed, if it was one."""

    code: FailureCode
    message: Annotated[str, msgspec.Meta(max_length=4096)]
    repetition: RepetitionId | None = None


Request = Load | Generate | Abort | Ping | Quit
Reply = Loaded | TokenMade | Generated | Pong | Failed
Message = TypeVar("Message")

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def frame(message: Request | Reply) -> bytes:
    """The bytes of one frame. Raises `FrameError` if it would be over `MAX_FRAME_BYTES`."""
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME_BYTES:
        raise FrameError(f"a frame of {len(body)} bytes is over {MAX_FRAME_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


def parse_request(body: bytes) -> Request:
    """The request in a frame's body. Raises `FrameError`."""
    return _parsed(_requests, body)


def parse_reply(body: bytes) -> Reply:
    """The reply in a frame's body. Raises `FrameError`."""
    return _parsed(_replies, body)


class FrameSplitter:
    """Cuts a stream of bytes into the bodies of frames; holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete now. Raises `FrameError` for a length over the limit.

        After that error the stream has no boundary left to go on from.
        """
        self._pending += data
        while len(self._pending) >= LENGTH_BYTES:
            length = int.from_bytes(self._pending[:LENGTH_BYTES], "big")
            if length > MAX_FRAME_BYTES:
                raise FrameError(f"a frame of {length} bytes is over {MAX_FRAME_BYTES}")
            if len(self._pending) < LENGTH_BYTES + length:
                return
            body = bytes(self._pending[LENGTH_BYTES : LENGTH_BYTES + length])
            del self._pending[: LENGTH_BYTES + length]
            yield body


def _parsed(decoder: msgspec.msgpack.Decoder[Message], body: bytes) -> Message:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FrameError(f"not a message of this protocol: {error}") from error
