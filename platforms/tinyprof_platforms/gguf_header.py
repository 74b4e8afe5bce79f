"""Reads what stands before the weights of a GGUF file: metadata, tensors, the shape of a Llama.

Only the header is read, in pieces and within bounds, never the weights, so that a file of any size or of hostile
content costs little. The format: ggml, docs/gguf.md (versions 2 and 3, little-endian).
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

from tinyprof_platforms.gguf_types import FILE_TYPES, TENSOR_TYPES, TensorType

MAGIC: Final = b"GGUF"
MAX_HEADER_BYTES: Final = 64 * 1024 * 1024
"""A vocabulary of 256,000 pieces with its merges takes about a fifth of it."""
MAX_FIELDS: Final = 4096
MAX_TENSORS: Final = 10_000
MAX_KEY_BYTES: Final = 65_535
MAX_KEPT_TEXT_BYTES: Final = 1024
MAX_ELEMENTS: Final = 1 << 48
MAX_LIST: Final = 4_000_000
MAX_DIMENSIONS: Final = 4

_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
_BOOL, _STRING, _ARRAY = 7, 8, 9

_PIECES: Final = "tokenizer.ggml.tokens"
_LONGEST: Final = "longest piece"
_SPACE: Final = "\u2581".encode()
"""How SentencePiece writes a space, in UTF-8."""

Value = int | float | bool | str


class GgufError(Exception):
    """A file that is no usable GGUF file; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the file. `shape` has the rows' length first, as the file has it; `offset` counts from the data."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """What it takes in the file."""
        return self.elements // self.type.block * self.type.block_bytes


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What stands before the weights. Lists are not kept but for their lengths, texts up to a kibibyte.

    `longest_piece_bytes` is that of the vocabulary's longest piece as text.
    """

    version: int
    values: dict[str, Value]
    lengths: dict[str, int]
    tensors: dict[str, Tensor]
    data_offset: int
    file_bytes: int
    longest_piece_bytes: int

    @property
    def name(self) -> str:
        """The model's own name; "" where it has none."""
        name = self.values.get("general.name", "")
        return name[:128] if isinstance(name, str) else ""

    @property
    def quantisation(self) -> str:
        """The name of its `general.file_type`; where that says nothing, the type that most of the weights have."""
        said = self.values.get("general.file_type")
        if isinstance(said, int) and said in FILE_TYPES:
            return FILE_TYPES[said]
        shares: dict[str, int] = {}
        for tensor in self.tensors.values():
            shares[tensor.type.name] = shares.get(tensor.type.name, 0) + tensor.elements
        return max(shares, key=lambda name: shares[name], default="unknown")


def read_header(path: Path) -> GgufHeader:
    """The header of the GGUF file at `path`. Raises `GgufError`, whose text names the file."""
    try:
        with path.open("rb") as file:
            file_bytes = file.seek(0, 2)
            file.seek(0)
            return parse_header(file, file_bytes)
    except OSError as why:
        raise GgufError(f"cannot read {path}: {why.strerror or why}") from why
    except GgufError as why:
        raise GgufError(f"{path}: {why}") from None


