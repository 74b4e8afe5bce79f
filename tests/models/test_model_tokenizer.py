"""The tokenizer against the algorithm written plainly, and there and back."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyprof_models.catalogue import shipped_model
from tinyprof_models.model_file import read_model
from tinyprof_models.tokenizer import SPACE, Tokenizer, Vocabulary

TOKENIZER = read_model(shipped_model("stories260k-q4_0").path).tokenizer
VOCABULARY = TOKENIZER.vocabulary
IDS = {piece: token for token, piece in enumerate(VOCABULARY.pieces)}

# The mark for a space cannot be told from a space, and lone surrogates are no text.
ANY_TEXT = st.text(st.characters(exclude_characters=SPACE, exclude_categories=["Cs"]), max_size=60)
STORY_TEXT = st.text(st.sampled_from("abcdeghilnorstuTL ,.\"'"), max_size=60)


def plain_encode(text: str) -> list[int]:
    """Joins the best pair, again and again; quadratic, and plainly what is meant."""
    parts = list((" " + text).replace(" ", SPACE))
    while pairs := [
        (VOCABULARY.scores[IDS[a + b]], -i) for i, (a, b) in enumerate(itertools.pairwise(parts)) if a + b in IDS
    ]:
        i = -max(pairs)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    pieces = [[p] if p in IDS else [f"<0x{byte:02X}>" for byte in p.encode()] for p in parts]
    return [VOCABULARY.bos] + [IDS[piece] for some in pieces for piece in some]


@settings(max_examples=200)
@given(ANY_TEXT | STORY_TEXT)
def test_text_survives_there_and_back(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == " " + text


@settings(max_examples=200)
@given(STORY_TEXT | ANY_TEXT)
def test_pairs_are_joined_best_first(text: str) -> None:
    assert TOKENIZER.encode(text) == plain_encode(text)


@settings(max_examples=100)
@given(ANY_TEXT)
def test_text_of_tokens_one_by_one_is_the_text_of_all(text: str) -> None:
    tokens = TOKENIZER.encode(text)
    assert b"".join(TOKENIZER.decode_bytes((token,)) for token in tokens) == TOKENIZER.decode_bytes(tokens)
    assert len(TOKENIZER.decode_bytes(tokens)) <= len(tokens) * TOKENIZER.longest_piece_bytes


def test_of_equal_scores_the_leftmost_pair_is_joined() -> None:
    pieces = ("<unk>", "<s>", "</s>", SPACE, "a", "aa")
    tokenizer = Tokenizer(Vocabulary(pieces, (0.0,) * 6, (2, 3, 3, 1, 1, 1), bos=1, eos=2, unknown=0))
    assert tokenizer.encode("aaa") == [1, 3, 5, 4]
    assert tokenizer.encode("é") == [1, 3, 0, 0], "without byte pieces, unknown for each byte"
    assert tokenizer.decode([1, 3, 5, 4, 2, 0]) == " aaa"


def test_a_character_may_be_spread_over_tokens() -> None:
    tokens = TOKENIZER.encode("€")
    assert TOKENIZER.decode(tokens) == " €"
    assert TOKENIZER.decode(tokens[:-1]) == " \ufffd"


def test_a_long_prompt_is_tokenised_in_its_length() -> None:
    assert len(TOKENIZER.encode("Once upon a time " * 2000)) > 2000


def test_lone_surrogates_are_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        TOKENIZER.encode("\ud800")
