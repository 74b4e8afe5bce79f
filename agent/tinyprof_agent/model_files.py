"""Models whose headers are known: those that ship, and the files that the configuration names."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tinyprof_models.catalogue import shipped_models
from tinyprof_platforms.gguf_header import GgufError, read_header
from tinyprof_platforms.llama_shape import LlamaShape, llama_shape


class BadModelFile(ValueError):
    """A model file that cannot be used; the message names the key and the file, in one line."""


@functools.cache
def shipped_shape(sha256: str) -> LlamaShape | None:
    """The shape of the shipped model with that sha256; None where it is none of them."""
    for model in shipped_models().values():
        if model.sha256 == sha256:
            return llama_shape(read_header(model.path))
    return None


def shapes_of_files(paths: Sequence[str]) -> Callable[[str], LlamaShape | None]:
    """Looks up a model's shape by its sha256, in these files and in what ships. Raises BadModelFile."""
    known: dict[str, LlamaShape] = {}
    for name in paths:
        path = Path(name).expanduser()
        try:
            shape = llama_shape(read_header(path))
            with path.open("rb") as file:
                known[hashlib.file_digest(file, "sha256").hexdigest()] = shape
        except (GgufError, OSError) as why:
            line = " ".join(str(why).split())
            said = line if name in line or str(path) in line else f"{name}: {line}"
            raise BadModelFile(f"model_files: {said}"[:300]) from None
    return lambda sha256: known.get(sha256) or shipped_shape(sha256)
