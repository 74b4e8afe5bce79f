"""Each kernel gives the very bits of the plain one: whole-number products leave no room for another rounding."""

import shutil

import pytest

from tinyprof_models.golden import data_file

QUESTIONS = [f"logits {token} {position}" for position, token in enumerate((1, 403, 407, 3, 511, 260))]
CROSS = {
    "arm-linux-gnueabi-gcc": ("SMLAD", ("-static", "-march=armv6", "-marm", "-mfloat-abi=soft"), "qemu-arm"),
    "aarch64-linux-gnu-gcc": ("NEON", ("-static", "-mcpu=cortex-a57"), "qemu-aarch64"),
}


@pytest.mark.parametrize("weights", ["q8_0", "q4_0"])
@pytest.mark.parametrize("kv", ["f32", "f16", "q8_0"])
def test_the_kernel_of_this_machine_equals_plain_c(build_engine, weights: str, kv: str) -> None:
    model = data_file(f"stories260k-{weights}.gguf")
    native, plain = (build_engine(model, kv, "int8", flags) for flags in (("-march=native",), ("-DENGINE_PORTABLE",)))
    kernel, *bits = native.answers(*QUESTIONS)
    named, *expected = plain.answers(*QUESTIONS)
    assert kernel != named
    assert "plain C" in named
    assert bits == expected


@pytest.mark.parametrize("compiler", CROSS)
@pytest.mark.parametrize("weights", ["q8_0", "q4_0"])
def test_an_arm_kernel_equals_plain_c(build_engine, compiler: str, weights: str) -> None:
    kernel, flags, runner = CROSS[compiler]
    if shutil.which(compiler) is None or shutil.which(runner) is None:
        pytest.skip(f"needs {compiler} and {runner}")
    hard = (*flags, "-DENGINE_SOFT_FLOAT=0")
    model = data_file(f"stories260k-{weights}.gguf")
    native = build_engine(model, "q8_0", "int8", hard, compiler=compiler, runner=(runner,))
    plain = build_engine(model, "q8_0", "int8", ("-DENGINE_PORTABLE", "-DENGINE_SOFT_FLOAT=0"))
    named, *bits = native.answers(*QUESTIONS)
    assert kernel in named
    assert bits == plain.answers(*QUESTIONS)[1:]
