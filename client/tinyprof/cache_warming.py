"""Warms the cache: one run of a suite on one board of each kind, where none is known yet."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from tinyprof.board_names import BoardRef
from tinyprof.fleet import Fleet
from tinyprof.fleet_errors import FleetError
from tinyprof_platforms.catalogue import names_a_part
from tinyprof_protocol.jobs import CachedFrom, ProfileReply, Progress
from tinyprof_protocol.presence import BoardSummary, Health
from tinyprof_protocol.records import Verdict
from tinyprof_protocol.request_reply import RequestFailed

MAX_AT_ONCE = 16
LIST_PAGE = 500
MAX_PAGES = 200
_RANK: dict[Health, int] = {"healthy": 0, "warning": 1, "critical": 2, "stale": 3, "offline": 4}

Outcome = Literal["known", "ran", "failed", "skipped"]
Kind = tuple[str, str, str, str]
OnProgress = Callable[[BoardRef, str], None]


@dataclass(frozen=True, slots=True)
class Warmed:
    """What became of a board: a run was `known`, it `ran`, it `failed`, or it was `skipped`, with the reason."""

    board: BoardRef
    outcome: Outcome
    message: str = ""
    verdict: Verdict | None = None
    cached: CachedFrom | None = None
    time_ns: int | None = None
    kept: bool | None = None
    """Whether the cache holds the run that was made; None where none was."""


def kind_of(board: BoardSummary) -> Kind:
    """Boards of one kind share what is cached; of a platform that may be any machine, those of one node."""
    shared = board.emulated or names_a_part(board.platform)
    return board.platform, board.model, board.quantisation, "" if shared else board.node


def choose(boards: Iterable[BoardSummary]) -> tuple[list[BoardRef], list[Warmed]]:
    """One board of each kind, the healthiest; and those whose kind is not known, or has no board that can run."""
    best: dict[Kind, BoardSummary] = {}
    left_out: list[Warmed] = []
    for board in boards:
        ref = BoardRef(board.node, board.board)
        if not board.platform or not board.model:
            left_out.append(Warmed(ref, "skipped", "it has not been opened yet: what runs on it is not known"))
            continue
        kind = kind_of(board)
        if kind not in best or _merit(board) < _merit(best[kind]):
            best[kind] = board
    chosen = []
    for board in best.values():
        ref = BoardRef(board.node, board.board)
        if board.health in ("stale", "offline") or board.state == "disabled":
            why = "disabled" if board.state == "disabled" else board.health
            left_out.append(Warmed(ref, "skipped", f"no board of its kind can run: it is {why}"))
        else:
            chosen.append(ref)
    return sorted(chosen), sorted(left_out, key=lambda one: one.board)


def _merit(board: BoardSummary) -> tuple[bool, int, str, str]:
    return board.state == "disabled", _RANK[board.health], board.node, board.board


def warm(
    fleet: Fleet,
    boards: Sequence[BoardRef],
    suite: str,
    *,
    at_once: int,
    within_s: float,
    on_progress: OnProgress,
    on_end: Callable[[Warmed], None],
) -> list[Warmed]:
    """Asks for a run on each board, at most `at_once` at a time, through the cache; one for each board, in order.

    `on_progress` and `on_end` are told from other threads. An interrupt cancels what is under way and is raised.
    """
    cancelled = threading.Event()

    def one(ref: BoardRef) -> Warmed:
        found = _one(fleet, ref, suite, within_s, on_progress, cancelled)
        on_end(found)
        return found

    with ThreadPoolExecutor(min(at_once, MAX_AT_ONCE), thread_name_prefix="warm") as pool:
        try:
            found = list(pool.map(one, boards))
        except BaseException:
            cancelled.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return _with_kept(fleet, found)


def _one(
    fleet: Fleet, ref: BoardRef, suite: str, within_s: float, on_progress: OnProgress, cancelled: threading.Event
) -> Warmed:
    def updated(reply: ProfileReply) -> None:
        on_progress(ref, f"{reply.state} {reply.message}".strip())

    def progressed(step: Progress) -> None:
        of = f" {step.repetition} of {step.repetitions}" if 0 < step.repetition <= step.repetitions else ""
        on_progress(ref, f"{step.stage}{of}")

    try:
        reply = fleet.profile(
            str(ref), suite=suite, within_s=within_s, on_update=updated, on_progress=progressed, cancelled=cancelled
        )
    except (FleetError, RequestFailed) as why:
        return Warmed(ref, "failed", str(why))
    return outcome_of(ref, reply)


def outcome_of(ref: BoardRef, reply: ProfileReply) -> Warmed:
    """What a final reply means."""
    if reply.cached is not None:
        return Warmed(ref, "known", verdict=reply.cached.verdict, cached=reply.cached)
    body = reply.result.body if reply.result is not None else None
    verdict = getattr(body, "verdict", None)
    if reply.state != "finished" or reply.result is None or verdict is None:
        return Warmed(ref, "failed", f"the run was {reply.state}{f': {reply.message}' if reply.message else ''}")
    if verdict == "invalid":
        reasons = "; ".join(getattr(body, "reasons", []))
        return Warmed(ref, "failed", f"the run was invalid: {reasons}", verdict)
    return Warmed(ref, "ran", verdict=verdict, time_ns=reply.result.time_ns)


def _with_kept(fleet: Fleet, found: list[Warmed]) -> list[Warmed]:
    """Asks the caches which of the runs they hold: what is unstable enters only where that is accepted."""
    if not any(one.outcome == "ran" for one in found):
        return found
    held: set[tuple[str, int]] = set()
    for page in range(MAX_PAGES):
        replies = fleet.cache("list", offset=page * LIST_PAGE, limit=LIST_PAGE).collectors.values()
        held |= {(item.cached.node, item.cached.time_ns) for reply in replies for item in reply.items}
        if not any(reply.items for reply in replies):
            break
    return [replace(one, kept=(one.board.node, one.time_ns) in held) if one.outcome == "ran" else one for one in found]
