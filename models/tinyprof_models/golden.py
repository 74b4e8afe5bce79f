"""Golden outputs: what a model must say, keyed by weights, activations and KV cache.

A golden file is JSON: for each model file its size, sha256 and quantisation, and `outputs`, one for each
pair of activations and KV cache, with the cases (prompt, tokens, each token's lead, text).
"""

import functools
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

Activations = Literal["float32", "int8"]
KvCache = Literal["f32", "f16", "q8_0"]

Token = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Text = Annotated[str, msgspec.Meta(max_length=65536)]
Tokens = Annotated[tuple[Token, ...], msgspec.Meta(max_length=65536)]
MAX_GOLDEN_BYTES = 16 * 1024 * 1024


class GoldenError(Exception):
    """A golden file that cannot be used; the text says why, in one line."""


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt and its greedy continuation.

    `leads` has, for each token, the difference of the two largest logits, rounded to 4 decimals;
    `least_margin` is the smallest of them.
    """

    prompt: Text
    prompt_tokens: Tokens
    tokens: Tokens
    leads: Annotated[tuple[float, ...], msgspec.Meta(max_length=65536)]
    text: Text
    least_margin: float

    def __post_init__(self) -> None:
        if not self.tokens or len(self.leads) != len(self.tokens):
            raise ValueError("a case has as many leads as tokens, and at least one")


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cases of a model under one arithmetic."""

    activations: Activations
    kv_cache: KvCache
    cases: Annotated[tuple[Case, ...], msgspec.Meta(min_length=1, max_length=1024)]


class ModelGolden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one model file."""

    bytes: Annotated[int, msgspec.Meta(gt=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    quantisation: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    outputs: Annotated[tuple[Output, ...], msgspec.Meta(max_length=64)]

    def __post_init__(self) -> None:
        if len({(output.activations, output.kv_cache) for output in self.outputs}) != len(self.outputs):
            raise ValueError("two outputs have the same activations and kv_cache")


class Golden(msgspec.Struct, frozen=True):
    """Golden outputs of several model files, by file name."""

    models: dict[str, ModelGolden]

    def cases(self, model_sha256: str, activations: Activations, kv_cache: KvCache) -> tuple[Case, ...]:
        """The cases for these weights and this arithmetic; none if the file has no such key."""
        return tuple(
            case
            for model in self.models.values()
            if model.sha256 == model_sha256
            for output in model.outputs
            if output.activations == activations and output.kv_cache == kv_cache
            for case in output.cases
        )

    def case(self, model_sha256: str, activations: Activations, kv_cache: KvCache, prompt: str) -> Case | None:
        """The case of one prompt, if there is one."""
        cases = self.cases(model_sha256, activations, kv_cache)
        return next((case for case in cases if case.prompt == prompt), None)


def parse_golden(data: bytes) -> Golden:
    """The golden outputs in a file's bytes. Raises `GoldenError`."""
    if len(data) > MAX_GOLDEN_BYTES:
        raise GoldenError(f"the golden file has {len(data)} bytes, over {MAX_GOLDEN_BYTES}")
    try:
        models = msgspec.json.decode(data, type=dict[str, ModelGolden])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise GoldenError(f"not a golden file: {error}") from error
    hashes = [model.sha256 for model in models.values()]
    if len(set(hashes)) != len(hashes):
        raise GoldenError("not a golden file: two models have the same sha256")
    return Golden(models)


def read_golden(path: Path) -> Golden:
    """The golden outputs in the file at `path`. Raises `GoldenError`."""
    try:
        with path.open("rb") as file:
            return parse_golden(file.read(MAX_GOLDEN_BYTES + 1))
    except OSError as error:
        raise GoldenError(f"cannot read {path}: {error.strerror}") from error


def data_file(name: str) -> Path:
    """The path of a file that ships in this package's `data` folder."""
    return Path(str(resources.files("tinyprof_models") / "data" / name))


@functools.cache
def shipped_golden() -> Golden:
    """The golden outputs of the models that ship with this package."""
    return read_golden(data_file("golden.json"))
