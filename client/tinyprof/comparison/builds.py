"""Whether runs may be compared at all, and what differs between those that may. Pure.

Firmware, engine and model are what one compares. How the time is taken, what is asked for and how the engine computes
must be the same: figures that differ in those are of different things.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from tinyprof.terminal import one_line
from tinyprof_protocol.records import Result

_MUST_AGREE: Final[tuple[tuple[str, Callable[[Result], object]], ...]] = (
    ("platform", lambda result: result.build.platform),
    ("emulated", lambda result: result.build.emulated),
    ("stands for", lambda result: result.build.stands_for or "nothing"),
    ("timing", lambda result: result.build.timing),
    ("streamed", lambda result: result.build.streamed),
    ("KV cache", lambda result: result.build.kv_cache),
    ("context", lambda result: result.build.ctx),
    ("activations", lambda result: result.build.activations),
    ("prompts", lambda result: tuple(result.prompts)),
    ("tokens", lambda result: result.max_tokens),
)
LONGEST: Final = 60
T = TypeVar("T")


def _clock(result: Result) -> str:
    """What the speed of a processor follows from: how its governor sets its clock, and the most that it may be."""
    most = result.conditions.cpu_clock_max_hz
    words = (result.conditions.governor or "", f"{most / 1e6:.0f} MHz" if most else "")
    return " ".join(word for word in words if word) or "not known"


_MAY_DIFFER: Final[tuple[tuple[str, Callable[[Result], str]], ...]] = (
    ("firmware", lambda result: f"{result.build.firmware} {result.build.firmware_build}".strip()),
    ("engine", lambda result: f"{result.build.engine} {result.build.engine_build}".strip()),
    ("model", lambda result: f"{result.build.model} {result.build.model_sha256[:12]}"),
    ("quantisation", lambda result: result.build.quantisation),
    ("suite", lambda result: result.suite),
    ("clock", _clock),
)


def why_not_comparable(old: Sequence[Result], new: Sequence[Result]) -> str:
    """Why these runs cannot be compared, in a line; empty where they can."""
    reasons = []
    for name, value in _MUST_AGREE:
        before, after = _each(value, old), _each(value, new)
        if before != after:
            reasons.append(f"{name}: {_listed(before)} and {_listed(after)}")
        elif len(before) > 1:
            reasons.append(f"{name}: {_listed(before)} in one file")
    return "; ".join(reasons)


def differences(old: Sequence[Result], new: Sequence[Result]) -> list[str]:
    """What of the builds differs between runs that can be compared, a line each."""
    lines = []
    for name, value in _MAY_DIFFER:
        before, after = _each(value, old), _each(value, new)
        if before != after:
            lines.append(f"{name}: {_listed(before)} -> {_listed(after)}")
    return lines


def _each(value: Callable[[Result], T], results: Sequence[Result]) -> list[T]:
    """The different values, in the order in which they come."""
    return list(dict.fromkeys(map(value, results)))


def _listed(values: Sequence[object]) -> str:
    return ", ".join(_short(value) for value in values) or "none"


def _short(value: object) -> str:
    if isinstance(value, tuple):
        value = f'{len(value)} of them from "{value[0] if value else ""}" on' if len(value) != 1 else f'"{value[0]}"'
    if isinstance(value, bool):
        value = "yes" if value else "no"
    text = one_line(str(value)) or "none"
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
