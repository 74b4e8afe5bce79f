"""Says in a line why a firmware does not fit into its target, and what would: a context, a cache type, smaller weights.

    python3 tools/why_no_fit.py LINK.log --target stm32f405 --model MODEL.gguf --ctx 256 --kv f32

Reads what the linker said and the model.h that the build left beside its log. What would fit is reckoned from the bytes
that a position of the context takes, and from the sizes of the models beside the one chosen. Where the link failed for
another reason, what the linker said is printed as it is. Plain Python, standard library only.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

TARGETS = Path(__file__).resolve().parents[1] / "targets"
MAX_LOG_BYTES = 1 << 20
ROW_BYTES_OF_32 = {"q8_0": 34, "f16": 64, "f32": 128}
BYTES_A_POSITION = 2 + 16
"""A position's token and, at most, its stamp, besides K and V."""
ALIGNMENT_BYTES = 64
LEAST_CTX = 16
CTX_STEP = 8
QUANTISATIONS = ("f32", "q8_0", "q4_0")
_OVERFLOW = re.compile(r"region [`'](RAM|FLASH)\w*' overflowed by (\d+) bytes")
_NUMBER = re.compile(r"^#define (MODEL_\w+) (\d+)u?\b", re.MULTILINE)


@dataclass(frozen=True)
class Build:
    """What the build that failed was of. Sizes in bytes."""

    ctx: int
    kv: str
    layers: int
    kv_width: int
    model_bytes: int


def overflows(log: str) -> dict[str, int]:
    """By how many bytes RAM and FLASH are too small, as the linker says; empty where it complains of something else."""
    return {region: int(count) for region, count in _OVERFLOW.findall(log)}


def read_build(model_h: str, ctx: int, kv: str) -> Build:
    """The build from its model.h. Raises KeyError for one that is not whole."""
    numbers = {name: int(value) for name, value in _NUMBER.findall(model_h)}
    layers, width, size = (numbers[name] for name in ("MODEL_LAYERS", "MODEL_KV_WIDTH", "MODEL_BYTES"))
    return Build(ctx, kv, layers, width, size)


def position_bytes(build: Build, kv: str) -> int:
    """RAM that one position of the context takes with that cache."""
    return 2 * build.layers * build.kv_width * ROW_BYTES_OF_32[kv] // 32 + BYTES_A_POSITION


def largest_ctx(build: Build, kv: str, short_bytes: int) -> int:
    """The longest context of at most the build's that fits with that cache; 0 where none of use does."""
    if kv == "q8_0" and build.kv_width % 32:
        return 0
    room = position_bytes(build, build.kv) * build.ctx - short_bytes - ALIGNMENT_BYTES
    ctx = min(build.ctx, room // position_bytes(build, kv))
    ctx = ctx if ctx == build.ctx else ctx // CTX_STEP * CTX_STEP
    return ctx if ctx >= LEAST_CTX else 0


def what_fits_ram(build: Build, short_bytes: int) -> str:
    """What of cache types and contexts would fit, in words."""
    fits = [(kv, largest_ctx(build, kv, short_bytes)) for kv in ROW_BYTES_OF_32]
    choices = [f"KV={kv} CTX={ctx}" for kv, ctx in fits if ctx]
    if not choices:
        return "no cache of a useful context fits beside what else is in RAM"
    return f"{' or '.join(choices)} would fit"


def what_fits_flash(build: Build, short_bytes: int, model: Path) -> str:
    """Which of the models beside the chosen one would fit, in words. Raises OSError."""
    room = build.model_bytes - short_bytes
    others = sorted((p for p in model.parent.glob("*.gguf") if p != model), key=lambda p: -p.stat().st_size)
    stem = _without_quantisation(model)
    same = [p for p in others if _without_quantisation(p) == stem and p.stat().st_size <= room]
    if same:
        return " or ".join(f"MODEL={p} ({p.stat().st_size:,} bytes)" for p in same) + " would fit"
    return f"a model of up to {max(room, 0):,} bytes would fit; this one has {build.model_bytes:,}"


def _without_quantisation(path: Path) -> str:
    return re.sub(rf"[-_.]({'|'.join(QUANTISATIONS)})$", "", path.stem.lower())


def explain(short: dict[str, int], build: Build, target: str, limits: dict[str, int], model: Path) -> str:
    """The line. Raises OSError where the models beside the chosen one cannot be read."""
    parts = []
    if "RAM" in short:
        of = _of(limits, "ram_bytes")
        parts.append(f"RAM{of} is short by {short['RAM']:,} bytes: {what_fits_ram(build, short['RAM'])}")
    if "FLASH" in short:
        of = _of(limits, "flash_bytes")
        parts.append(f"flash{of} is short by {short['FLASH']:,} bytes: {what_fits_flash(build, short['FLASH'], model)}")
    return f"{target} with {model.name}, KV={build.kv}, CTX={build.ctx} does not fit: {'; '.join(parts)}"


def _of(limits: dict[str, int], key: str) -> str:
    return f" ({limits[key]:,} bytes)" if key in limits else ""


def main() -> int:
    """0 where the log could be explained, else 1."""
    parser = argparse.ArgumentParser(description="why a firmware does not fit, and what would")
    parser.add_argument("log", type=Path)
    parser.add_argument("--target", required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--ctx", type=int, required=True)
    parser.add_argument("--kv", choices=ROW_BYTES_OF_32, required=True)
    options = parser.parse_args()
    try:
        log = options.log.read_bytes()[:MAX_LOG_BYTES].decode(errors="replace")
        short = overflows(log)
        if not short:
            print(log.strip() or f"the link of {options.target} failed and the linker did not say why", file=sys.stderr)
            return 1
        build = read_build((options.log.parent / "model.h").read_text(), options.ctx, options.kv)
        target_file = tomllib.loads((TARGETS / options.target / "target.toml").read_text())
        print(explain(short, build, options.target, target_file.get("limits", {}), options.model), file=sys.stderr)
    except OSError as why:
        print(f"{why.filename}: {why.strerror}", file=sys.stderr)
        return 1
    except (KeyError, tomllib.TOMLDecodeError) as why:
        print(f"the build of {options.target} is not whole: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
