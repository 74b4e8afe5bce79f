"""The engine's output against the numpy reference: the gate that every result passes."""

import pytest

from tinyprof_models.golden import Output, data_file, shipped_golden

TIE = 0.1
OUTPUTS = [
    pytest.param(name, output, id=f"{name.removesuffix('.gguf')}-{output.activations}-{output.kv_cache}")
    for name, model in shipped_golden().models.items()
    for output in model.outputs
]


def first_differences(lines: list[str], output: Output) -> list[tuple[int, float] | None]:
    """For each case where the engine parts from the reference, and the reference's lead there; None: it does not."""
    found: list[tuple[int, float] | None] = []
    for line, case in zip(lines, output.cases, strict=True):
        count, *made, end = line.split()
        assert int(count) == len(case.prompt_tokens)
        assert end == "end"
        tokens = tuple(map(int, made))
        assert len(tokens) == len(case.tokens)
        parts = [index for index, pair in enumerate(zip(tokens, case.tokens, strict=True)) if pair[0] != pair[1]]
        found.append((parts[0], case.leads[parts[0]]) if parts else None)
    return found


def ask(output: Output) -> list[str]:
    return [f"generate {len(case.tokens)} {case.prompt.encode().hex()}" for case in output.cases]


@pytest.mark.parametrize(("name", "output"), OUTPUTS)
def test_every_build_gives_the_golden_tokens(build_engine, name: str, output: Output) -> None:
    flags = ("-march=native",) if output.activations == "int8" else ()
    engine = build_engine(data_file(name), output.kv_cache, output.activations, flags)
    parted = first_differences(engine.answers(*ask(output))[1:], output)
    assert None in parted
    assert all(difference is None or difference[1] < TIE for difference in parted)


@pytest.mark.parametrize("kv", ["f32", "f16", "q8_0"])
def test_arithmetic_without_a_floating_point_unit_passes_the_gate(build_engine, kv: str) -> None:
    name = "stories260k-q4_0.gguf"
    output = next(o for o in shipped_golden().models[name].outputs if (o.activations, o.kv_cache) == ("int8", kv))
    flags = ("-DENGINE_PORTABLE", "-DENGINE_SOFT_FLOAT=1")
    parted = first_differences(build_engine(data_file(name), kv, "int8", flags).answers(*ask(output))[1:], output)
    assert None in parted
    assert all(difference is None or difference[1] < TIE for difference in parted)


def test_a_context_ends_generation_and_bounds_the_prompt(build_engine) -> None:
    engine = build_engine(data_file("stories260k-q4_0.gguf"), "q8_0", ctx=8)
    prompts = (b"One day", b"Once upon a time", b"x" * 9999)
    fits, full, longer = engine.answers(*(f"generate 64 {prompt.hex()}" for prompt in prompts))[1:]
    assert len(fits.split()) == 1 + 5 + 1
    assert full == longer == "too_long the prompt leaves no room in the context of 8 tokens"
