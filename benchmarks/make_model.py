"""A Llama model of 15 million parameters with random weights, Q8_0, for measuring speed; what it says means nothing.

`python benchmarks/make_model.py OUT.gguf [--seed N]`: the architecture of the reference model, its vocabulary filled up
to 32,000 tokens, the dimensions of the 15-million-parameter model of llama2.c.
"""

import argparse
import sys
from pathlib import Path

import gguf
import numpy as np
from gguf.quants import quantize
from numpy.typing import NDArray

from tinyprof_models.golden import data_file
from tinyprof_models.model_file import read_model
from tinyprof_models.tokenizer import Vocabulary

WIDTH, LAYERS, HEADS, HIDDEN, VOCABULARY, CONTEXT = 288, 6, 6, 768, 32_000, 256
UNUSED_SCORE = -1e6
NORMAL = 1


def make_model(path: Path, seed: int = 1) -> int:
    """Writes the model and returns how many parameters it has."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Random 15M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(2)
    _add_shape(writer)
    _add_vocabulary(writer, read_model(data_file("stories260k-q8_0.gguf")).tokenizer.vocabulary)
    chance = np.random.default_rng(seed)
    parameters = 0
    for name, rows, columns in _matrices():
        spread = 1 / np.sqrt(columns)
        weights = (chance.standard_normal((rows, columns)) * spread).astype(np.float32)
        parameters += weights.size
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, quantize(weights, kind), raw_dtype=kind)
    norms = [f"blk.{layer}.{name}.weight" for layer in range(LAYERS) for name in ("attn_norm", "ffn_norm")]
    for name in [*norms, "output_norm.weight"]:
        ones: NDArray[np.float32] = np.ones(WIDTH, np.float32)
        parameters += ones.size
        writer.add_tensor(name, ones)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return parameters


def _matrices() -> list[tuple[str, int, int]]:
    shapes = {
        "attn_q": (WIDTH, WIDTH),
        "attn_k": (WIDTH, WIDTH),
        "attn_v": (WIDTH, WIDTH),
        "attn_output": (WIDTH, WIDTH),
        "ffn_gate": (HIDDEN, WIDTH),
        "ffn_up": (HIDDEN, WIDTH),
        "ffn_down": (WIDTH, HIDDEN),
    }
    layers = [(f"blk.{layer}.{name}.weight", *shape) for layer in range(LAYERS) for name, shape in shapes.items()]
    return [("token_embd.weight", VOCABULARY, WIDTH), *layers]


def _add_shape(writer: gguf.GGUFWriter) -> None:
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)


def _add_vocabulary(writer: gguf.GGUFWriter, known: Vocabulary) -> None:
    unused = VOCABULARY - len(known.pieces)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*known.pieces, *(f"<unused{index}>" for index in range(unused))])
    writer.add_token_scores([*known.scores, *[UNUSED_SCORE] * unused])
    writer.add_token_types([*known.types, *[NORMAL] * unused])
    writer.add_bos_token_id(known.bos)
    writer.add_eos_token_id(known.eos)
    writer.add_unk_token_id(known.unknown)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)


def main() -> int:
    """Makes the model that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.gguf")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    parameters = make_model(options.out, options.seed)
    print(f"{options.out}: {parameters:,} parameters, {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
