"""Writes golden outputs: `python -m tinyprof_models.make_golden MODEL.gguf... --out golden.json`."""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from tinyprof_models.engine import Q8_0_BLOCK, ContextFullError, Engine
from tinyprof_models.golden import Activations, Case, KvCache, ModelGolden, Output
from tinyprof_models.model_file import LlamaModel, ModelError, read_model

PROMPTS = ("Once upon a time", "Lily and Tom went to the park", "The little dog", "One day")
TOKENS = 64
ACTIVATIONS: tuple[Activations, ...] = ("float32", "int8")
KV_CACHES: tuple[KvCache, ...] = ("f32", "f16", "q8_0")
LEAD_DECIMALS = 4

OnCase = Callable[[Activations, KvCache, str], None]
"""Told the arithmetic and the prompt of each case before it is made."""


def _silent(_activations: Activations, _kv_cache: KvCache, _prompt: str) -> None:
    pass


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


def make_golden(
    path: Path, prompts: Sequence[str] = PROMPTS, max_tokens: int = TOKENS, on_case: OnCase = _silent
) -> ModelGolden:
    """The golden outputs of one GGUF file, under each arithmetic that makes a difference to it.

    A `q8_0` cache is left out where the model's rows of keys are no whole blocks of 32.
    Raises `ModelError`, and `ContextFullError` for a prompt that does not fit.
    """
    model = read_model(path)
    outputs = []
    for engine in _distinct_engines(model):
        cases = []
        for prompt in prompts:
            on_case(engine.activations, engine.kv_cache, prompt)
            cases.append(make_case(engine, prompt, max_tokens))
        outputs.append(Output(engine.activations, engine.kv_cache, tuple(cases)))
    return ModelGolden(model.file_bytes, model.sha256, model.quantisation, tuple(outputs))


def _distinct_engines(model: LlamaModel) -> Iterator[Engine]:
    made: set[tuple[Activations, KvCache]] = set()
    blocks = not (model.width // model.heads * model.kv_heads) % Q8_0_BLOCK
    for kv_cache in KV_CACHES if blocks else KV_CACHES[:2]:
        for activations in ACTIVATIONS:
            engine = Engine(model, activations, kv_cache)
            if (engine.activations, engine.kv_cache) not in made:
                made.add((engine.activations, engine.kv_cache))
                yield engine


def golden_text(models: dict[str, ModelGolden]) -> str:
    """The golden file's JSON, with each list of numbers on one line."""
    text = json.dumps(msgspec.to_builtins(models), indent=1)
    # A raw newline is never in a text, so nothing of a prompt can be taken for a list.
    return re.sub(r"\[\n[\s\d,.e-]+\]", lambda match: " ".join(match[0].split()), text) + "\n"


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
