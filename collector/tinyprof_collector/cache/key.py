"""What makes two requests equal: the same build, clock mode, suite, prompts and parameters. Pure.

A key is of what runs and not of where: boards of one part and one build share it. A platform that names no part, such
as `host`, may be any: there the node is in the key. A request is keyed by what its board runs *now*, a result by
what it ran on, so that a new firmware or model leaves the old results behind.
"""

from collections.abc import Iterable
from hashlib import blake2b

from msgspec import Struct

from tinyprof_platforms.catalogue import names_a_part
from tinyprof_protocol.bounds import Count, Word
from tinyprof_protocol.codec import pack
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode, prompts_fingerprint
from tinyprof_protocol.jobs import Job
from tinyprof_protocol.presence import BoardPresence, SuiteOffered
from tinyprof_protocol.records import Result

KEY_BYTES = 16


class Terms(Struct, frozen=True):
    """What a key is made of; see `SuiteOffered` and `BoardPresence` for the words."""

    node: str
    """Empty where the platform says enough: it is a part that is known, or an emulator counts."""
    build: Word
    """Over platform, firmware, engine, model, quantisation, KV cache, activations, context and timing."""
    clock_mode: Word
    suite: Word
    suite_terms: Word
    prompts: Word
    max_tokens: Count
    repetitions: Count
    """0 on an emulated board, whose counts are the same each time."""


def key_of(terms: Terms) -> bytes:
    """The key of some terms: 16 bytes."""
    return blake2b(pack(terms), digest_size=KEY_BYTES).digest()


def key_of_job(job: Job, board: BoardPresence | None, suites: Iterable[SuiteOffered]) -> bytes | None:
    """The key of a job for a board as its agent describes it now, with the suites that the agent offers.

    None where it has none: the agent cannot vouch for the board's build, or offers no suite of that name.
    """
    offered = next((suite for suite in suites if suite.name == job.suite), None)
    if board is None or not board.build or offered is None:
        return None
    repetitions = offered.min_repetitions if job.repetitions is None else job.repetitions
    return key_of(
        Terms(
            node=_node_that_counts(job.node, board.platform, emulated=board.emulated),
            build=board.build,
            clock_mode=board.clock_mode,
            suite=job.suite,
            suite_terms=offered.terms,
            prompts=prompts_fingerprint(job.prompts) if job.prompts else offered.prompts,
            max_tokens=offered.max_tokens if job.max_tokens is None else job.max_tokens,
            repetitions=0 if board.emulated else repetitions,
        )
    )


def key_of_result(node: str, result: Result) -> bytes | None:
    """The key of what a result of a node answers; None where its agent did not tell the terms of its suite."""
    if not result.suite_terms:
        return None
    build = result.build
    return key_of(
        Terms(
            node=_node_that_counts(node, build.platform, emulated=build.emulated),
            build=build_fingerprint(build),
            clock_mode=clock_mode(result.clock.tick_hz, result.conditions.governor),
            suite=result.suite,
            suite_terms=result.suite_terms,
            prompts=prompts_fingerprint(result.prompts),
            max_tokens=result.max_tokens,
            repetitions=0 if build.emulated else result.min_repetitions,
        )
    )


class KnownKeys:
    """As `key_of_result`, quicker for results that are asked for one after the other and have the same key."""

    def __init__(self) -> None:
        self._node = ""
        self._last: Result | None = None
        self._key: bytes | None = None

    def of(self, node: str, result: Result) -> bytes | None:
        """The key of a result."""
        last = self._last
        if last is None or node != self._node or not _same_terms(last, result):
            self._node, self._last, self._key = node, result, key_of_result(node, result)
        return self._key


def _same_terms(one: Result, other: Result) -> bool:
    return (
        one.suite == other.suite
        and one.suite_terms == other.suite_terms
        and one.max_tokens == other.max_tokens
        and one.min_repetitions == other.min_repetitions
        and one.prompts == other.prompts
        and one.clock.tick_hz == other.clock.tick_hz
        and one.conditions.governor == other.conditions.governor
        and one.build == other.build
    )


def _node_that_counts(node: str, platform: str, *, emulated: bool) -> str:
    return "" if emulated or names_a_part(platform) else node
