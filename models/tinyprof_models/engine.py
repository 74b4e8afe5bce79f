"""The numpy reference engine: a Llama model, greedy, in float32.

It is the golden oracle and the engine that the `host` board times. With int8 activations the vector that
meets a quantized matrix is first rounded to Q8_0, as llama.cpp and engines that multiply integers do.
A KV cache of `f16` or `q8_0` rounds each row of keys and of values as it enters, after RoPE; the arithmetic
on what is in the cache stays float32. The scale of the attention scores is in the queries, never in the keys.
At this size the cost of a numpy call outweighs its arithmetic, so what is saved here is calls: matrices
that meet the same vector are stacked, heads are one array, and a prompt goes through in blocks of rows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinyprof_models.golden import Activations, KvCache
from tinyprof_models.model_file import Floats, LlamaModel, Matrix, ModelError

PROMPT_BLOCK = 64
"""Prompt tokens that go through the layers together; bounds the memory of attention over a long prompt."""

Q8_0_BLOCK = 32
SMALLEST = np.float32(np.finfo(np.float32).tiny)
INT8_LARGEST = np.float32(127)


class ContextFullError(Exception):
    """More tokens than the model's context holds."""


class Chosen(NamedTuple):
    """A token that was chosen, and by how much its logit leads the runner-up's."""

    token: int
    lead: float


class _Product:
    """Multiplication with one matrix, for rows of activations."""

    def __init__(self, matrix: Matrix, int8_activations: bool) -> None:
        self._columns = matrix.weights.T
        self._rounds = int8_activations and matrix.quantized

    @property
    def size(self) -> int:
        """How many numbers the matrix has."""
        return int(self._columns.size)

    def __call__(self, rows: Floats) -> Floats:
        if self._rounds:
            rows = round_to_q8_0(rows)
        if len(rows) == 1:
            return rows @ self._columns
        # Rows one by one: a product of matrices adds up in another order than one with a vector.
        product: Floats = (rows[:, None] @ self._columns)[:, 0]
        return product


class _Layer(NamedTuple):
    attention_norm: Floats
    qkv: _Product
    cache: Floats
    attention_output: _Product
    feed_forward_norm: Floats
    gate_up: _Product
    down: _Product


