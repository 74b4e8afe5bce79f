"""A model file that is not the build's: one clear line, and never a crash."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tinyprof_models.golden import data_file
from tinyprof_models.model_file import read_model

MODEL = data_file("stories260k-q4_0.gguf")
HEADER = Path(__file__).resolve().parents[3] / "firmware" / "tools" / "model_header.py"
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def said_of(engine, path: Path, data: bytes) -> str:
    path.write_bytes(data)
    lines = engine.answers(model=path)
    assert len(lines) == 1
    return lines[0]


@pytest.fixture(scope="module")
def engine(build_engine):
    return build_engine(MODEL, "q8_0", flags=SANITIZED)


def test_the_file_of_the_build_runs_under_the_sanitizers(engine) -> None:
    prompts = [b"One day", b"\xff\xe2\x96 \xf0", b"", b" " * 2000]
    tokenizer = read_model(MODEL).tokenizer
    counts = [len(tokenizer.encode(prompt.decode(errors="replace"))) for prompt in prompts[:3]]
    lines = engine.answers(*(f"generate 12 {prompt.hex()}" for prompt in prompts), "logits 1 255")
    assert [line.split()[0] for line in lines[1:5]] == [*map(str, counts), "too_long"]
    assert len(lines[5].split()) == 512


@pytest.mark.parametrize("kept", [0, 3, 4, 30, 500, 9_000, 14_000, 20_000, 190_431])
def test_a_cut_file_is_named(engine, tmp_path: Path, kept: int) -> None:
    assert said_of(engine, tmp_path / "cut.gguf", MODEL.read_bytes()[:kept]).startswith("bad_model ")


@pytest.mark.parametrize("kept", [0, 3, 30, 9_000, 20_000, 190_431])
def test_a_cut_file_is_no_model_to_build_for(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(MODEL.read_bytes()[:kept])
    error = header_error(path, tmp_path)
    assert "is cut short" in error


def test_a_changed_weight_is_found_by_the_checksum(engine, tmp_path: Path) -> None:
    data = bytearray(MODEL.read_bytes())
    data[100_000] ^= 1
    said = said_of(engine, tmp_path / "changed.gguf", bytes(data))
    assert said == "bad_model the model's bytes are not those of the build: its CRC-32 differs"


def test_another_model_is_told_by_its_types(engine, tmp_path: Path) -> None:
    said = said_of(engine, tmp_path / "other.gguf", data_file("stories260k-f32.gguf").read_bytes())
    assert said.startswith("bad_model the model")


def test_bytes_changed_anywhere_in_the_header_never_crash(engine, tmp_path: Path) -> None:
    whole, chance = MODEL.read_bytes(), random.Random(7)
    for _ in range(30):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 8))):
            data[chance.randrange(14_560)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if data != whole:
            assert said_of(engine, tmp_path / "changed.gguf", bytes(data)).startswith("bad_model ")


def header_error(model: Path, folder: Path, ctx: int = 256) -> str:
    command = [sys.executable, str(HEADER), str(model), "--ctx", str(ctx), "--kv", "q8_0", "--activations", "int8"]
    done = subprocess.run([*command, "--out", str(folder / "model.h")], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    return done.stderr


def test_what_cannot_be_built_is_one_line(tmp_path: Path) -> None:
    assert "No such file" in header_error(tmp_path / "none.gguf", tmp_path)
    assert "CTX can be 2 to that, not 257" in header_error(MODEL, tmp_path, ctx=257)


def test_rows_that_are_no_blocks_cannot_be_q8_0(tmp_path: Path) -> None:
    # Two key heads of eight, not four: the file then lacks the tensors' shape, which is told as well.
    data = bytearray(MODEL.read_bytes())
    key = b"llama.attention.head_count_kv"
    at = data.index(key) + len(key) + 4
    data[at] = 2
    path = tmp_path / "narrow.gguf"
    path.write_bytes(data)
    assert "attn_k.weight of shape (64, 32), not (64, 16)" in header_error(path, tmp_path)


def test_a_header_is_written_anew_only_when_it_changes(tmp_path: Path) -> None:
    out = tmp_path / "model.h"

    def made(ctx: int) -> tuple[int, int]:
        command = [sys.executable, str(HEADER), str(MODEL), "--ctx", str(ctx), "--kv", "f16", "--activations", "int8"]
        subprocess.run([*command, "--out", str(out)], check=True)
        return out.stat().st_mtime_ns, out.with_name("model_tables.h").stat().st_mtime_ns

    first = made(64)
    assert made(64) == first
    assert made(65)[0] != first[0]
