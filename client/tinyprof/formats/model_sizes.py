"""The sizes of the models that ship, by their hash: no result tells them."""

import functools

from tinyprof.formats.llama_bench import ModelSize
from tinyprof_models.catalogue import shipped_models
from tinyprof_platforms.gguf_header import read_header


@functools.cache
def shipped_size(sha256: str) -> ModelSize | None:
    """The weights of a model that ships; None for any other: nothing is known of it but its name."""
    path = next((model.path for model in shipped_models().values() if model.sha256 == sha256), None)
    if path is None:
        return None
    tensors = read_header(path).tensors.values()
    return ModelSize(sum(one.bytes for one in tensors), sum(one.elements for one in tensors))
