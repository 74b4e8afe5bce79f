"""The models that ship with tinyprof: name, file, sha256 and quantisation."""

import functools
from pathlib import Path

import msgspec

from tinyprof_models.golden import data_file, shipped_golden


class ShippedModel(msgspec.Struct, frozen=True):
    """One GGUF file in this package; `file_bytes` and `sha256` are what golden.json says of it."""

    name: str
    path: Path
    file_bytes: int
    sha256: str
    quantisation: str


@functools.cache
def shipped_models() -> dict[str, ShippedModel]:
    """Every shipped model by its name, such as `stories260k-q4_0`."""
    models = (
        ShippedModel(Path(file).stem, data_file(file), entry.bytes, entry.sha256, entry.quantisation)
        for file, entry in shipped_golden().models.items()
    )
    return {model.name: model for model in models}


def shipped_model(name: str) -> ShippedModel:
    """The shipped model of that name. Raises `KeyError` with a line that lists the names there are."""
    models = shipped_models()
    if name not in models:
        raise KeyError(f"no shipped model is called {name!r}; there are {', '.join(models)}")
    return models[name]
