"""What our firmware takes of RAM and flash for a model: the sizes of what firmware/engine and firmware/board declare.

Held against the built firmware by tests/firmware/test_fit_against_builds.py.
"""

from dataclasses import dataclass
from typing import Final, Literal

from tinyprof_platforms.llama_shape import LlamaShape

KvCache = Literal["f32", "f16", "q8_0"]
Activations = Literal["float32", "int8"]

KV_CACHES: Final[tuple[KvCache, ...]] = ("f32", "f16", "q8_0")
BLOCK: Final = 32
ENGINE_TYPES: Final = ("F32", "Q8_0", "Q4_0")
"""Types of matrices that the firmware's engine reads."""

LINK_BYTES: Final = 3 * 256 + 256
"""A message's body, the probe's ring, and the ring behind the interrupt, which has room for two of them."""
FIXED_BYTES: Final = 1264
"""The probe's state, what it says of itself, and what the C library keeps."""
LAYER_BYTES: Final = 64
"""Where a layer's tensors lie."""
CODE_BYTES: Final = 42 * 1024
"""Code and constants without the model and its tables: 25 KB with an FPU, 39 KB on a Cortex-M0+, 42 KB on RV32IMC."""
VOCABULARY_ENTRY_BYTES: Final = 10
"""Where a piece's text begins, its place in the order and its rank, and what byte it is."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a model is to run: `ctx` positions, the cache's form, and what meets the weights."""

    ctx: int
    kv_cache: KvCache
    activations: Activations


@dataclass(frozen=True, slots=True)
class Room:
    """What a target's build sets apart whatever the model: its counter's width, its stack and the longest prompt."""

    tick_bits: int = 32
    stack_bytes: int = 8192
    prompt_bytes: int = 1024


@dataclass(frozen=True, slots=True)
class RamNeed:
    """Bytes of RAM by what takes them. `weights` is the model's file where it does not stay in flash."""

    kv_cache: int
    activations: int
    buffers: int
    stack: int
    weights: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.kv_cache + self.activations + self.buffers + self.stack + self.weights


@dataclass(frozen=True, slots=True)
class FlashNeed:
    """Bytes of flash by what takes them; `code` is an allowance, since compilers and instruction sets differ."""

    weights: int
    tables: int
    code: int = CODE_BYTES

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.tables + self.code


def kv_position_bytes(shape: LlamaShape, kv_cache: KvCache) -> int:
    """What one position takes in the cache: a row of keys and one of values for each layer."""
    width = shape.kv_width
    row = {"f32": 4 * width, "f16": 2 * width, "q8_0": width // BLOCK * (BLOCK + 2)}[kv_cache]
    return 2 * row * shape.layers


def cache_fits_blocks(shape: LlamaShape, kv_cache: KvCache) -> bool:
    """Whether the model's rows of keys can be kept so: Q8_0 takes whole blocks of 32."""
    return kv_cache != "q8_0" or shape.kv_width % BLOCK == 0


def ram_need(shape: LlamaShape, how: Arithmetic, room: Room, *, weights_in_ram: bool = False) -> RamNeed:
    """What the firmware has in RAM: statics and the stack that its linker keeps free."""
    # The prompt's text is cut into tokens in the cache's memory, while that is empty.
    text_room = how.ctx * shape.longest_piece_bytes
    index_bytes = 2 if text_room <= 65_534 else 4
    scratch = text_room * (1 + index_bytes + 2) + index_bytes
    tokens = how.ctx * (8 if room.tick_bits == 32 else 16) + 2 * how.ctx
    return RamNeed(
        kv_cache=max(kv_position_bytes(shape, how.kv_cache) * how.ctx, scratch),
        activations=_activation_bytes(shape, how.activations),
        buffers=tokens + room.prompt_bytes + LINK_BYTES + FIXED_BYTES + LAYER_BYTES * shape.layers,
        stack=room.stack_bytes,
        weights=shape.file_bytes if weights_in_ram else 0,
    )


def flash_need(shape: LlamaShape, how: Arithmetic, weight_bytes: int | None = None) -> FlashNeed:
    """What the firmware has in flash; `weight_bytes` instead of the size of the model's file as it is."""
    tables = shape.vocabulary * VOCABULARY_ENTRY_BYTES + how.ctx * shape.head_width * 4
    return FlashNeed(shape.file_bytes if weight_bytes is None else weight_bytes, tables)


def _activation_bytes(shape: LlamaShape, activations: Activations) -> int:
    widest = max(shape.width + shape.kv_width, 2 * shape.hidden, shape.vocabulary)
    floats = 4 * (2 * shape.width + widest)
    if activations == "float32" or not shape.quantized:
        return floats
    blocks = max(shape.width, shape.hidden) // BLOCK
    # A block of int16 pairs where the core multiplies those, its sum and its scale; another form of the scale.
    return floats + blocks * (2 * BLOCK + 4 + 4 + 2) + 4
