"""The C probe by itself: the recorded bytes, its size, the compilers' opinion of it, and any bytes at all."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tinyprof_agent.drivers.probe.frames import FrameDecoder, crc16, encode_frame
from tinyprof_agent.drivers.probe.messages import (
    ENDED_EOS,
    End,
    Hello,
    Run,
    Start,
    Tokens,
    decode_board_message,
    encode_message,
)

compilers = sys.modules["probe_compilers"]
"""Loaded by conftest.py."""
VECTORS = json.loads((compilers.ROOT / "tests" / "agent" / "link" / "vectors.json").read_text())
MOST_CODE_BYTES = 3 * 1024
SANITIZERS = "-fsanitize=address,undefined"
LONG_FUZZ_SECONDS = 30
README = (compilers.PROBE / "README.md").read_text()


def values_of(value: Any) -> Iterator[str]:
    """A MessagePack value in the words of vectors.c."""
    match value:
        case list():
            yield f"[{len(value)}"
            for inside in value:
                yield from values_of(inside)
        case int():
            yield f"u{value}"
        case str():
            yield f"s{value.encode().hex()}"
        case bytes():
            yield f"b{value.hex()}"
        case None:
            yield "-"


def lines_of(vectors: dict[str, Any]) -> Iterator[str]:
    """The vectors in the words of vectors.c; of each body also what is left when its last byte is lost."""
    crc = vectors["crc16"]
    yield f"crc16 {crc['of']} {crc['is']}"
    for one in vectors["lines"]:
        yield " ".join(["line", one["line"], str(one["bad_crc"]), *one["bodies"]])
    # A part that says it is longer than what there is: all its bytes are right, the CRC's too.
    yield "line 0007920307ff7100 1"
    for one in vectors["frames"]:
        yield f"line {one['line']} 0 {one['body']}"
        message = msgpack.unpackb(bytes.fromhex(one["body"]))
        if one["from"] == "host":
            words = [f":{value.hex()}" if isinstance(value, bytes) else str(value) for value in message]
            yield " ".join(["host", one["line"], *words])
            yield f"bad {one['body'][:-2]}"
            yield f"bad {one['body']}00"
        else:
            yield " ".join(["board", one["line"], *values_of(message)])
            yield f"bad {one['body']}"


def full_parts() -> Iterator[str]:
    """Frames about as long as one, two and three full parts of COBS, without a zero: the last part may be full."""
    for length in [size + around for size in (254, 508, 762) for around in range(-2, 3)]:
        head = (
            b"\x92\x17\xc5" + (length - 7).to_bytes(2, "big") if length > 262 else b"\x92\x17\xc4" + bytes([length - 6])
        )
        for fill in range(1, 256):
            body = head + bytes([fill]) * (length - 2 - len(head))
            if 0 not in body + crc16(body).to_bytes(2, "big"):
                yield " ".join(["board", encode_frame(body).hex(), *values_of(msgpack.unpackb(body))])
                break


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Builds a test program of this folder with the probe, in C99, under sanitizers."""

    def build(source: str, *extra: str, compiler: str = "gcc") -> Path:
        program = tmp_path_factory.mktemp("probe") / Path(source).stem
        words = ["-std=c99", "-g", "-O1", "-fno-sanitize-recover=undefined", f"-I{compilers.PROBE}", *extra]
        sources = [compilers.HERE / source, *compilers.SOURCES]
        compilers.run([compilers.found(compiler, compiler), *words, *sources, "-o", program])
        return program

    return build


