"""Attention in whole numbers, for cores without a floating-point unit, against the one in floats."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tinyprof_models.golden import data_file

FIRMWARE = Path(__file__).resolve().parents[3] / "firmware"
PARTS = ("attention.c", "attention_fixed.c", "float_rows.c", "tables.c")
WIDTH, KV_WIDTH, CONTEXT = 64, 32, 256


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The one in floats and the one in whole numbers."""
    folder = tmp_path_factory.mktemp("attention")
    header = [sys.executable, str(FIRMWARE / "tools" / "model_header.py"), str(data_file("stories260k-q4_0.gguf"))]
    options = ["--ctx", str(CONTEXT), "--kv", "q8_0", "--activations", "int8", "--out", str(folder / "model.h")]
    subprocess.run([*header, *options], check=True)
    sources = [Path(__file__).with_name("attend_host.c"), *(FIRMWARE / "engine" / part for part in PARTS)]
    flags = [
        "-std=c99",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Wno-unused-parameter",
        "-ffp-contract=off",
        "-DENGINE_PORTABLE",
    ]
    made = []
    for soft in (0, 1):
        made.append(folder / f"attend{soft}")
        command = ["gcc", *flags, "-fsanitize=address,undefined", f"-DENGINE_SOFT_FLOAT={soft}", f"-I{folder}"]
        subprocess.run(
            [*command, f"-I{FIRMWARE / 'engine'}", *map(str, sources), "-lm", "-o", str(made[-1])], check=True
        )
    return made[0], made[1]


def mixed(program: Path, positions: int, values: list[float]) -> list[float]:
    text = " ".join([str(positions), *(f"{value:.9g}" for value in values)])
    done = subprocess.run([str(program)], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [float(line) for line in done.stdout.split()]


@pytest.mark.parametrize(("positions", "spread"), [(1, 1.0), (10, 1.0), (100, 0.3), (256, 1.0), (256, 4.0), (256, 0.0)])
def test_it_mixes_the_same_but_for_a_hundred_thousandth(programs, positions: int, spread: float) -> None:
    chance = random.Random(positions)
    queries = [chance.gauss(0, spread) for _ in range(WIDTH)]
    rows = [chance.gauss(0, 1) * chance.choice((0.0, 0.01, 1, 3)) for _ in range(positions * 2 * KV_WIDTH)]
    floats, whole = (mixed(program, positions, queries + rows) for program in programs)
    largest = max(map(abs, rows))
    assert max(abs(a - b) for a, b in zip(floats, whole, strict=True)) < 3e-5 * largest
