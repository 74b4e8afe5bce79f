"""What a host has of one run's tokens: groups in any order, twice or not at all."""

import zlib
from collections.abc import Sequence

from tinyprof_agent.drivers.probe.messages import Tokens


class Collected:
    """The tokens of one run by index, with raw stamps. Only a group that is new as a whole is taken."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tokens: dict[int, tuple[int, int]] = {}
        self._texts: dict[int, bytes] = {}

    def add(self, group: Tokens, wrap_ticks: int) -> bool:
        """Takes a group; False if any of it was there already or lies beyond what was asked for."""
        indexes = range(group.first, group.first + len(group.ids))
        if indexes.stop > self._most or any(index in self._tokens for index in indexes):
            return False
        raw = 0
        for index, token, ticks in zip(indexes, group.ids, group.ticks, strict=True):
            raw = (raw + ticks) % wrap_ticks
            self._tokens[index] = (token, raw)
        self._texts[group.first] = group.text
        return True

    def missing(self, count: int) -> list[range]:
        """Which of the first `count` indexes are not there, as runs of neighbours."""
        gaps: list[range] = []
        for index in range(count):
            if index in self._tokens:
                continue
            if gaps and gaps[-1].stop == index:
                gaps[-1] = range(gaps[-1].start, index + 1)
            else:
                gaps.append(range(index, index + 1))
        return gaps

    def ids(self) -> list[int]:
        """Token ids by index."""
        return [token for _, (token, _) in sorted(self._tokens.items())]

    def raw_stamps(self) -> list[tuple[int, int]]:
        """Pairs of index and raw stamp."""
        return [(index, raw) for index, (_, raw) in sorted(self._tokens.items())]

    def clear(self) -> None:
        """Forgets all of it: the CRC says that something is wrong, and not what."""
        self._tokens.clear()
        self._texts.clear()

    def text(self) -> bytes:
        """The text of all tokens, by index."""
        return b"".join(text for _, text in sorted(self._texts.items()))


def ids_crc(ids: Sequence[int]) -> int:
    """CRC-32 of token ids, four bytes each, least significant first."""
    return zlib.crc32(b"".join(token.to_bytes(4, "little") for token in ids))
