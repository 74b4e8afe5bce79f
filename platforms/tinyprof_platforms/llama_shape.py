"""The shape of a Llama model, from the header of its GGUF file: what memory and arithmetic follow from."""

from dataclasses import dataclass

from tinyprof_platforms.gguf_header import GgufError, GgufHeader, Tensor

MAX_NUMBER = 1 << 20
F32 = "F32"


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """Widths and counts as the file says. `matrices` are the weights that each token meets, the embedding not.

    `kv_width` is the width of a position's keys, all heads together. Where `tied`, the embedding is the output matrix.
    """

    width: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    context: int
    vocabulary: int
    tied: bool
    matrices: tuple[Tensor, ...]
    vectors: tuple[Tensor, ...]
    embedding: Tensor
    file_bytes: int
    longest_piece_bytes: int

    @property
    def head_width(self) -> int:
        """The width of one head."""
        return self.width // self.heads

    @property
    def kv_width(self) -> int:
        """The width of a position's keys, and of its values."""
        return self.head_width * self.kv_heads

    @property
    def quantized(self) -> bool:
        """Whether any matrix is; activations are float32 where none is."""
        return any(matrix.type.name != F32 for matrix in self.matrices)

    @property
    def macs_a_token(self) -> int:
        """Multiplications with weights for one token; attention over the cache is apart."""
        return sum(matrix.elements for matrix in self.matrices)

    @property
    def weight_bytes_a_token(self) -> int:
        """Bytes of weights that are read for one token: every matrix and norm once, and one row of the embedding."""
        row = self.embedding.bytes // self.vocabulary
        return sum(tensor.bytes for tensor in (*self.matrices, *self.vectors)) + row


def llama_shape(header: GgufHeader) -> LlamaShape:
    """The shape of the Llama model that `header` describes.

    Raises `GgufError` for another architecture, for a number that is missing or out of range, and for tensors that do
    not fit the numbers.
    """
    architecture = header.values.get("general.architecture")
    if architecture != "llama":
        raise GgufError(f"its architecture is {str(architecture)[:40]!r}; only 'llama' is known")
    width, heads = _number(header, "llama.embedding_length"), _number(header, "llama.attention.head_count")
    kv_heads = _number(header, "llama.attention.head_count_kv", heads)
    hidden, layers = _number(header, "llama.feed_forward_length"), _number(header, "llama.block_count")
    if width % heads or heads % kv_heads or layers > len(header.tensors):
        raise GgufError("its width, heads and layers do not fit each other")
    kv_width = width // heads * kv_heads
    embedding = _tensor(header, "token_embd.weight", None)
    if len(embedding.shape) != 2 or embedding.shape[0] != width:
        raise GgufError("tensor token_embd.weight has another width than the model")
    vocabulary = embedding.shape[1]
    tied = "output.weight" not in header.tensors
    matrices, vectors = _blocks(header, width, hidden, kv_width, layers)
    output = embedding if tied else _tensor(header, "output.weight", (width, vocabulary))
    return LlamaShape(
        width=width,
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        context=_number(header, "llama.context_length"),
        vocabulary=vocabulary,
        tied=tied,
        matrices=(*matrices, output),
        vectors=(*vectors, _tensor(header, "output_norm.weight", (width,))),
        embedding=embedding,
        file_bytes=header.file_bytes,
        longest_piece_bytes=header.longest_piece_bytes,
    )


def _blocks(
    header: GgufHeader, width: int, hidden: int, kv_width: int, layers: int
) -> tuple[list[Tensor], list[Tensor]]:
    shapes = {
        "attn_q": (width, width),
        "attn_k": (width, kv_width),
        "attn_v": (width, kv_width),
        "attn_output": (width, width),
        "ffn_gate": (width, hidden),
        "ffn_up": (width, hidden),
        "ffn_down": (hidden, width),
    }
    matrices, vectors = [], []
    for layer in range(layers):
        prefix = f"blk.{layer}."
        matrices += [_tensor(header, f"{prefix}{name}.weight", shape) for name, shape in shapes.items()]
        vectors += [_tensor(header, f"{prefix}{name}.weight", (width,)) for name in ("attn_norm", "ffn_norm")]
    return matrices, vectors


def _tensor(header: GgufHeader, name: str, shape: tuple[int, ...] | None) -> Tensor:
    tensor = header.tensors.get(name)
    if tensor is None:
        raise GgufError(f"it has no tensor {name}")
    if shape is not None and tensor.shape != shape:
        raise GgufError(f"tensor {name} has shape {tensor.shape}, not {shape}")
    return tensor


def _number(header: GgufHeader, name: str, default: int | None = None) -> int:
    value = header.values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_NUMBER:
        raise GgufError(f"{name} is {str(value)[:40]}, not a number in range")
    return value
