"""Reads a Llama model from a GGUF file into float32 arrays.

Quantized tensors are dequantized once, as they are read. What the engine cannot run exactly
(another architecture, scaled rotary embedding, missing or misshapen tensors) is refused here.
"""

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
from numpy.typing import NDArray

from tinyprof_models.gguf_magic import why_no_gguf
from tinyprof_models.tokenizer import Tokenizer, Vocabulary

Floats = NDArray[np.float32]
ModelErrorCode = Literal["model_missing", "model_corrupt", "model_unsupported", "model_too_large"]

MAX_PARAMETERS = 64 * 1024 * 1024
"""Weights are kept as float32, so this bounds the memory to 256 MiB."""

MAX_CONTEXT = 4096
"""A longer context is cut to this: the cache is allocated whole."""

BROKEN = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError, struct.error)
"""The library has no error type of its own: broken files surface as whatever broke first, in words of no use."""


class ModelError(Exception):
    """A model file that cannot be used; `code` is for programs, the text for people, in one line."""

    def __init__(self, code: ModelErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Matrix:
    """A weight matrix, rows by columns, and whether the file keeps it quantized."""

    weights: Floats
    quantized: bool


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One transformer block; `qkv` is query, key and value one after another, `gate_up` likewise."""

    attention_norm: Floats
    qkv: Matrix
    attention_output: Matrix
    feed_forward_norm: Floats
    gate_up: Matrix
    down: Matrix


@dataclass(frozen=True, slots=True)
class LlamaModel:
    """A model as the engine needs it, with what names it."""

    name: str
    sha256: str
    file_bytes: int
    quantisation: str
    tokenizer: Tokenizer
    context: int
    width: int
    hidden: int
    heads: int
    kv_heads: int
    norm_epsilon: float
    rope_base: float
    embedding: Floats
    layers: tuple[LayerWeights, ...]
    output_norm: Floats
    output: Matrix


def read_model(path: Path) -> LlamaModel:
    """The model in the GGUF file at `path`.

    Raises `ModelError` with code `model_missing`, `model_corrupt`, `model_unsupported` or `model_too_large`.
    """
    try:
        return _ModelReader(_open(path)).model()
    except OSError as error:
        raise ModelError("model_missing", f"cannot read {path}: {error.strerror or error}") from error
    except BROKEN as error:
        raise ModelError("model_corrupt", f"{path}: its metadata and its tensors do not fit each other") from error


def _open(path: Path) -> Any:
    """The library's reader of a file that is whole."""
    try:
        return gguf.GGUFReader(path)
    except BROKEN as error:
        cut = f"{path}: is cut short or no GGUF file: what its header announces is not all there"
        raise ModelError("model_corrupt", why_no_gguf(path) or cut) from error


class _ModelReader:
    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        if len(self._tensors) > 10_000 or sum(int(t.n_elements) for t in reader.tensors) > MAX_PARAMETERS:
            raise ModelError("model_too_large", f"the model has over {MAX_PARAMETERS:,} parameters")

    def model(self) -> LlamaModel:
        self._refuse_unsupported()
        width = self._positive("llama.embedding_length")
        heads = self._positive("llama.attention.head_count")
        kv_heads = self._positive("llama.attention.head_count_kv", heads)
        hidden = self._positive("llama.feed_forward_length")
        vocabulary = self._vocabulary()
        head = width // heads
        if width % heads or heads % kv_heads or head % 2 or width % 32 or hidden % 32:
            raise ModelError("model_unsupported", "the model's width, heads and hidden size do not divide evenly")
        if self._positive("llama.rope.dimension_count", head) != head:
            raise ModelError("model_unsupported", "rotary embedding over a part of each head is not supported")
        embedding = self._matrix("token_embd.weight", len(vocabulary.pieces), width)
        tied = "output.weight" not in self._tensors
        data = self._reader.data
        return LlamaModel(
            name=str(self._field("general.name", ""))[:128],
            sha256=hashlib.sha256(data).hexdigest(),
            file_bytes=int(data.nbytes),
            quantisation=self._quantisation(),
            tokenizer=Tokenizer(vocabulary),
            context=min(self._positive("llama.context_length"), MAX_CONTEXT),
            width=width,
            hidden=hidden,
            heads=heads,
            kv_heads=kv_heads,
            norm_epsilon=float(self._field("llama.attention.layer_norm_rms_epsilon")),
            rope_base=float(self._field("llama.rope.freq_base", 10000.0)),
            embedding=embedding.weights,
            layers=tuple(
                self._layer(f"blk.{index}.", width, hidden, kv_heads * head)
                for index in range(self._positive("llama.block_count"))
            ),
            output_norm=self._vector("output_norm.weight", width),
            output=embedding if tied else self._matrix("output.weight", len(vocabulary.pieces), width),
        )

    def _layer(self, prefix: str, width: int, hidden: int, kv_width: int) -> LayerWeights:
        rows = {"attn_q": width, "attn_k": kv_width, "attn_v": kv_width, "ffn_gate": hidden, "ffn_up": hidden}
        into = {name: self._matrix(f"{prefix}{name}.weight", count, width) for name, count in rows.items()}
        return LayerWeights(
            attention_norm=self._vector(f"{prefix}attn_norm.weight", width),
            qkv=_stacked(into["attn_q"], into["attn_k"], into["attn_v"]),
            attention_output=self._matrix(f"{prefix}attn_output.weight", width, width),
            feed_forward_norm=self._vector(f"{prefix}ffn_norm.weight", width),
            gate_up=_stacked(into["ffn_gate"], into["ffn_up"]),
            down=self._matrix(f"{prefix}ffn_down.weight", width, hidden),
        )

    def _field(self, name: str, default: Any = None) -> Any:
        field = self._reader.get_field(name)
        if field is not None:
            return field.contents()
        if default is None:
            raise ModelError("model_corrupt", f"the GGUF file has no {name}")
        return default

    def _positive(self, name: str, default: int | None = None) -> int:
        value = self._field(name, default)
        if not isinstance(value, int) or not 0 < value <= 1 << 20:
            raise ModelError("model_unsupported", f"{name} is {str(value)[:40]}, not a number in range")
        return value

    def _refuse_unsupported(self) -> None:
        for name, wanted in (
            ("general.architecture", "llama"),
            ("tokenizer.ggml.model", "llama"),
            ("llama.rope.scaling.type", "none"),
        ):
            found = self._field(name, wanted if name.startswith("llama.") else None)
            if found != wanted:
                raise ModelError("model_unsupported", f"{name} is {str(found)[:40]!r}; only {wanted!r} is supported")
        if any(name.endswith(".bias") or name == "rope_freqs.weight" for name in self._tensors):
            raise ModelError("model_unsupported", "models with biases or rotary factors are not supported")

    def _vocabulary(self) -> Vocabulary:
        vocabulary = Vocabulary(
            pieces=tuple(self._field("tokenizer.ggml.tokens")),
            scores=tuple(self._field("tokenizer.ggml.scores")),
            types=tuple(self._field("tokenizer.ggml.token_type")),
            bos=int(self._field("tokenizer.ggml.bos_token_id")),
            eos=int(self._field("tokenizer.ggml.eos_token_id")),
            unknown=int(self._field("tokenizer.ggml.unknown_token_id", 0)),
        )
        size = len(vocabulary.pieces)
        ids_known = all(0 <= token < size for token in (vocabulary.bos, vocabulary.eos, vocabulary.unknown))
        if len(vocabulary.scores) != size or len(vocabulary.types) != size or not ids_known:
            raise ModelError("model_corrupt", "the GGUF file's tokens, scores and types do not fit each other")
        return vocabulary

    def _quantisation(self) -> str:
        file_type = gguf.LlamaFileType(self._field("general.file_type")).name
        return str(file_type).removeprefix("MOSTLY_").removeprefix("ALL_")

    def _tensor(self, name: str, shape: tuple[int, ...]) -> tuple[Floats, bool]:
        tensor = self._tensors.get(name)
        if tensor is None:
            raise ModelError("model_corrupt", f"the GGUF file has no tensor {name}")
        try:
            values = np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32, order="C")
        except NotImplementedError as error:
            raise ModelError("model_unsupported", f"{name} is {tensor.tensor_type.name}, not supported") from error
        if values.shape != shape:
            raise ModelError("model_corrupt", f"tensor {name} has shape {values.shape}, not {shape}")
        if not np.isfinite(values).all():
            raise ModelError("model_corrupt", f"tensor {name} holds values that are not finite")
        return values, tensor.tensor_type != gguf.GGMLQuantizationType.F32

    def _matrix(self, name: str, rows: int, columns: int) -> Matrix:
        return Matrix(*self._tensor(name, (rows, columns)))

    def _vector(self, name: str, size: int) -> Floats:
        return self._tensor(name, (size,))[0]


def _stacked(*matrices: Matrix) -> Matrix:
    """Matrices that meet the same vector, as one: fewer and larger multiplications."""
    if len({matrix.quantized for matrix in matrices}) > 1:
        raise ModelError("model_unsupported", "neighbouring matrices differ in being quantized")
    return Matrix(np.concatenate([matrix.weights for matrix in matrices]), matrices[0].quantized)
