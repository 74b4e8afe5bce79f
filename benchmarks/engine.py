"""The C engine on this machine against llama.cpp on one thread: decode tokens/s and time to the first, in one run.

`python benchmarks/engine.py [--llama-python PATH] [--rounds N] [--json]`; the interpreter that has llama-cpp-python can
also stand in LLAMA_PYTHON. Each round times both engines once on the same prompts and counts of tokens, greedy, with a
float16 cache and int8 activations; the figures are medians over the rounds.
The bound is what reading the weights alone would take, at the speed of a plain loop over as many bytes in the same run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from make_model import make_model

from tinyprof_models.golden import data_file

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
PROMPTS = ("One day", "Lily and Tom went to the park")
TOKENS, CONTEXT = 64, 256
COMPILED = ("-std=c99", "-D_GNU_SOURCE", "-O3", "-march=native", "-ffp-contract=off")
TARGETS = {"stories260k-q4_0": 1.0, "stories260k-q8_0": 1.0, "random15m-q8_0": 0.5}
READ_ROUNDS = 200


class BenchmarkError(Exception):
    """What keeps the benchmark from running, in one line."""


@dataclass(frozen=True)
class Timing:
    """One generation."""

    ttft_ns: int
    decode_ns: int
    tokens: tuple[int, ...]


class Talk:
    """A program that answers a line with a line."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self.first = self._line()

    def ask(self, question: str) -> str:
        """The answer. Raises `BenchmarkError` if the program ended."""
        self._to.write(f"{question}\n")
        self._to.flush()
        return self._line()

    def close(self) -> None:
        """Ends the program by the end of its input."""
        self._to.close()
        self._process.wait(timeout=30)
        self._from.close()

    def _line(self) -> str:
        line = self._from.readline()
        if not line.endswith("\n"):
            raise BenchmarkError(f"{self._process.args!r} ended before it answered")
        return line.strip()


def built(model: Path, folder: Path) -> Path:
    """The engine compiled for a model and this machine. Raises `subprocess.CalledProcessError`."""
    folder.mkdir()
    header = [sys.executable, str(FIRMWARE / "tools" / "model_header.py"), str(model), "--ctx", str(CONTEXT)]
    subprocess.run([*header, "--kv", "f16", "--activations", "int8", "--out", str(folder / "model.h")], check=True)
    sources = [*sorted((FIRMWARE / "engine").glob("*.c")), FIRMWARE / "tools" / "engine_host.c"]
    includes = [f"-I{folder}", f"-I{FIRMWARE / 'engine'}"]
    program = folder / "engine_host"
    subprocess.run(["gcc", *COMPILED, *includes, *map(str, sources), "-lm", "-o", str(program)], check=True)
    return program


def by_engine(engine: Talk, prompt: str) -> Timing:
    """One generation by the C engine."""
    ttft, decode, *tokens = map(int, engine.ask(f"time {TOKENS} {prompt.encode().hex()}").split())
    return Timing(ttft, decode, tuple(tokens))


def by_llama(llama: Talk, prompt: str) -> Timing:
    """One generation by llama.cpp."""
    answer = json.loads(llama.ask(f"{TOKENS} {prompt.encode().hex()}"))
    return Timing(answer["ttft_ns"], answer["decode_ns"], tuple(answer["tokens"]))


def weight_bytes(model: Path) -> int:
    """Bytes of weights that a token reads: all of them, as the embedding is also the output."""
    sys.path.insert(0, str(FIRMWARE / "tools"))
    from gguf_layout import read_gguf

    return sum(tensor.size for tensor in read_gguf(model.read_bytes()).tensors.values())


def agreeing(ours: Timing, theirs: Timing) -> int:
    """How many tokens from the first on are the same."""
    pairs = list(zip(ours.tokens, theirs.tokens, strict=False))
    return next((index for index, (a, b) in enumerate(pairs) if a != b), len(pairs))


