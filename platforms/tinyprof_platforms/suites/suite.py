"""What a suite asks of a run, its bounds, and what a job may put in the place of."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from tinyprof_protocol.bounds import Word
from tinyprof_protocol.fingerprints import fingerprint, prompts_fingerprint
from tinyprof_protocol.presence import SuiteOffered

MAX_PROMPT_BYTES = 8 * 1024
"""All prompts of a run together, in UTF-8: they travel in its record, which has a bound of its own."""
MAX_TOKENS = 4096
MAX_REPETITIONS = 1000
MAX_TIMED_S = 600.0
MAX_RUNS = 1000

MAX_PROMPT_CHARACTERS = 4096

CHANGED_BY_JOBS: Final = ("prompts", "max_tokens", "min_repetitions")
"""What a job may put something else in the place of."""
_OF_SEVERAL_RUNS: Final = ("runs",)
"""What no single run knows of."""

Prompt = Annotated[str, Meta(min_length=1, max_length=MAX_PROMPT_CHARACTERS)]


class SuiteError(ValueError):
    """A suite that cannot be used; the message names it and says why, in one line."""


class Suite(Struct, frozen=True, forbid_unknown_fields=True):
    """What one run asks for. Times in seconds; the comments in the files that ship say what each key means.

    `runs` is how many runs a benchmark makes with it, one after the other; a schedule repeats by itself.
    """

    prompts: Annotated[tuple[Prompt, ...], Meta(min_length=1, max_length=64)]
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS)]
    gate: Annotated[tuple[Prompt, ...], Meta(max_length=64)] = ()
    min_repetitions: Annotated[int, Meta(ge=1, le=MAX_REPETITIONS)] = 6
    min_timed_s: Annotated[float, Meta(ge=0, le=MAX_TIMED_S)] = 10.0
    max_timed_s: Annotated[float, Meta(gt=0, le=MAX_TIMED_S)] = 60.0
    warm_up: bool = True
    runs: Annotated[int, Meta(ge=1, le=MAX_RUNS)] = 1

    def __post_init__(self) -> None:
        if self.max_timed_s < self.min_timed_s:
            raise ValueError(f"max_timed_s: {self.max_timed_s:g} is below min_timed_s, {self.min_timed_s:g}")
        if len(set(self.prompts)) != len(self.prompts):
            raise ValueError("prompts: the same one stands twice among them")
        prompt_bytes = sum(len(prompt.encode()) for prompt in self.prompts)
        if prompt_bytes > MAX_PROMPT_BYTES:
            raise ValueError(f"prompts: they have {prompt_bytes} bytes together, over {MAX_PROMPT_BYTES}")


Suites = dict[Word, Suite]


def suite_terms(suite: Suite) -> str:
    """The fingerprint of all that a suite asks for and no job can change: its gate, its times, its warm-up."""
    asked = msgspec.to_builtins(suite)
    apart = {*CHANGED_BY_JOBS, *_OF_SEVERAL_RUNS}
    return fingerprint(sorted((key, value) for key, value in asked.items() if key not in apart))


def offered(name: str, suite: Suite) -> SuiteOffered:
    """A suite as an agent's status tells of it."""
    return SuiteOffered(
        name, prompts_fingerprint(suite.prompts), suite.max_tokens, suite.min_repetitions, suite_terms(suite)
    )


def adapt(
    suite: Suite,
    *,
    prompts: tuple[str, ...] = (),
    max_tokens: int | None = None,
    repetitions: int | None = None,
) -> Suite:
    """The suite with what a job asks for in its place; the gate stays. Raises SuiteError where a bound is broken."""
    for number, prompt in enumerate(prompts, 1):
        if not prompt:
            raise SuiteError(f"prompt {number} is empty")
        if len(prompt) > MAX_PROMPT_CHARACTERS:
            raise SuiteError(f"prompt {number} has {len(prompt)} characters, over {MAX_PROMPT_CHARACTERS}")
    wanted = {
        "prompts": prompts or suite.prompts,
        "max_tokens": suite.max_tokens if max_tokens is None else max_tokens,
        "min_repetitions": suite.min_repetitions if repetitions is None else repetitions,
    }
    try:
        return msgspec.convert(msgspec.to_builtins(suite) | wanted, Suite)
    except (msgspec.ValidationError, ValueError) as why:
        raise SuiteError(" ".join(str(why).split())[:300]) from None
