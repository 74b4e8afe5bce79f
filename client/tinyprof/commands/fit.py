"""`tinyprof fit MODEL.gguf`: whether a model fits a platform, what would make it fit, how fast it can be at best."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinyprof.options import json_option
from tinyprof.terminal import WrongUse, emit_json, one_line, table

if TYPE_CHECKING:
    from tinyprof_platforms.catalogue import Platform
    from tinyprof_platforms.engine_memory import Arithmetic
    from tinyprof_platforms.fit import Bound, Fit
    from tinyprof_platforms.llama_shape import LlamaShape

HEAD = ("platform", "fits", "RAM bytes", "of", "flash bytes", "of", "tokens/s at most", "bound by")
_BINDS = {
    "weights": "reading weights",
    "cache": "reading the cache",
    "multiplications": "multiplications",
}


@click.command("fit")
@click.argument("model")
@click.option("--platform", "names", multiple=True, metavar="NAME", help="Only this platform; may be repeated.")
@click.option("--ctx", type=click.IntRange(1), help="Positions of the context.  [default: the model's, at most 256]")
@click.option("--kv", type=click.Choice(["f32", "f16", "q8_0"]), default="f16", show_default=True, help="The KV cache.")
@click.option("--activations", type=click.Choice(["float32", "int8"]), default="int8", show_default=True,
              help="What meets quantized weights.")  # fmt: skip
@json_option
def command(model: str, names: tuple[str, ...], as_json: bool, **how: Any) -> int:
    """Says whether a model fits a platform.

    MODEL is a shipped model's name or a GGUF file. What of RAM and flash goes where, what would make it fit, and the
    upper bound on decode tokens/s. Exit 1 when it does not fit a platform.
    """
    from tinyprof_platforms.engine_memory import Arithmetic
    from tinyprof_platforms.fit import BadArithmetic, fit

    shape = _shape(model)
    arithmetic = Arithmetic(how["ctx"] or min(shape.context, 256), how["kv"], how["activations"])
    platforms = _platforms(names)
    try:
        found = {key: fit(shape, one, arithmetic) for key, one in platforms.items()}
    except BadArithmetic as why:
        raise WrongUse(f"{model}: {why}") from None
    if as_json:
        emit_json({"model": model, "platforms": {key: _as_json(one) for key, one in found.items()}})
    elif len(found) == 1:
        ((key, one),) = found.items()
        click.echo("\n".join(_described(key, one)))
    else:
        click.echo(f"context {arithmetic.ctx}, cache {arithmetic.kv_cache}, activations {arithmetic.activations}")
        click.echo(table(HEAD, [_row(key, one) for key, one in found.items()], right="llrrrrrl"))
    return 0 if all(one.fits for one in found.values()) else 1


def _shape(model: str) -> "LlamaShape":
    from tinyprof_models.catalogue import shipped_models
    from tinyprof_platforms.gguf_header import GgufError, read_header
    from tinyprof_platforms.llama_shape import llama_shape

    shipped = shipped_models().get(model)
    path = Path(model) if shipped is None else shipped.path
    if not path.exists():
        raise WrongUse(f"model {model!r} is neither a file nor one of {', '.join(shipped_models())}")
    try:
        header = read_header(path)
    except GgufError as why:
        raise WrongUse(one_line(str(why))) from None
    try:
        return llama_shape(header)
    except GgufError as why:
        raise WrongUse(one_line(f"{path}: {why}")) from None


def _platforms(names: tuple[str, ...]) -> dict[str, "Platform"]:
    from tinyprof_platforms.catalogue import CatalogueError, find_platform, read_host, shipped_platforms

    if not names:
        return {**shipped_platforms(), "host": read_host()}
    try:
        return dict(("host", read_host()) if name == "host" else find_platform(name) for name in names)
    except CatalogueError as why:
        raise WrongUse(str(why)) from None


def _as_json(one: "Fit") -> dict[str, Any]:
    from dataclasses import asdict

    flash = None if one.flash is None else asdict(one.flash) | {"total": one.flash.total, "of": one.flash_bytes}
    return {
        "fits": one.fits,
        **asdict(one.how),
        "ram": asdict(one.ram) | {"total": one.ram.total, "of": one.ram_bytes},
        "flash": flash,
        "obstacles": one.obstacles,
        "remedies": one.remedies,
        "bound": None if one.bound is None else asdict(one.bound),
        "bound_full": None if one.bound_full is None else asdict(one.bound_full),
    }


def _row(key: str, one: "Fit") -> tuple[str, ...]:
    flash = ("-", "-") if one.flash is None else (f"{one.flash.total:,}", f"{one.flash_bytes:,}")
    at_best = ("-", "not known") if one.bound is None else (_rate(one.bound.tps), _BINDS[one.bound.binds])
    return (key, "yes" if one.fits else "no", f"{one.ram.total:,}", f"{one.ram_bytes:,}", *flash, *at_best)


def _described(key: str, one: "Fit") -> list[str]:
    how: Arithmetic = one.how
    lines = [f"{key}: context {how.ctx}, cache {how.kv_cache}, activations {how.activations}", ""]
    ram = [("RAM", "KV cache", one.ram.kv_cache), ("RAM", "activations", one.ram.activations)]
    ram += [("RAM", "buffers", one.ram.buffers), ("RAM", "stack", one.ram.stack)]
    ram += [("RAM", "weights", one.ram.weights)] if one.ram.weights else []
    rows = [*ram, ("RAM", f"together, of {one.ram_bytes:,}", one.ram.total)]
    if one.flash is not None:
        rows += [("flash", "weights", one.flash.weights), ("flash", "tables of the model", one.flash.tables)]
        rows += [("flash", "code, an allowance", one.flash.code)]
        rows += [("flash", f"together, of {one.flash_bytes:,}", one.flash.total)]
    lines += [table(("memory", "for", "bytes"), [(where, what, f"{n:,}") for where, what, n in rows], right="llr"), ""]
    lines += [f"does not fit: {line}" for line in one.obstacles] or ["fits"]
    lines += [f"would help: {line}" for line in one.remedies]
    lines += [_bound_line("with an empty cache", one.bound), _bound_line("at the context's end", one.bound_full)]
    return lines


def _rate(tps: float) -> str:
    """Four digits, and never a power of ten."""
    return f"{tps:,.0f}" if tps >= 9999.5 else f"{tps:,.4g}"


def _bound_line(when: str, at_best: "Bound | None") -> str:
    if at_best is None:
        return f"decode {when}: no bound, since what this machine reads a second is not known"
    return f"decode {when}: at most {_rate(at_best.tps)} tokens/s, bound by {_BINDS[at_best.binds]}"