def parse_header(file: BinaryIO, file_bytes: int) -> GgufHeader:
    """The header that begins where `file` stands; `file_bytes` is the size of the whole file. Raises `GgufError`."""
    source = _Source(file, file_bytes)
    if source.take_up_to(4) != MAGIC:
        raise GgufError("is cut short or no GGUF file: it does not begin with 'GGUF'")
    version = source.number("I")
    if version not in (2, 3):
        raise GgufError(f"is GGUF of version {version}; versions 2 and 3 are read")
    tensor_count, field_count = source.number("Q"), source.number("Q")
    if tensor_count > MAX_TENSORS or field_count > MAX_FIELDS:
        raise GgufError(
            f"announces {tensor_count} tensors and {field_count} fields: over {MAX_TENSORS} or {MAX_FIELDS}"
        )
    values, lengths = _fields(source, field_count)
    longest = lengths.pop(_LONGEST, 1)
    tensors = _tensors(source, tensor_count)
    alignment = values.get("general.alignment", 32)
    if isinstance(alignment, bool) or not isinstance(alignment, int) or not 0 < alignment <= 1 << 20:
        raise GgufError("has an alignment that is no number in range")
    data_offset = -(-source.position // alignment) * alignment
    for tensor in tensors.values():
        if tensor.offset % alignment or data_offset + tensor.offset + tensor.bytes > file_bytes:
            raise GgufError(f"is cut short or broken: tensor {tensor.name[:64]!r} does not lie within the file")
    return GgufHeader(version, values, lengths, tensors, data_offset, file_bytes, longest)


class _Source:
    """The header's bytes in order, within the file's size and the bound of a header."""

    def __init__(self, file: BinaryIO, file_bytes: int) -> None:
        self._file = file
        self._end = min(file_bytes, MAX_HEADER_BYTES)
        self._bounded = file_bytes > MAX_HEADER_BYTES
        self.position = 0

    def take_up_to(self, count: int) -> bytes:
        data = self._file.read(count)
        self.position += len(data)
        return data

    def take(self, count: int) -> bytes:
        self._check(count)
        data = self.take_up_to(count)
        if len(data) != count:
            self._ends_early()
        return data

    def skip(self, count: int) -> None:
        self._check(count)
        self._file.seek(count, 1)
        self.position += count

    def number(self, kind: str) -> int:
        return int(struct.unpack("<" + kind, self.take(struct.calcsize(kind)))[0])

    def text(self, most: int) -> str:
        count = self.number("Q")
        if count > most:
            raise GgufError(f"has a name of {count} bytes, over {most}")
        return self.take(count).decode(errors="replace")

    def _check(self, count: int) -> None:
        if count > self._end - self.position:
            self._ends_early()

    def _ends_early(self) -> NoReturn:
        if self._bounded:
            raise GgufError(f"has a header of over {MAX_HEADER_BYTES} bytes")
        raise GgufError("is cut short or no GGUF file: what its header announces is not all there")


def _fields(source: _Source, count: int) -> tuple[dict[str, Value], dict[str, int]]:
    values: dict[str, Value] = {}
    lengths: dict[str, int] = {}
    for _ in range(count):
        key = source.text(MAX_KEY_BYTES)
        if key in values or key in lengths or key == _LONGEST:
            raise GgufError(f"has the field {key[:64]!r} twice")
        kind = source.number("I")
        if kind == _ARRAY and key == _PIECES:
            lengths[key], lengths[_LONGEST] = _measured_pieces(source)
        elif kind == _ARRAY:
            lengths[key] = _skipped_list(source)
        elif kind == _STRING:
            values[key] = _kept_text(source)
        else:
            values[key] = _scalar(source, kind, key)
    return values, lengths


def _scalar(source: _Source, kind: int, key: str) -> Value:
    if kind not in _SCALARS:
        raise GgufError(f"has the field {key[:64]!r} of the unknown type {kind}")
    form = "<" + _SCALARS[kind]
    value: int | float = struct.unpack(form, source.take(struct.calcsize(form)))[0]
    return bool(value) if kind == _BOOL else value


def _kept_text(source: _Source) -> str:
    """A text's begin; a chat template may be long."""
    count = source.number("Q")
    kept = source.take(min(count, MAX_KEPT_TEXT_BYTES))
    source.skip(count - len(kept))
    return kept.decode(errors="replace")


def _skipped_list(source: _Source) -> int:
    """The length of a list that is passed over. A list of lists is refused: no model file has one."""
    kind, count = source.number("I"), source.number("Q")
    if kind == _STRING:
        if count > MAX_LIST:
            raise GgufError(f"has a list of {count} texts, over {MAX_LIST}")
        for _ in range(count):
            source.skip(source.number("Q"))
    elif kind in _SCALARS:
        source.skip(count * struct.calcsize("<" + _SCALARS[kind]))
    else:
        raise GgufError(f"has a list of the unknown type {kind}")
    return count


def _measured_pieces(source: _Source) -> tuple[int, int]:
    """How many pieces there are, and the bytes of the longest as text: a space is one, and so is a byte piece."""
    kind, count = source.number("I"), source.number("Q")
    if kind != _STRING or count > MAX_LIST:
        raise GgufError("has a vocabulary that is no list of texts, or too long a one")
    longest = 1
    for _ in range(count):
        piece = source.take(source.number("Q"))
        if not (len(piece) == 6 and piece.startswith(b"<0x")):
            longest = max(longest, len(piece.replace(_SPACE, b" ")))
    return count, longest


def _tensors(source: _Source, count: int) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for _ in range(count):
        name = source.text(MAX_KEY_BYTES)
        dimensions = source.number("I")
        if name in tensors or not 0 < dimensions <= MAX_DIMENSIONS:
            raise GgufError(f"has the tensor {name[:64]!r} twice, or with {dimensions} dimensions")
        shape = tuple(source.number("Q") for _ in range(dimensions))
        kind, offset = source.number("I"), source.number("Q")
        if kind not in TENSOR_TYPES:
            raise GgufError(f"has the tensor {name[:64]!r} of the unknown type {kind}")
        tensor = Tensor(name, shape, TENSOR_TYPES[kind], offset)
        if not 0 < tensor.elements <= MAX_ELEMENTS or shape[0] % tensor.type.block:
            raise GgufError(f"has the tensor {name[:64]!r} with a shape that cannot be")
        tensors[name] = tensor
    return tensors
