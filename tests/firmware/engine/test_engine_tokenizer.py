"""The engine cuts any bytes into the tokens that the Python tokenizer makes of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_models.golden import data_file
from tinyprof_models.model_file import read_model

MODEL = data_file("stories260k-q4_0.gguf")
TOKENIZER = read_model(MODEL).tokenizer
PIECES = [piece.replace("\u2581", " ") for piece in TOKENIZER.vocabulary.pieces[259:]]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=20).map(
    lambda parts: "".join(parts).encode()
)
BROKEN = st.lists(
    st.one_of(
        st.binary(max_size=4),
        st.sampled_from([b"\xe2\x96", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90", b"\xc0\xaf", b"a "]),
    ),
    max_size=12,
).map(b"".join)


@pytest.fixture(scope="module")
def tokens_of(build_engine):
    engine = build_engine(MODEL, "q8_0")

    def ask(prompts: list[bytes]) -> list[list[int]]:
        return [list(map(int, line.split())) for line in engine.answers(*(f"encode {p.hex()}" for p in prompts))[1:]]

    return ask


def expected(prompt: bytes) -> list[int]:
    tokens = TOKENIZER.encode(prompt.decode(errors="replace"))
    return tokens if len(tokens) <= 256 else [-1]


@settings(max_examples=40, deadline=None)
@given(prompts=st.lists(TEXTS, min_size=20, max_size=40))
def test_texts(tokens_of, prompts: list[bytes]) -> None:
    assert tokens_of(prompts) == [expected(prompt) for prompt in prompts]


@settings(max_examples=40, deadline=None)
@given(prompts=st.lists(BROKEN, min_size=20, max_size=40))
def test_bytes_that_are_no_utf8(tokens_of, prompts: list[bytes]) -> None:
    assert tokens_of(prompts) == [expected(prompt) for prompt in prompts]


def test_long_prompts_up_to_the_context_and_beyond(tokens_of) -> None:
    prompts = [b" " * count for count in (250, 255, 256, 700)] + [
        b"once upon a time " * 30,
        "\u2581\u00e9".encode() * 120,
    ]
    assert tokens_of(prompts) == [expected(prompt) for prompt in prompts]


def test_the_text_of_every_token(build_engine) -> None:
    size = len(TOKENIZER.vocabulary.pieces)
    lines = build_engine(MODEL, "q8_0").answers(*(f"text {token}" for token in range(size)), f"text {size}")[1:]
    assert [bytes.fromhex(line) for line in lines] == [TOKENIZER.decode_bytes([token]) for token in range(size)] + [b""]
