"""What an LX106 takes for single precision against what this machine's own does, bit for bit."""

import ctypes
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

SOURCE = Path(__file__).resolve().parents[3] / "firmware" / "targets" / "lx106" / "arithmetic.c"
FLOATS = ("addsf3", "subsf3", "mulsf3")
FROM_INTEGERS = ("floatsisf", "floatunsisf")
WORDS = ("udivsi3", "umodsi3", "divsi3")
LONGS = ("muldi3", "udivdi3", "umoddi3")
OF_THIS_MACHINE = """
#include <stdint.h>
#include <string.h>
static float f(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }
static uint32_t b(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }
uint32_t own_addsf3(uint32_t x, uint32_t y) { return b(f(x) + f(y)); }
uint32_t own_subsf3(uint32_t x, uint32_t y) { return b(f(x) - f(y)); }
uint32_t own_mulsf3(uint32_t x, uint32_t y) { return b(f(x) * f(y)); }
uint32_t own_floatsisf(uint32_t x) { return b((float)(int32_t)x); }
uint32_t own_floatunsisf(uint32_t x) { return b((float)x); }
"""
BITS = st.integers(0, 2**32 - 1)
EDGES = st.sampled_from(
    [
        0,
        1,
        0x7FFFFF,
        0x800000,
        0x800001,
        0x3F800000,
        0x3F7FFFFF,
        0x7F7FFFFF,
        0x7F800000,
        0x7FC00000,
        0x80000000,
        0xFF800000,
    ]
)
NEAR = st.tuples(BITS, st.integers(-30, 30)).map(lambda pair: (pair[0] & 0x807FFFFF) | ((127 + pair[1]) << 23))
OPERAND = st.one_of(NEAR, EDGES, BITS)
LONG = st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 63)).map(lambda pair: pair[0] >> pair[1])


@pytest.fixture(scope="session")
def arithmetic(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Both as one library, the firmware's under names that begin with `of_`."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed: apt install gcc")
    folder = tmp_path_factory.mktemp("arithmetic")
    (folder / "own.c").write_text(OF_THIS_MACHINE)
    library = folder / "arithmetic.so"
    renamed = [f"-D__{name}=of_{name}" for name in (*FLOATS, *FROM_INTEGERS, *WORDS, *LONGS)]
    command = ["gcc", "-O1", "-shared", "-fPIC", "-ffp-contract=off", *renamed, str(SOURCE), str(folder / "own.c")]
    subprocess.run([*command, "-o", str(library)], check=True, timeout=60)
    loaded = ctypes.CDLL(str(library))
    for name in LONGS:
        function = getattr(loaded, f"of_{name}")
        function.restype, function.argtypes = ctypes.c_uint64, [ctypes.c_uint64] * 2
    for name in (*FLOATS, *FROM_INTEGERS):
        for prefix in ("of", "own"):
            getattr(loaded, f"{prefix}_{name}").restype = ctypes.c_uint32
    for name in WORDS[:2]:
        getattr(loaded, f"of_{name}").restype = ctypes.c_uint32
    return loaded


def is_nan(bits: int) -> bool:
    """Whether it is no number: which of them is nobody's business."""
    return bits & 0x7FFFFFFF > 0x7F800000


@given(x=OPERAND, y=OPERAND)
@example(x=0x00800000, y=0x807FFFFF)
@example(x=0x7F7FFFFF, y=0x7F7FFFFF)
@example(x=0x80000000, y=0x80000000)
@pytest.mark.parametrize("name", FLOATS)
def test_sums_and_products_are_ieee_754(arithmetic: ctypes.CDLL, name: str, x: int, y: int) -> None:
    got = getattr(arithmetic, f"of_{name}")(ctypes.c_uint32(x), ctypes.c_uint32(y))
    want = getattr(arithmetic, f"own_{name}")(ctypes.c_uint32(x), ctypes.c_uint32(y))
    assert got == want or (is_nan(got) and is_nan(want)), (hex(x), hex(y), hex(got), hex(want))


@given(value=BITS, shift=st.integers(0, 31))
@pytest.mark.parametrize("name", FROM_INTEGERS)
def test_integers_become_the_nearest_float(arithmetic: ctypes.CDLL, name: str, value: int, shift: int) -> None:
    word = ctypes.c_uint32(value >> shift)
    assert getattr(arithmetic, f"of_{name}")(word) == getattr(arithmetic, f"own_{name}")(word)


@given(a=BITS, b=BITS.filter(bool), shift=st.integers(0, 31))
def test_words_are_divided(arithmetic: ctypes.CDLL, a: int, b: int, shift: int) -> None:
    b = b >> shift or 1
    words = (ctypes.c_uint32(a), ctypes.c_uint32(b))
    assert (arithmetic.of_udivsi3(*words), arithmetic.of_umodsi3(*words)) == divmod(a, b)
    signed_a, signed_b = struct.unpack("<ii", struct.pack("<II", a, b))
    if signed_a != -(2**31):
        toward_zero = abs(signed_a) // abs(signed_b) * (1 if (signed_a < 0) == (signed_b < 0) else -1)
        assert arithmetic.of_divsi3(*words) == toward_zero


@given(a=LONG, b=LONG)
def test_long_integers(arithmetic: ctypes.CDLL, a: int, b: int) -> None:
    assert arithmetic.of_muldi3(a, b) == a * b % 2**64
    if b:
        assert (arithmetic.of_udivdi3(a, b), arithmetic.of_umoddi3(a, b)) == divmod(a, b)
