"""Whether a model fits a platform, what would make it fit, and how fast it can be at best. Pure.

The bound on decode tokens/s is the reciprocal of the longest of three times that no engine on one core can undercut:
reading the weights from where they lie, reading the cache from RAM, and multiplying.
"""

from dataclasses import dataclass
from typing import Literal

from tinyprof_platforms.catalogue import Figure, Platform
from tinyprof_platforms.engine_memory import (
    BLOCK,
    ENGINE_TYPES,
    KV_CACHES,
    Arithmetic,
    FlashNeed,
    KvCache,
    RamNeed,
    Room,
    cache_fits_blocks,
    flash_need,
    kv_position_bytes,
    ram_need,
)
from tinyprof_platforms.gguf_types import TYPES_BY_NAME
from tinyprof_platforms.llama_shape import LlamaShape

Binding = Literal["weights", "cache", "multiplications"]
CTX_STEP = 8
LEAST_CTX = 32


class BadArithmetic(ValueError):
    """A context or cache that the model cannot have; the message is one line."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The most tokens a second that a platform can decode at a position, and which of the times binds."""

    tps: float
    binds: Binding
    weights_s: float
    cache_s: float
    multiply_s: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model takes of a platform. `obstacles` say in a line each why it does not fit.

    `remedies` say in a line each what would help: any one for RAM, and any one for flash. The bounds are None where
    the platform's rates are not known: `bound` with an empty cache, `bound_full` at the context's end.
    """

    how: Arithmetic
    ram: RamNeed
    flash: FlashNeed | None
    ram_bytes: int
    flash_bytes: int
    obstacles: tuple[str, ...]
    remedies: tuple[str, ...]
    bound: Bound | None
    bound_full: Bound | None

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.obstacles


def check_arithmetic(shape: LlamaShape, how: Arithmetic) -> None:
    """Raises `BadArithmetic` for what the model cannot have."""
    if not 0 < how.ctx <= shape.context:
        raise BadArithmetic(f"the model's context has {shape.context} positions; {how.ctx} is not within")
    if not cache_fits_blocks(shape, how.kv_cache):
        raise BadArithmetic(f"rows of {shape.kv_width} keys are no whole blocks of 32: no cache in q8_0")


def fit(shape: LlamaShape, platform: Platform, how: Arithmetic) -> Fit:
    """How a model fits a platform. Raises `BadArithmetic`."""
    check_arithmetic(shape, how)
    ram = _ram(shape, platform, how)
    flash = None if platform.has_system else flash_need(shape, how)
    obstacles = tuple(_obstacles(shape, platform, ram, flash))
    return Fit(
        how,
        ram,
        flash,
        platform.ram_bytes,
        platform.flash.bytes,
        obstacles,
        tuple(_remedies(shape, platform, how)) if obstacles else (),
        bound(shape, platform, how, 0),
        bound(shape, platform, how, how.ctx),
    )


def bound(shape: LlamaShape, platform: Platform, how: Arithmetic, position: float) -> Bound | None:
    """The bound with `position` positions in the cache; None where the platform's rates are not known."""
    int8 = how.activations == "int8" and shape.quantized
    rates = [
        _rate(platform.weights_bytes_s),
        _rate(platform.ram_bytes_s),
        _rate(platform.clock_hz),
        _rate(platform.int8_macs_per_cycle if int8 else platform.float_macs_per_cycle),
        _rate(platform.float_macs_per_cycle),
    ]
    if not all(rates) or platform.cache_bytes is None:
        return None
    weights_rate, ram_rate, clock_hz, macs_a_cycle, float_macs = rates
    weights_s = max(0.0, shape.weight_bytes_a_token - platform.cache_bytes.value) / weights_rate
    cache_s = kv_position_bytes(shape, how.kv_cache) * position / ram_rate
    attention_macs = 2 * shape.width * shape.layers * position
    # What rounds queries or keeps keys as integers may multiply those faster than floats.
    attention_rate = max(macs_a_cycle, float_macs)
    multiply_s = (shape.macs_a_token / macs_a_cycle + attention_macs / attention_rate) / clock_hz
    times: dict[Binding, float] = {"weights": weights_s, "cache": cache_s, "multiplications": multiply_s}
    binds = max(times, key=lambda name: times[name])
    return Bound(1 / times[binds], binds, weights_s, cache_s, multiply_s)


