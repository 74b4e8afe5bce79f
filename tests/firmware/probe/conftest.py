"""The C probe as a shared library in this process, at the end of a line in memory, under a clock that is told to go."""

import ctypes
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _neighbour(name: str) -> ModuleType:
    """A module beside this file: the tests are imported without a package."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


compilers = _neighbour("probe_compilers")
boards = _neighbour("probe_boards")


@pytest.fixture(scope="session")
def load_library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Any]:
    """Builds the probe for counters of up to 32 or 64 bits, once each, and loads it."""
    loaded: dict[int, Any] = {}

    def load(bits: int) -> Any:
        if bits not in loaded:
            gcc = compilers.found("gcc", "gcc")
            library = tmp_path_factory.mktemp("probe") / f"probe{bits}.so"
            define = ["-DTP_TICK_64"] if bits == 64 else []
            shim = compilers.HERE / "board_shim.c"
            flags = ["-Wno-unused-parameter", *define, "-O1", "-g", "-fPIC", "-shared", f"-I{compilers.PROBE}"]
            compilers.run([gcc, *compilers.STRICT, *flags, *compilers.SOURCES, shim, "-o", library])
            loaded[bits] = ctypes.CDLL(str(library))
        return loaded[bits]

    return load


@dataclass
class _Benches:
    """Makes benches, and keeps them alive: C holds on to their functions."""

    load: Callable[[int], Any]
    made: list[Any] = field(default_factory=list)

    def __call__(self, tick_bits: int = 32, **given: Any) -> Any:
        bench = boards.make_bench(self.load(64 if tick_bits > 32 else 32), tick_bits=tick_bits, **given)
        self.made.append(bench)
        return bench


@pytest.fixture
def make_probe(load_library: Callable[[int], Any]) -> Callable[..., Any]:
    """Makes a bench: a driver and the C probe on one line; see `probe_boards.make_bench` for what may be given."""
    return _Benches(load_library)
