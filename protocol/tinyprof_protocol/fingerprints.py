"""Fingerprints: short words by which two roles tell whether they speak of the same build, prompts or terms.

Each is 16 hexadecimal digits of a hash (BLAKE2b) over values as MessagePack. A key that is added to a struct counts
only where it has another value than its default, so that fingerprints stay the same from version to version.
"""

from collections.abc import Sequence
from hashlib import blake2b

from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Build

FINGERPRINT_DIGITS = 16


def fingerprint(values: object) -> str:
    """The fingerprint of anything that can be packed."""
    return blake2b(pack(values), digest_size=FINGERPRINT_DIGITS // 2).hexdigest()


def build_fingerprint(build: Build) -> str:
    """The fingerprint of what runs on a board: its platform, engine, firmware and model with their hashes."""
    return fingerprint(build)


def prompts_fingerprint(prompts: Sequence[str]) -> str:
    """The fingerprint of prompts in their order."""
    return fingerprint(list(prompts))


def clock_mode(tick_hz: int, governor: str | None) -> str:
    """How a board's clock runs: the rate that times its runs, and the governor of its processor where there is one."""
    return f"{tick_hz} {governor}"[:64] if governor else str(tick_hz)
