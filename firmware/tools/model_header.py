"""Makes model.h and model_tables.h, from which the firmware's engine is built, out of a GGUF file.

`python3 model_header.py MODEL.gguf --ctx 256 --kv f16 --activations int8 --out build/native/model.h`; plain Python.
The tables lie in flash: where each token's text begins, the pieces in order, the rank of their scores, and the factors
of the rotary embedding. Both files are written anew only when what they say changes.
"""

import argparse
import hashlib
import math
import re
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

from gguf_layout import BLOCK, Gguf, GgufError, read_gguf
from model_tables import tables_text

VERSION_FILE = Path(__file__).resolve().parents[2] / "client" / "tinyprof" / "__init__.py"
FILE_TYPES = {0: "F32", 2: "Q4_0", 7: "Q8_0"}
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
MAX_VOCABULARY = 65_535
MAX_POSITIONS = 65_535
UNUSABLE = {"rope_freqs.weight"}


@dataclass(frozen=True)
class Shape:
    """A Llama model's dimensions, in values."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    vocabulary: int
    context: int

    @property
    def head_width(self) -> int:
        """Values of one head."""
        return self.width // self.heads

    @property
    def kv_width(self) -> int:
        """Values of one K or V row: all key heads of one position."""
        return self.kv_heads * self.head_width


def main() -> int:
    """0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--ctx", type=int, required=True, help="positions that the KV cache holds")
    parser.add_argument("--kv", required=True, choices=("f32", "f16", "q8_0"), help="what the KV cache holds")
    parser.add_argument("--activations", required=True, choices=("float32", "int8"))
    parser.add_argument("--out", type=Path, required=True, metavar="model.h")
    options = parser.parse_args()
    try:
        data = options.model.read_bytes()
        header, tables = texts(data, options.model.stem, options.ctx, options.kv, options.activations)
        write_if_changed(options.out.with_name("model_tables.h"), tables)
        write_if_changed(options.out, header)
    except GgufError as error:
        print(f"model_header: {options.model} {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"model_header: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def texts(data: bytes, name: str, ctx: int, kv: str, activations: str) -> tuple[str, str]:
    """model.h and model_tables.h for a model's bytes. Raises `GgufError`."""
    gguf = read_gguf(data)
    refuse_unsupported(gguf)
    shape = shape_of(gguf)
    check_matrices(gguf, shape)
    if not 2 <= ctx <= min(shape.context, MAX_POSITIONS):
        raise GgufError(f"has a context of {shape.context} positions: CTX can be 2 to that, not {ctx}")
    if kv == "q8_0" and shape.kv_width % BLOCK:
        raise GgufError(
            f"has K and V rows of {shape.kv_width} values, which do not divide into blocks of {BLOCK}: "
            "KV=q8_0 is not possible, take KV=f16"
        )
    base = real(gguf, "llama.rope.freq_base", 10000.0)
    tables = tables_text(gguf, shape.head_width, ctx, base)
    lines = [f"/* Made by tools/model_header.py from {name}.gguf. */", "#ifndef MODEL_H", "#define MODEL_H", ""]
    named = {**identity(data, name, gguf), **numbers(gguf, shape, ctx), **kinds(gguf, shape, ctx, kv, activations)}
    named["MODEL_TABLES_CRC32"] = f"0x{zlib.crc32(tables.encode()):08x}u /* the tables beside this file */"
    named["FIRMWARE_VERSION"] = f'"{firmware_version()}"'
    lines += [f"#define {key} {value}" for key, value in named.items()]
    return "\n".join([*lines, "", "#endif", ""]), tables


def identity(data: bytes, name: str, gguf: Gguf) -> dict[str, str]:
    """What names the file."""
    digest = ", ".join(f"0x{byte:02x}" for byte in hashlib.sha256(data).digest())
    plain = re.sub(r'[^ -~]|["\\]', "_", name)[:64]
    file_type = gguf.values.get("general.file_type")
    if file_type not in FILE_TYPES:
        raise GgufError(f"has general.file_type {file_type}; the engine runs F32 (0), Q4_0 (2) and Q8_0 (7)")
    return {
        "MODEL_NAME": f'"{plain}"',
        "MODEL_SHA256": f"{{{digest}}}",
        "MODEL_CRC32": f"0x{zlib.crc32(data):08x}u",
        "MODEL_BYTES": f"{len(data)}u",
        "MODEL_QUANTISATION": f'"{FILE_TYPES[file_type]}"',
    }


def numbers(gguf: Gguf, shape: Shape, ctx: int) -> dict[str, str]:
    """The dimensions and constants."""
    pieces = strings(gguf, "tokenizer.ggml.tokens")
    tokens = {
        "MODEL_BOS": positive(gguf, "tokenizer.ggml.bos_token_id", least=0),
        "MODEL_EOS": positive(gguf, "tokenizer.ggml.eos_token_id", least=0),
        "MODEL_UNKNOWN": positive(gguf, "tokenizer.ggml.unknown_token_id", 0, least=0),
    }
    if max(tokens.values()) >= shape.vocabulary:
        raise GgufError("names a special token that its vocabulary does not have")
    whole = {
        "MODEL_WIDTH": shape.width,
        "MODEL_LAYERS": shape.layers,
        "MODEL_HEADS": shape.heads,
        "MODEL_KV_HEADS": shape.kv_heads,
        "MODEL_HEAD_WIDTH": shape.head_width,
        "MODEL_KV_WIDTH": shape.kv_width,
        "MODEL_HIDDEN": shape.hidden,
        "MODEL_VOCAB": shape.vocabulary,
        "MODEL_CTX": ctx,
        **tokens,
        "MODEL_LONGEST_PIECE": max(map(len, pieces)),
        "MODEL_PIECES": len(set(pieces)),
    }
    return {
        **{key: str(value) for key, value in whole.items()},
        "MODEL_ROPE_BASE": literal(real(gguf, "llama.rope.freq_base", 10000.0)),
        "MODEL_SCORE_SCALE": literal(1 / math.sqrt(shape.head_width)),
        "MODEL_EPSILON": literal(real(gguf, "llama.attention.layer_norm_rms_epsilon")),
    }


def kinds(gguf: Gguf, shape: Shape, ctx: int, kv: str, activations: str) -> dict[str, str]:
    """What the matrices, the activations and the cache are made of, and the cache's bytes."""
    tied = "output.weight" not in gguf.tensors
    output = "token_embd.weight" if tied else "output.weight"
    used = {gguf.tensors[name].kind for name in [*matrix_names(shape), output]}
    int8 = activations == "int8" and used != {"F32"}
    row_bytes = {"f32": 4 * shape.kv_width, "f16": 2 * shape.kv_width, "q8_0": shape.kv_width // BLOCK * 34}[kv]
    flags = {
        "MODEL_TIED": tied,
        "MODEL_HAS_F32": "F32" in used,
        "MODEL_HAS_Q8_0": "Q8_0" in used,
        "MODEL_HAS_Q4_0": "Q4_0" in used,
        "MODEL_INT8": int8,
        "MODEL_KV_F32": kv == "f32",
        "MODEL_KV_F16": kv == "f16",
        "MODEL_KV_Q8_0": kv == "q8_0",
    }
    return {
        **{key: str(int(value)) for key, value in flags.items()},
        "MODEL_ACTIVATIONS": '"int8"' if int8 else '"float32"',
        "MODEL_KV_NAME": f'"{kv}"',
        "MODEL_KV_ROW_BYTES": f"{row_bytes}u",
        "MODEL_KV_BYTES": f"{2 * shape.layers * ctx * row_bytes}u",
    }


def shape_of(gguf: Gguf) -> Shape:
    """The dimensions, which the engine can run."""
    heads = positive(gguf, "llama.attention.head_count")
    shape = Shape(
        width=positive(gguf, "llama.embedding_length"),
        layers=positive(gguf, "llama.block_count"),
        heads=heads,
        kv_heads=positive(gguf, "llama.attention.head_count_kv", heads),
        hidden=positive(gguf, "llama.feed_forward_length"),
        vocabulary=len(strings(gguf, "tokenizer.ggml.tokens")),
        context=positive(gguf, "llama.context_length"),
    )
    head = shape.head_width
    if shape.width % heads or heads % shape.kv_heads or head % 2 or shape.width % BLOCK or shape.hidden % BLOCK:
        raise GgufError("has a width, heads and a hidden size that do not divide evenly")
    if positive(gguf, "llama.rope.dimension_count", head) != head:
        raise GgufError("has rotary embedding over a part of each head, which is not supported")
    if not 1 <= shape.vocabulary <= MAX_VOCABULARY:
        raise GgufError(f"has {shape.vocabulary} tokens; the engine takes 1 to {MAX_VOCABULARY:,}")
    for key in ("tokenizer.ggml.scores", "tokenizer.ggml.token_type"):
        listed = gguf.values.get(key)
        if not isinstance(listed, list) or len(listed) != shape.vocabulary:
            raise GgufError(f"has {key} that do not fit its {shape.vocabulary} tokens")
    return shape


def refuse_unsupported(gguf: Gguf) -> None:
    """Raises `GgufError` for what the engine would run wrongly."""
    for key, wanted in (
        ("general.architecture", b"llama"),
        ("tokenizer.ggml.model", b"llama"),
        ("llama.rope.scaling.type", b"none"),
    ):
        found = gguf.values.get(key, wanted if key.startswith("llama.") else None)
        if found != wanted:
            raise GgufError(f"has {key} {str(found)[:40]}; the engine runs {wanted.decode()} only")
    unusable = [name for name in gguf.tensors if name.endswith(".bias") or name in UNUSABLE]
    if unusable:
        raise GgufError(f"has a tensor {unusable[0][:60]}: biases and rotary factors are not supported")


def matrix_names(shape: Shape) -> list[str]:
    """The layers' matrices."""
    return [f"blk.{layer}.{name}.weight" for layer in range(shape.layers) for name in MATRICES]


def check_matrices(gguf: Gguf, shape: Shape) -> None:
    """Raises `GgufError` where a tensor is missing or has another shape than the header says."""
    width, hidden = shape.width, shape.hidden
    wanted = {"token_embd.weight": (width, shape.vocabulary), "output_norm.weight": (width,)}
    if "output.weight" in gguf.tensors:
        wanted["output.weight"] = (width, shape.vocabulary)
    rows = (width, shape.kv_width, shape.kv_width, width, hidden, hidden, width)
    for layer in range(shape.layers):
        for norm in ("attn_norm", "ffn_norm"):
            wanted[f"blk.{layer}.{norm}.weight"] = (width,)
        for name, count in zip(MATRICES, rows, strict=True):
            wanted[f"blk.{layer}.{name}.weight"] = (hidden if name == "ffn_down" else width, count)
    for name, dimensions in wanted.items():
        tensor = gguf.tensors.get(name)
        if tensor is None:
            raise GgufError(f"has no tensor {name}")
        if tensor.shape != dimensions:
            raise GgufError(f"has a tensor {name} of shape {tensor.shape}, not {dimensions}")
        if len(dimensions) == 1 and tensor.kind != "F32":
            raise GgufError(f"has a tensor {name} of type {tensor.kind}, not F32")


def positive(gguf: Gguf, key: str, default: int | None = None, least: int = 1) -> int:
    """A whole number of the header. Raises `GgufError`."""
    value = gguf.values.get(key, default)
    if not isinstance(value, int) or not least <= value <= 1 << 20:
        raise GgufError(f"has {key} {'missing' if value is None else str(value)[:40]}, not a number in range")
    return value


def real(gguf: Gguf, key: str, default: float | None = None) -> float:
    """A real number above zero of the header. Raises `GgufError`."""
    value = gguf.values.get(key, default)
    if not isinstance(value, float) or not math.isfinite(value) or value <= 0:
        raise GgufError(f"has {key} {'missing' if value is None else str(value)[:40]}, not a number above zero")
    return value


def strings(gguf: Gguf, key: str) -> list[bytes]:
    """A list of strings of the header, as bytes. Raises `GgufError`."""
    value = gguf.values.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, bytes) for item in value):
        raise GgufError(f"has no {key}")
    return value


def literal(value: float) -> str:
    """A C literal of type float."""
    return f"{value:.9g}f" if re.search(r"[.e]", f"{value:.9g}") else f"{value:.9g}.0f"


def firmware_version() -> str:
    """The version of the distribution that this firmware is part of."""
    found = re.search(r'^__version__ = "([^"\\]+)"$', VERSION_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise OSError(0, "says no version", str(VERSION_FILE))
    return found[1]


def write_if_changed(path: Path, text: str) -> None:
    """Leaves a file alone that says the same already, so that nothing is built anew for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