class Engine:
    """Runs one model; not for use by several threads at once.

    `activations` is what is really in use: a model without quantized matrices has float32 ones only.
    Raises `ModelError` for a `q8_0` cache of rows that are no whole blocks of 32.
    """

    def __init__(self, model: LlamaModel, activations: Activations, kv_cache: KvCache = "f32") -> None:
        kv_width = model.width // model.heads * model.kv_heads
        if kv_cache == "q8_0" and kv_width % Q8_0_BLOCK:
            raise ModelError("model_unsupported", f"rows of {kv_width} keys are no blocks of 32: no cache in q8_0")
        quantized = any(m.quantized for layer in model.layers for m in (layer.qkv, layer.gate_up, layer.down))
        int8 = activations == "int8" and (quantized or model.output.quantized)
        self.activations: Activations = "int8" if int8 else "float32"
        self.kv_cache: KvCache = kv_cache
        self._rounded_for_cache = _CACHE_ROUNDING[kv_cache]
        self.tokenizer = model.tokenizer
        self.context = model.context
        self._embedding = model.embedding
        self._epsilon = model.norm_epsilon
        self._hidden = model.hidden
        self._kv_heads = model.kv_heads
        self._head_width = model.width // model.heads
        self._query_width = model.width
        self._rotated_width = model.width + model.kv_heads * self._head_width
        self._rotation = _rotation(model)
        self._layers = tuple(
            _Layer(
                layer.attention_norm,
                _Product(layer.qkv, int8),
                np.zeros((2, model.kv_heads, model.context, self._head_width), np.float32),
                _Product(layer.attention_output, int8),
                layer.feed_forward_norm,
                _Product(layer.gate_up, int8),
                _Product(layer.down, int8),
            )
            for layer in model.layers
        )
        self._output_norm = model.output_norm
        self._output = _Product(model.output, int8)
        self._position = 0

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights, as they are held here, that one token meets."""
        numbers = self._query_width  # a row of the embedding
        for layer in self._layers:
            numbers += sum(one.size for one in (layer.qkv, layer.attention_output, layer.gate_up, layer.down))
            numbers += layer.attention_norm.size + layer.feed_forward_norm.size
        return 4 * (numbers + self._output.size + self._output_norm.size)

    def reset(self) -> None:
        """Empties the KV cache."""
        self._position = 0

    def prefill(self, prompt_tokens: Sequence[int]) -> Floats:
        """The logits after the last of `prompt_tokens`, which follow what the cache holds already.

        Raises `ContextFullError` if they do not fit, and `ValueError` for none.
        """
        if not prompt_tokens:
            raise ValueError("a prompt has at least one token")
        if self._position + len(prompt_tokens) > self.context:
            raise ContextFullError(f"{len(prompt_tokens)} more tokens exceed the context of {self.context}")
        for start in range(0, len(prompt_tokens), PROMPT_BLOCK):
            rows = self._through_layers(prompt_tokens[start : start + PROMPT_BLOCK])
        logits: Floats = self._output(self._norm(rows[-1:], self._output_norm))[0]
        return logits

    def forward(self, token: int) -> Floats:
        """The logits after one more token. Raises `ContextFullError` when the context is full."""
        return self.prefill((token,))

    def greedy(self, prompt_tokens: Sequence[int], max_tokens: int) -> Iterator[Chosen]:
        """The likeliest tokens after `prompt_tokens`, as they are chosen, from an empty cache.

        Ends after `max_tokens`, after end-of-sequence, or when prompt and tokens fill the context.
        """
        self.reset()
        left = min(max_tokens, self.context - len(prompt_tokens))
        logits = self.prefill(prompt_tokens)
        while left > 0:
            chosen = choose(logits)
            yield chosen
            left -= 1
            if chosen.token == self.tokenizer.eos or not left:
                return
            logits = self.forward(chosen.token)

    def _through_layers(self, tokens: Sequence[int]) -> Floats:
        start, end = self._position, self._position + len(tokens)
        rotation = self._rotation[start:end]
        hides = _future(start, end) if len(tokens) > 1 else None
        x: Floats = self._embedding[list(tokens)]
        for layer in self._layers:
            x = x + self._attend(self._norm(x, layer.attention_norm), layer, rotation, hides)
            x += self._feed_forward(self._norm(x, layer.feed_forward_norm), layer)
        self._position = end
        return x

    def _norm(self, rows: Floats, weights: Floats) -> Floats:
        if len(rows) == 1:
            row = rows[0]
            return rows * (1 / math.sqrt(row.dot(row) / row.size + self._epsilon)) * weights
        mean = np.mean(rows * rows, axis=1, keepdims=True)
        normed: Floats = rows / np.sqrt(mean + np.float32(self._epsilon)) * weights
        return normed

    def _attend(self, rows: Floats, layer: _Layer, rotation: NDArray[np.complex64], hides: Floats | None) -> Floats:
        count, width, kv_heads = len(rows), self._head_width, self._kv_heads
        start, end = self._position, self._position + count
        qkv = layer.qkv(rows)
        turned = qkv[:, : self._rotated_width].view(np.complex64)
        turned *= rotation
        keys_values = qkv[:, self._query_width :]
        if self._rounded_for_cache is not None:
            keys_values = self._rounded_for_cache(keys_values)
        keys_values = keys_values.reshape(count, 2, kv_heads, width)
        layer.cache[:, :, start:end] = keys_values.transpose(1, 2, 0, 3)
        keys, values = layer.cache[:, :, :end]
        # Query heads that share a key head are rows of one matrix, all positions of one head together.
        queries = qkv[:, : self._query_width].reshape(count, kv_heads, -1, width).transpose(1, 2, 0, 3)
        scores = queries.reshape(kv_heads, -1, width) @ keys.transpose(0, 2, 1)
        if hides is not None:
            scores.reshape(kv_heads, -1, count, end)[...] += hides
        scores -= np.maximum.reduce(scores, axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        mixed = scores @ values
        mixed /= np.add.reduce(scores, axis=-1, keepdims=True)
        heads_together = mixed.reshape(kv_heads, -1, count, width).transpose(2, 0, 1, 3)
        return layer.attention_output(heads_together.reshape(count, -1))

    def _feed_forward(self, rows: Floats, layer: _Layer) -> Floats:
        gate_up = layer.gate_up(rows)
        gate, up = gate_up[:, : self._hidden], gate_up[:, self._hidden :]
        slope = np.exp(-gate)
        slope += 1
        np.divide(gate, slope, out=slope)
        slope *= up
        return layer.down(slope)


def choose(logits: Floats) -> Chosen:
    """The likeliest token and its lead over the second; `logits` is spoilt."""
    token = int(logits.argmax())
    first = float(logits[token])
    logits[token] = -np.inf
    return Chosen(token, first - float(logits.max()))


def round_to_q8_0(rows: Floats) -> Floats:
    """What is left of `rows` in blocks of 32 int8 values, each with a float16 scale."""
    blocks = rows.reshape(-1, Q8_0_BLOCK)
    scales: Floats = np.maximum.reduce(np.abs(blocks), axis=1, keepdims=True)
    scales /= INT8_LARGEST
    # A block of zeros has no inverse; any finite one leaves it zeros.
    inverse: Floats = np.reciprocal(np.maximum(scales, SMALLEST))
    rounded: Floats = blocks * inverse
    np.rint(rounded, out=rounded)
    rounded *= scales.astype(np.float16).astype(np.float32)
    return rounded.reshape(rows.shape)


def _round_to_f16(rows: Floats) -> Floats:
    with np.errstate(over="ignore"):  # what float16 cannot hold is infinite, and so are the logits then
        return rows.astype(np.float16).astype(np.float32)


_CACHE_ROUNDING: dict[KvCache, Callable[[Floats], Floats] | None] = {
    "f32": None,
    "f16": _round_to_f16,
    "q8_0": round_to_q8_0,
}
"""What becomes of a position's keys and values (one row after the other) before the cache takes them."""


def _rotation(model: LlamaModel) -> NDArray[np.complex64]:
    """Rotary embedding as complex factors of neighbouring pairs: a row a position, a column a pair of q, k.

    The scale of the attention scores is part of the queries' factors.
    """
    width = model.width // model.heads
    speeds = model.rope_base ** (-np.arange(0, width, 2) / width)
    factors = np.exp(1j * np.arange(model.context)[:, None] * speeds)
    queries = np.tile(factors / math.sqrt(width), model.heads)
    return np.concatenate((queries, np.tile(factors, model.kv_heads)), axis=1).astype(np.complex64)


def _future(start: int, end: int) -> Floats:
    """Zero where a position of start … end−1 (a row) sees one of 0 … end−1, minus infinity where it is later."""
    later = np.arange(end) > np.arange(start, end)[:, None]
    hides: Floats = np.where(later, np.float32(-np.inf), np.float32(0))
    return hides