def measure(name: str, model: Path, llama_python: str, rounds: int, folder: Path) -> dict[str, Any]:
    """The figures of one model. Raises `BenchmarkError`."""
    engine = Talk(str(built(model, folder / name)), str(model))
    llama = Talk(llama_python, str(ROOT / "benchmarks" / "engine_llama.py"), str(model), str(CONTEXT))
    ours: list[list[Timing]] = []
    theirs: list[list[Timing]] = []
    for number in range(rounds + 1):
        pair = [by_engine(engine, prompt) for prompt in PROMPTS], [by_llama(llama, prompt) for prompt in PROMPTS]
        if number:  # the first is for warming up
            ours.append(pair[0])
            theirs.append(pair[1])
    size = weight_bytes(model)
    read_ns = int(engine.ask(f"read {size} {READ_ROUNDS}"))
    figures: dict[str, Any] = {"model": name, "engine": engine.first, "llama_cpp": json.loads(llama.first)["version"]}
    engine.close()
    llama.close()
    figures["tps"], figures["llama_tps"] = _decode_tps(ours), _decode_tps(theirs)
    figures["ttft_us"], figures["llama_ttft_us"] = _ttft_us(ours), _ttft_us(theirs)
    figures["ratio"] = statistics.median(_tps(a) / _tps(b) for a, b in zip(ours, theirs, strict=True))
    figures["weight_bytes"], figures["read_gb_s"] = size, size / read_ns
    figures["bound_pct"] = 100 * figures["tps"] * read_ns / 1e9
    figures["same_tokens"] = [agreeing(a, b) for a, b in zip(ours[-1], theirs[-1], strict=True)]
    return figures


def _tps(round_of: list[Timing]) -> float:
    return sum(len(t.tokens) - 1 for t in round_of) * 1e9 / sum(t.decode_ns for t in round_of)


def _decode_tps(rounds: list[list[Timing]]) -> float:
    return statistics.median(map(_tps, rounds))


def _ttft_us(rounds: list[list[Timing]]) -> list[float]:
    return [statistics.median(timings) / 1e3 for timings in zip(*[[t.ttft_ns for t in r] for r in rounds], strict=True)]


def show(figures: dict[str, Any]) -> None:
    """The figures of one model, for people."""
    target = TARGETS[figures["model"]]
    print(f"{figures['model']}: {figures['engine']}; llama-cpp-python {figures['llama_cpp']}")
    print(
        f"  decode {figures['tps']:,.0f} tokens/s, llama.cpp {figures['llama_tps']:,.0f}: "
        f"{figures['ratio']:.2f} times as fast (target {target})"
    )
    for prompt, mine, other in zip(PROMPTS, figures["ttft_us"], figures["llama_ttft_us"], strict=True):
        print(f"  first token after {mine:,.0f} us, llama.cpp {other:,.0f} us ({prompt!r})")
    print(
        f"  {figures['bound_pct']:.0f}% of the bound: {figures['weight_bytes']:,} bytes of weights a token, "
        f"read at {figures['read_gb_s']:.1f} GB/s"
    )
    same = ", ".join(f"{count} of {TOKENS}" for count in figures["same_tokens"])
    print(f"  tokens the same until they part: {same}", flush=True)


def main() -> int:
    """1 if a target is missed or llama.cpp is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--llama-python",
        default=os.environ.get("LLAMA_PYTHON", sys.executable),
        help="an interpreter that has llama-cpp-python",
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    has_llama = subprocess.run([options.llama_python, "-c", "import llama_cpp"], capture_output=True, check=False)
    if has_llama.returncode:
        print(
            f"engine: {options.llama_python} has no llama-cpp-python; name one that has by --llama-python",
            file=sys.stderr,
        )
        return 1
    try:
        all_figures = measure_all(options.llama_python, options.rounds, quiet=options.json)
    except (BenchmarkError, OSError, subprocess.CalledProcessError) as error:
        print(f"engine: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(all_figures))
    return int(any(figures["ratio"] < TARGETS[figures["model"]] for figures in all_figures))


def measure_all(llama_python: str, rounds: int, quiet: bool) -> list[dict[str, Any]]:
    """The figures of every model, shown as they come unless `quiet`."""
    all_figures = []
    with tempfile.TemporaryDirectory(prefix="tinyprof-engine-") as place:
        folder = Path(place)
        random15m = folder / "random15m-q8_0.gguf"
        make_model(random15m)
        for name in TARGETS:
            model = random15m if name == random15m.stem else data_file(f"{name}.gguf")
            all_figures.append(measure(name, model, llama_python, rounds, folder))
            if not quiet:
                show(all_figures[-1])
    return all_figures


if __name__ == "__main__":
    sys.exit(main())
