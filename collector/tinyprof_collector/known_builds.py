"""Records decoded with each build made once: a board sends the same one with each result, a third of its parts.

A build is told by its bytes. What is like one before is the same object, so that comparing them costs nothing.
"""

from collections.abc import Iterable

from msgspec import Raw
from msgspec.structs import force_setattr

from tinyprof_protocol.codec import BadMessage, unpack, unpack_each
from tinyprof_protocol.records import Build, Event, Record, Result, Sample

MAX_KNOWN = 4096
MAX_BYTES = 2048
"""Of a build that is remembered; one that is well-formed may have more, in keys that nobody knows yet."""


class _Result(Result, frozen=True, tag="result", tag_field="kind", omit_defaults=True, gc=False):
    build: Raw  # type: ignore[assignment]


class _Record(Record, frozen=True, gc=False):
    body: _Result | Sample | Event


class KnownBuilds:
    """Remembers builds by their bytes, at most `bound`; it starts anew when it is full. For one thread."""

    def __init__(self, bound: int = MAX_KNOWN) -> None:
        self._bound = bound
        self._known: dict[bytes, Build] = {}

    def unpack_each(self, items: Iterable[bytes]) -> list[Record | BadMessage]:
        """The records in some bytes; in the place of one that is bad stands what is wrong with it."""
        records: list[Record | BadMessage] = []
        for record in unpack_each(items, _Record):
            if not isinstance(record, BadMessage) and isinstance(record.body, _Result):
                try:
                    force_setattr(record.body, "build", self._of(bytes(record.body.build)))
                except BadMessage as why:
                    records.append(why)
                    continue
            records.append(record)
        return records

    def _of(self, data: bytes) -> Build:
        build = self._known.get(data)
        if build is None:
            build = unpack(data, Build)
            if len(data) <= MAX_BYTES:
                if len(self._known) >= self._bound:
                    self._known.clear()
                self._known[data] = build
        return build
