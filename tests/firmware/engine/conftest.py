"""Builds the engine for this machine and talks to it."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

FIRMWARE = Path(__file__).resolve().parents[3] / "firmware"
FLAGS = (
    "-std=c99",
    "-D_GNU_SOURCE",
    "-O1",
    "-g0",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-ffp-contract=off",
)


@dataclass(frozen=True)
class EngineBuild:
    """The engine as a program for one model."""

    program: Path
    model: Path
    runner: tuple[str, ...] = ()

    def answers(self, *questions: str, model: Path | None = None) -> list[str]:
        """What it says: a line for what it is, then one for each question."""
        command = [*self.runner, str(self.program), str(model or self.model)]
        lines = "".join(f"{question}\n" for question in questions)
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=120)
        assert done.stderr == ""
        return done.stdout.splitlines()


Build = Callable[..., EngineBuild]


@pytest.fixture(scope="session")
def build_engine(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds it once for each combination asked for, in a folder of its own."""
    built: dict[tuple[object, ...], EngineBuild] = {}

    def build(
        model: Path,
        kv: str = "f16",
        activations: str = "int8",
        flags: tuple[str, ...] = ("-march=native",),
        ctx: int = 256,
        compiler: str = "gcc",
        runner: tuple[str, ...] = (),
    ) -> EngineBuild:
        key = (model, kv, activations, flags, ctx, compiler)
        if key not in built:
            folder = tmp_path_factory.mktemp("engine")
            header = [sys.executable, str(FIRMWARE / "tools" / "model_header.py"), str(model), "--ctx", str(ctx)]
            subprocess.run(
                [*header, "--kv", kv, "--activations", activations, "--out", str(folder / "model.h")], check=True
            )
            sources = [*sorted((FIRMWARE / "engine").glob("*.c")), FIRMWARE / "tools" / "engine_host.c"]
            includes = [f"-I{folder}", f"-I{FIRMWARE / 'engine'}"]
            command = [
                compiler,
                *FLAGS,
                *flags,
                *includes,
                *map(str, sources),
                "-lm",
                "-o",
                str(folder / "engine_host"),
            ]
            subprocess.run(command, check=True)
            built[key] = EngineBuild(folder / "engine_host", model, runner)
        return built[key]

    return build
