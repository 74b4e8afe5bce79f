"""The reference model behind a soft board. numpy is imported when a model is loaded, by no one else here."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tinyprof_agent.drivers.probe.messages import Firmware, Model
from tinyprof_agent.soft_board.facts import PromptTooLong
from tinyprof_models.catalogue import shipped_models
from tinyprof_models.engine_process import ENGINE, THREAD_LIMITS, engine_build
from tinyprof_protocol.counts_text import some

if TYPE_CHECKING:
    from tinyprof_models.engine import Engine
    from tinyprof_models.model_file import LlamaModel


class CannotLoad(Exception):
    """A model that cannot be used; the text says why, in one line."""


class ReferenceGenerator:
    """The numpy engine with one model in it."""

    def __init__(self, engine: "Engine", model: "LlamaModel", name: str) -> None:
        self._engine = engine
        self.eos = engine.tokenizer.eos
        build = engine_build()
        self.firmware = Firmware(
            name="soft-board",
            version="1",
            # A program of many files has no linker's id; what its figures depend on stands in for it.
            build_id=hashlib.sha256(build.encode()).digest()[:20],
            engine=ENGINE,
            engine_build=build[:200],
        )
        self.model = Model(
            name=name[:64],
            sha256=bytes.fromhex(model.sha256),
            quantisation=model.quantisation,
            kv_cache=engine.kv_cache,
            ctx=engine.context,
            activations=engine.activations,
        )

    def encode(self, prompt: str) -> list[int]:
        """The prompt's tokens, begin-of-sequence first. Raises PromptTooLong."""
        context = self._engine.context
        # What cannot fit whatever its tokens are is refused before the cost of tokenising it.
        if len(prompt.encode()) <= context * self._engine.tokenizer.longest_piece_bytes:
            tokens = self._engine.tokenizer.encode(prompt)
            if len(tokens) < context:
                return tokens
        raise PromptTooLong(f"the prompt leaves no room in the context of {some(context, 'token')}")

    def greedy(self, prompt_tokens: Sequence[int], max_tokens: int) -> Iterator[int]:
        """The likeliest tokens, as they are chosen, from an empty cache."""
        return (chosen.token for chosen in self._engine.greedy(prompt_tokens, max_tokens))

    def text(self, tokens: Sequence[int]) -> bytes:
        """The text's bytes."""
        return self._engine.tokenizer.decode_bytes(tokens)


def load(name_or_path: str, activations: Literal["float32", "int8"]) -> ReferenceGenerator:
    """A shipped model by its name, or any by its path. Raises CannotLoad."""
    os.environ.update(dict.fromkeys(THREAD_LIMITS, "1"))  # read when numpy is imported, so before that
    from tinyprof_models.engine import Engine
    from tinyprof_models.model_file import ModelError, read_model

    shipped = shipped_models().get(name_or_path)
    path = shipped.path if shipped else Path(name_or_path)
    try:
        model = read_model(path)
    except ModelError as why:
        raise CannotLoad(str(why)) from None
    return ReferenceGenerator(Engine(model, activations), model, path.stem)
