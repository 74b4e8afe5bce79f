"""SentencePiece BPE as GGUF files of tokenizer model "llama" carry it.

Of all neighbouring pairs whose union is a piece, the one with the best score is joined first, of equal
scores the leftmost; what is left and is no piece falls back to bytes. This is what llama.cpp does.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SPACE = "\u2581"
"""How SentencePiece writes a space."""

NORMAL, BYTE = 1, 6
"""The token types of GGUF whose pieces have text; unknown and control pieces have none."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokenizer's part of a GGUF file: one piece, score and type for each token id."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    types: tuple[int, ...]
    bos: int
    eos: int
    unknown: int


class Tokenizer:
    """Turns text into token ids and back. Raises `ValueError` for a byte piece that names no byte."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.bos = vocabulary.bos
        self.eos = vocabulary.eos
        self._unknown = vocabulary.unknown
        self._scores = vocabulary.scores
        self._ids = {piece: token for token, piece in enumerate(vocabulary.pieces)}
        self._bytes = tuple(
            _piece_bytes(piece, kind) for piece, kind in zip(vocabulary.pieces, vocabulary.types, strict=True)
        )
        self.longest_piece_bytes = max((len(piece) for piece in self._bytes), default=1) or 1

    def encode(self, text: str) -> list[int]:
        """The tokens of `text`, begin-of-sequence first; a space is put before the text.

        Raises `UnicodeEncodeError` for lone surrogates.
        """
        tokens = [self.bos]
        for part in self._join((" " + text).replace(" ", SPACE)):
            token = self._ids.get(part)
            tokens += self._byte_tokens(part) if token is None else [token]
        return tokens

    def decode_bytes(self, tokens: Iterable[int]) -> bytes:
        """The text's UTF-8 bytes; one character may be spread over several tokens."""
        return b"".join([self._bytes[token] for token in tokens])

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of `tokens`; bytes that are no UTF-8 become replacement characters."""
        return self.decode_bytes(tokens).decode(errors="replace")

    def _byte_tokens(self, part: str) -> list[int]:
        return [self._ids.get(f"<0x{byte:02X}>", self._unknown) for byte in part.encode()]

    def _join(self, text: str) -> list[str]:
        """The text cut into pieces: a queue of joinable pairs over a linked list of parts."""
        parts = list(text)
        following = [*range(1, len(parts)), -1]
        before = list(range(-1, len(parts) - 1))
        queue: list[tuple[float, int, str]] = []

        def offer(left: int) -> None:
            if left >= 0 and following[left] >= 0:
                union = parts[left] + parts[following[left]]
                token = self._ids.get(union)
                if token is not None:
                    heapq.heappush(queue, (-self._scores[token], left, union))

        for left in range(len(parts)):
            offer(left)
        while queue:
            _, left, union = heapq.heappop(queue)
            right = following[left]
            # A part that was joined meanwhile is empty, or no longer makes this union.
            if not parts[left] or right < 0 or parts[left] + parts[right] != union:
                continue
            parts[left], parts[right] = union, ""
            following[left] = following[right]
            if following[right] >= 0:
                before[following[right]] = left
            offer(before[left])
            offer(left)
        return [part for part in parts if part]


def _piece_bytes(piece: str, kind: int) -> bytes:
    if kind == BYTE:
        return bytes([int(piece[3:5], 16)])
    return piece.replace(SPACE, " ").encode() if kind == NORMAL else b""
