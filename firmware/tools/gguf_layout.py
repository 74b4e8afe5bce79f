"""What the build of the firmware reads from a GGUF file: its values, its vocabulary and where its tensors lie.

Plain Python, so that a build needs no package. Everything is checked against the file's size before it is used.
"""

import struct
from dataclasses import dataclass

ALIGNMENT = 32
BLOCK = 32
MAX_ITEMS = 1 << 20
ARRAY, STRING = 9, 8
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TENSOR_TYPES = {0: ("F32", 1, 4), 2: ("Q4_0", BLOCK, 18), 8: ("Q8_0", BLOCK, 34)}
"""What the engine reads: name, values a block, bytes a block."""


class GgufError(Exception):
    """A file that cannot be used; the text says why, in one line."""


@dataclass(frozen=True)
class Tensor:
    """A tensor: its type's name, its shape with the row's length first, and its place in the file."""

    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class Gguf:
    """A GGUF file's content; `piece_offsets` says where each token's text begins in the file."""

    values: dict[str, object]
    tensors: dict[str, Tensor]
    piece_offsets: tuple[int, ...]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise GgufError(f"is cut short: it ends at byte {len(self.data):,}, within its header")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, code: str) -> int:
        value: int = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]
        return value

    def count(self, what: str) -> int:
        value = self.number("Q")
        if value > MAX_ITEMS:
            raise GgufError(f"says that it has {value:,} {what}: it is corrupt, or far too large")
        return value

    def string(self) -> bytes:
        return self.take(self.number("Q"))

    def value(self, kind: int) -> object:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            inner, count = self.number("I"), self.count("values in an array")
            if inner in SCALARS:
                code = SCALARS[inner]
                return list(struct.unpack(f"<{count}{code}", self.take(count * struct.calcsize("<" + code))))
            return [self.value(inner) for _ in range(count)]
        if kind not in SCALARS:
            raise GgufError(f"has a value of the unknown type {kind} at byte {self.at:,}")
        return self.number(SCALARS[kind])


def read_gguf(data: bytes) -> Gguf:
    """The content of a GGUF file of version 3. Raises `GgufError`."""
    reader = _Reader(data)
    if reader.take(4) != b"GGUF":
        raise GgufError("is no GGUF file: it does not begin with GGUF")
    version = reader.number("I")
    if version != 3:
        raise GgufError(f"is GGUF version {version}; only 3 is supported")
    tensor_count, value_count = reader.count("tensors"), reader.count("values")
    values: dict[str, object] = {}
    piece_offsets: tuple[int, ...] = ()
    for _ in range(value_count):
        key = reader.string().decode("utf-8", "replace")
        kind = reader.number("I")
        start = reader.at
        values[key] = reader.value(kind)
        if key == "tokenizer.ggml.tokens":
            piece_offsets = _piece_offsets(start, values[key])
    return Gguf(values, _tensors(reader, tensor_count, values.get("general.alignment", ALIGNMENT)), piece_offsets)


def _piece_offsets(start: int, pieces: object) -> tuple[int, ...]:
    at, offsets = start + 4 + 8, []
    for piece in pieces if isinstance(pieces, list) else []:
        if not isinstance(piece, bytes):
            raise GgufError("has a vocabulary that is not of strings")
        offsets.append(at + 8)
        at += 8 + len(piece)
    return tuple(offsets)


def _tensors(reader: _Reader, count: int, alignment: object) -> dict[str, Tensor]:
    if not isinstance(alignment, int) or alignment % 8 or not 0 < alignment <= 4096:
        raise GgufError(f"has an alignment of {alignment}, which is not supported")
    announced = []
    for _ in range(count):
        name = reader.string().decode("utf-8", "replace")
        dimensions = reader.number("I")
        if not 1 <= dimensions <= 4:
            raise GgufError(f"has a tensor {name[:60]!r} of {dimensions} dimensions")
        shape = tuple(reader.number("Q") for _ in range(dimensions))
        announced.append((name, shape, reader.number("I"), reader.number("Q")))
    base = -(-reader.at // alignment) * alignment
    tensors = {}
    for name, shape, kind, offset in announced:
        if kind not in TENSOR_TYPES:
            raise GgufError(f"has a tensor {name[:60]} of type {kind}; the engine reads F32, Q8_0 and Q4_0")
        label, block, block_bytes = TENSOR_TYPES[kind]
        if shape[0] % block:
            raise GgufError(f"has a tensor {name[:60]} whose rows of {shape[0]} do not divide into blocks of {block}")
        size = shape[0] // block * block_bytes
        for length in shape[1:]:
            size *= length
        if base + offset + size > len(reader.data):
            raise GgufError(f"is cut short: tensor {name[:60]} lies beyond its {len(reader.data):,} bytes")
        tensors[name] = Tensor(label, shape, base + offset, size)
    return tensors
