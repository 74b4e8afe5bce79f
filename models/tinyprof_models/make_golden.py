"""Writes golden outputs: `python -m tinyprof_models.make_golden MODEL.gguf... --out golden.json`."""

import argparse
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tinyprof_models.engine import ContextFullError, Engine
from tinyprof_models.golden import Activations, Case, ModelGolden, Output
from tinyprof_models.model_file import ModelError, read_model

PROMPTS = ("Once upon a time", "Lily and Tom went to the park", "The little dog", "One day")
TOKENS = 64
ACTIVATIONS: tuple[Activations, ...] = ("float32", "int8")
LEAD_DECIMALS = 4


def make_case(engine: Engine, prompt: str, max_tokens: int) -> Case:
    """The greedy continuation of one prompt.

    Raises `ContextFullError` for a prompt that does not fit, `ModelError` where the arithmetic overflows.
    """
    prompt_tokens = engine.tokenizer.encode(prompt)
    chosen = list(engine.greedy(prompt_tokens, max_tokens))
    if not chosen:
        raise ContextFullError(f"{prompt[:40]!r} leaves no room in the context of {engine.context} tokens")
    if not all(math.isfinite(one.lead) for one in chosen):
        raise ModelError("model_corrupt", f"the model's logits after {prompt[:40]!r} are not finite numbers")
    tokens = tuple(one.token for one in chosen)
    leads = tuple(round(one.lead, LEAD_DECIMALS) for one in chosen)
    return Case(prompt, tuple(prompt_tokens), tokens, leads, engine.tokenizer.decode(tokens), min(leads))


def make_golden(path: Path, prompts: Sequence[str] = PROMPTS, max_tokens: int = TOKENS) -> ModelGolden:
    """The golden outputs of one GGUF file, under each arithmetic that makes a difference to it.

    Raises `ModelError`, and `ContextFullError` for a prompt that does not fit.
    """
    model = read_model(path)
    engines = (Engine(model, activations) for activations in ACTIVATIONS)
    distinct = {(engine.activations, engine.kv_cache): engine for engine in engines}
    outputs = tuple(
        Output(engine.activations, engine.kv_cache, tuple(make_case(engine, p, max_tokens) for p in prompts))
        for engine in distinct.values()
    )
    return ModelGolden(model.file_bytes, model.sha256, model.quantisation, outputs)


def golden_text(models: dict[str, ModelGolden]) -> str:
    """The golden file's JSON, with each list of numbers on one line."""
    text = json.dumps(msgspec.to_builtins(models), indent=1)
    return re.sub(r"\[[\s\d,.e-]+\]", lambda match: " ".join(match[0].split()), text) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0, or 1 with one line about the model that failed."""
    parser = argparse.ArgumentParser(prog="python -m tinyprof_models.make_golden", description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.gguf")
    parser.add_argument("--out", required=True, type=Path, metavar="golden.json")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="tokens a prompt (default %(default)s)")
    options = parser.parse_args(arguments)
    if options.tokens < 1:
        parser.error("--tokens must be at least 1")
    try:
        golden = {path.name: make_golden(path, max_tokens=options.tokens) for path in options.models}
        options.out.write_text(golden_text(golden), encoding="utf-8")
    except (ModelError, ContextFullError, OSError) as error:
        print(f"make_golden: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