def weight_file_bytes(shape: LlamaShape, kind: str) -> int:
    """About what the model's file takes with its matrices in `kind`; embedding and output stay in Q8_0 at least."""
    matrix, outer = TYPES_BY_NAME[kind], TYPES_BY_NAME["F32" if kind == "F32" else "Q8_0"]
    now = shape.embedding.bytes + (0 if shape.tied else shape.matrices[-1].bytes)
    now += sum(tensor.bytes for tensor in shape.matrices[:-1])
    inner = sum(tensor.elements for tensor in shape.matrices[:-1])
    outside = shape.embedding.elements * (1 if shape.tied else 2)
    then = inner // matrix.block * matrix.block_bytes + outside // outer.block * outer.block_bytes
    return shape.file_bytes - now + then


def _rate(figure: Figure | None) -> float:
    return 0.0 if figure is None else figure.value


def _ram(shape: LlamaShape, platform: Platform, how: Arithmetic) -> RamNeed:
    room = Room(platform.tick_bits, platform.stack_bytes, platform.prompt_bytes)
    return ram_need(shape, how, room, weights_in_ram=platform.weights_in == "ram")


def _obstacles(shape: LlamaShape, platform: Platform, ram: RamNeed, flash: FlashNeed | None) -> list[str]:
    lines = []
    strange = sorted({tensor.type.name for tensor in (*shape.matrices, shape.embedding)} - set(ENGINE_TYPES))
    if strange:
        lines.append(f"its weights are {', '.join(strange)}: the engine reads {', '.join(ENGINE_TYPES)}")
    elif shape.width % BLOCK or shape.hidden % BLOCK:
        lines.append(f"its rows of {shape.width} and {shape.hidden} weights are no whole blocks of {BLOCK}")
    if ram.total > platform.ram_bytes:
        lines.append(f"RAM: {ram.total:,} bytes are needed, {platform.ram_bytes:,} are there in one piece")
    if flash is not None and flash.total > platform.flash.bytes:
        lines.append(f"flash: {flash.total:,} bytes are needed, {platform.flash.bytes:,} are there")
    return lines


def _remedies(shape: LlamaShape, platform: Platform, how: Arithmetic) -> list[str]:
    """For RAM: another cache or a shorter context. For flash: a smaller quantisation. All computed, in that order."""
    lines = []
    if _ram(shape, platform, how).total > platform.ram_bytes:
        lines += _ram_remedies(shape, platform, how)
    flash_short = not platform.has_system and flash_need(shape, how).total > platform.flash.bytes
    strange = not {tensor.type.name for tensor in shape.matrices} <= set(ENGINE_TYPES)
    if flash_short or strange:
        lines += _flash_remedies(shape, platform, how)
    return lines


def _ram_remedies(shape: LlamaShape, platform: Platform, how: Arithmetic) -> list[str]:
    lines = []
    here = kv_position_bytes(shape, how.kv_cache)
    for cache in KV_CACHES:
        if not cache_fits_blocks(shape, cache) or kv_position_bytes(shape, cache) > here:
            continue
        ctx = largest_ctx(shape, platform, how, cache)
        if ctx >= how.ctx:
            lines.append(f"a cache in {cache} (--kv {cache}): {_needed(shape, platform, how, how.ctx, cache):,} bytes")
        elif ctx >= LEAST_CTX:
            needed = _needed(shape, platform, how, ctx, cache)
            lines.append(f"a context of {ctx} with a cache in {cache} (--ctx {ctx} --kv {cache}): {needed:,} bytes")
    if not lines:
        lines.append(f"nothing: even {LEAST_CTX} positions do not leave enough RAM")
    return lines


def largest_ctx(shape: LlamaShape, platform: Platform, how: Arithmetic, kv_cache: KvCache) -> int:
    """The longest context that fits in RAM with that cache, at most `how.ctx`; steps of 8; 0 for none."""
    if _needed(shape, platform, how, how.ctx, kv_cache) <= platform.ram_bytes:
        return how.ctx
    low, high = 0, how.ctx // CTX_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if _needed(shape, platform, how, middle * CTX_STEP, kv_cache) <= platform.ram_bytes:
            low = middle
        else:
            high = middle - 1
    return low * CTX_STEP


def _needed(shape: LlamaShape, platform: Platform, how: Arithmetic, ctx: int, kv_cache: KvCache) -> int:
    return _ram(shape, platform, Arithmetic(ctx, kv_cache, how.activations)).total


def _flash_remedies(shape: LlamaShape, platform: Platform, how: Arithmetic) -> list[str]:
    lines = []
    for kind in ("Q8_0", "Q4_0"):
        size = weight_file_bytes(shape, kind)
        total = flash_need(shape, how, size).total
        if platform.has_system or total <= platform.flash.bytes:
            lines.append(f"weights in {kind}: about {size:,} bytes")
    return lines or ["nothing: even with weights in Q4_0 the model does not fit into flash"]
