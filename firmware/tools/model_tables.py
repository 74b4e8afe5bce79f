"""The tables that the engine reads from flash so that they take no memory: vocabulary, rotation, powers of two."""

import cmath
import math
from collections.abc import Iterable
from typing import Any

from gguf_layout import Gguf, GgufError

BYTE, NORMAL = 6, 1
POWER_STEPS = 256


def tables_text(gguf: Gguf, head_width: int, ctx: int, rope_base: float) -> str:
    """model_tables.h. Raises `GgufError`."""
    pieces = [bytes(piece) for piece in _listed(gguf, "tokenizer.ggml.tokens")]
    scores = [float(score) for score in _listed(gguf, "tokenizer.ggml.scores")]
    if any(math.isnan(score) for score in scores):
        raise GgufError("has a token's score that is no number")
    ids = {piece: token for token, piece in enumerate(pieces)}
    order = [ids[piece] for piece in sorted(ids)]
    best_first = {score: rank for rank, score in enumerate(sorted(set(scores), reverse=True))}
    unknown = gguf.values.get("tokenizer.ggml.unknown_token_id", 0)
    by_byte = [ids.get(b"<0x%02X>" % byte, unknown) for byte in range(256)]
    kinds = _listed(gguf, "tokenizer.ggml.token_type")
    return "\n".join(
        [
            "/* Made by tools/model_header.py, with model.h. */",
            _array("uint32_t piece_offset[MODEL_VOCAB]", gguf.piece_offsets),
            _array("uint16_t piece_order[MODEL_PIECES]", order),
            _array("uint16_t piece_rank[MODEL_VOCAB]", [best_first[score] for score in scores]),
            _array("uint16_t byte_token[256]", by_byte),
            _array("uint16_t token_byte[MODEL_VOCAB]", [_text_kind(*of) for of in zip(pieces, kinds, strict=True)]),
            _array("float rotation[MODEL_CTX * MODEL_HEAD_WIDTH]", _rotation(head_width, ctx, rope_base)),
            _array(f"uint32_t power_of_two[{POWER_STEPS + 1}]", _powers()),
            "",
        ]
    )


def _listed(gguf: Gguf, key: str) -> list[Any]:
    value = gguf.values[key]
    assert isinstance(value, list)
    return value


def _text_kind(piece: bytes, kind: int) -> int:
    """A byte's value for a byte token; 256: its text is its piece; 257: it has none."""
    if kind == BYTE:
        try:
            return int(piece[3:5], 16)
        except ValueError as error:
            raise GgufError(f"has a byte token {piece[:12]!r} that names no byte") from error
    return 256 if kind == NORMAL else 257


def _rotation(head_width: int, ctx: int, base: float) -> list[str]:
    """Cosine and sine of each neighbouring pair's angle, a row a position."""
    speeds = [base ** (-pair / head_width) for pair in range(0, head_width, 2)]
    turns = [cmath.exp(1j * position * speed) for position in range(ctx) for speed in speeds]
    return [f"{part:.9e}f" for turn in turns for part in (turn.real, turn.imag)]


def _powers() -> list[int]:
    """2 to the power of n/256, less one, in parts of 2^23: the fraction of a float."""
    return [round((2 ** (step / POWER_STEPS) - 1) * 2**23) for step in range(POWER_STEPS + 1)]


def _array(declared: str, items: Iterable[object]) -> str:
    lines, line = [], ""
    for item in items:
        text = f"{item},"
        if len(line) + len(text) > 118:
            lines.append(line)
            line = ""
        line += text
    return f"const {declared} = {{\n" + "\n".join([*lines, line]) + "\n};"