def test_the_recorded_bytes_are_what_the_library_reads_and_writes(build: Any) -> None:
    program = build("vectors.c", SANITIZERS)
    lines = "\n".join([*lines_of(VECTORS), *full_parts()]) + "\n"
    done = subprocess.run([program], input=lines, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    spoilt = subprocess.run([program], input="crc16 00 0000\n", capture_output=True, text=True, timeout=60)
    assert spoilt.returncode == 1


@pytest.mark.parametrize("cpu", ["cortex-m0plus", "cortex-m4"])
def test_the_code_is_at_most_3_kb_and_as_the_page_says(cpu: str, tmp_path: Path) -> None:
    gcc = compilers.found("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    size = compilers.found("arm-none-eabi-size", "binutils-arm-none-eabi")
    objects = []
    for source in compilers.SOURCES:
        objects.append(tmp_path / f"{source.name}.o")
        words = [f"-mcpu={cpu}", "-mthumb", "-Os", *compilers.STRICT, "-c", source, "-o", objects[-1]]
        compilers.run([gcc, *words])
    total = int(compilers.run([size, "-t", *objects]).splitlines()[-1].split()[0])
    assert total <= MOST_CODE_BYTES
    stated = re.search(rf"^\| `-mcpu={cpu}` \| ([\d,]+) \|$", README, re.MULTILINE)
    assert stated is not None
    assert abs(total - int(stated[1].replace(",", ""))) <= 64


@pytest.mark.parametrize("define", [[], ["-DTP_TICK_64"]], ids=["32", "64"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_it_is_c99_without_a_warning_and_allocates_nothing(compiler: str, define: list[str], tmp_path: Path) -> None:
    program = compilers.found(compiler, compiler)
    wanted = set()
    for source in compilers.SOURCES:
        made = tmp_path / f"{source.name}.o"
        compilers.run([program, *compilers.STRICT, *define, "-Os", "-ffreestanding", "-c", source, "-o", made])
        wanted |= {line.split()[-1] for line in compilers.run(["nm", "-u", made]).splitlines()}
        lines = source.read_text().splitlines()
        included = {line.split()[1] for line in lines if line.startswith("#include")}
        assert included <= {'"tp_internal.h"', '"tinyprobe.h"', "<string.h>", "<stdint.h>", "<stddef.h>"}
    outside = {name for name in wanted if not name.startswith("tp_")}
    assert outside <= {"memcpy", "memset", "strlen", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}


def test_the_header_is_cpp_too(tmp_path: Path) -> None:
    source = tmp_path / "user.cpp"
    source.write_text('#include "tinyprobe.h"\nint main() { tp_probe probe; return tp_init(&probe, nullptr); }\n')
    gcc = compilers.found("g++", "g++")
    words = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{compilers.PROBE}", "-fsyntax-only"]
    compilers.run([gcc, *words, source])


@pytest.mark.parametrize("compiler", ["gcc", "g++"])
def test_the_examples_model_says_the_prompt_again(compiler: str, tmp_path: Path) -> None:
    found = compilers.found(compiler, compiler)
    objects = [tmp_path / f"{source.name}.o" for source in compilers.SOURCES]
    includes = [f"-I{compilers.PROBE}", f"-I{compilers.PROBE / 'examples'}"]
    for source, made in zip(compilers.SOURCES, objects, strict=True):
        compilers.run([compilers.found("gcc", "gcc"), *compilers.STRICT, *includes, "-c", source, "-o", made])
    strict = compilers.STRICT if compiler == "gcc" else ["-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror"]
    program, main = tmp_path / "echo", tmp_path / "echo_board.o"
    compilers.run([found, *strict, *includes, "-c", compilers.HERE / "echo_board.c", "-o", main])
    compilers.run([found, main, *objects, "-o", program])
    asked = encode_frame(encode_message(Run(5, 0, 1, 9, 0, "héh".encode())))
    said = FrameDecoder().feed(subprocess.run([program], input=asked, capture_output=True, timeout=60).stdout)
    hello, start, tokens, end = map(decode_board_message, said.bodies)
    assert isinstance(hello, Hello)
    assert (hello.machine.platform, hello.machine.identity, hello.model.name) == ("pipe", None, "echo")
    assert isinstance(start, Start)
    assert isinstance(tokens, Tokens)
    assert (tokens.text, tokens.ids[-1]) == ("héh".encode(), 256)
    assert isinstance(end, End)
    assert (end.reason, end.tokens, end.ram_peak) == (ENDED_EOS, 5, None)


def test_the_corpus_breaks_nothing(build: Any) -> None:
    program = build("fuzz_probe.c", SANITIZERS, "-DFUZZ_REPLAY")
    said = compilers.run([program, compilers.HERE / "corpus" / "packed.bin"])
    assert int(said.split()[0]) >= 50


def test_other_bytes_break_nothing(build: Any, tmp_path: Path) -> None:
    compilers.found("clang", "clang libclang-rt-14-dev")
    program = build("fuzz_probe.c", "-fsanitize=fuzzer,address,undefined", compiler="clang")
    seeds, found = tmp_path / "seeds", tmp_path / "found"
    found.mkdir()
    unpack(compilers.HERE / "corpus" / "packed.bin", seeds)
    seconds = LONG_FUZZ_SECONDS if os.environ.get("TINYPROF_TEST_EVERYTHING") else 3
    words = [f"-max_total_time={seconds}", "-max_len=2048", f"-artifact_prefix={tmp_path}/", found, seeds]
    compilers.run([program, *words], timeout_s=seconds + 60)


def unpack(packed: Path, folder: Path) -> None:
    """The packed corpus as a folder of files: of each input two bytes of length, the less significant first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    data, at = packed.read_bytes(), 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "little")
        (folder / str(at)).write_bytes(data[at + 2 : at + 2 + length])
        at += 2 + length
