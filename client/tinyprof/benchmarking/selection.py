"""Which boards of a fleet a benchmark runs on, and with which suite. Pure."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyprof.board_names import BoardRef, resolve
from tinyprof_platforms.suites import Suite, SuiteError, find_suite, offered, suite_terms
from tinyprof_protocol.names import split_node
from tinyprof_protocol.presence import AgentStatus, BoardSummary

DEFAULT_SUITE = "standard"
EMULATED_SUITE = "emulated"


class NothingToRun(LookupError):
    """No board fits, or none of them can run the suite; one line that lists what there is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Boards by name, and what they must all be; what is empty asks for nothing."""

    boards: tuple[str, ...] = ()
    platform: str = ""
    label: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True)
class SuiteAsked:
    """A suite by its name. `suite` is None where only the agents know it; `own` is one from a file of the client's."""

    name: str
    suite: Suite | None = None
    own: bool = False


def choose(wanted: Wanted, known: Sequence[BoardSummary]) -> list[BoardSummary]:
    """The boards that are named, or all, and of those the ones that fit. Raises UnknownBoard and NothingToRun."""
    by_ref = {BoardRef(board.node, board.board): board for board in known}
    named = {resolve(name, by_ref): None for name in wanted.boards}
    chosen = [by_ref[ref] for ref in named] or [board for board in known if board.state != "disabled"]
    fitting = [board for board in chosen if _fits(wanted, board)]
    if not fitting:
        raise NothingToRun(_nothing(wanted, known))
    return (
        list({(board.node, board.board): board for board in fitting if board.state != "disabled"}.values()) or fitting
    )


def suite_for(asked: SuiteAsked | None, board: BoardSummary) -> SuiteAsked:
    """The suite of a board: the one that is asked for, else `standard`, or `emulated` for an emulated board."""
    if asked is not None:
        return asked
    return SuiteAsked(*find_suite(EMULATED_SUITE if board.emulated else DEFAULT_SUITE))


def why_not_offered(asked: SuiteAsked, agent: AgentStatus | None) -> str:
    """Why an agent cannot run a suite, in a line; empty where it can, or where nothing is known of it.

    A job carries prompts, tokens and repetitions; a file's gate and times must be those of the suite that the agent has
    by the same name.
    """
    if agent is None or agent.state == "offline" or not agent.offers:
        return ""
    if asked.name not in agent.offers:
        near = difflib.get_close_matches(asked.name, agent.offers, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it offers {', '.join(sorted(agent.offers))}"
        more = "; name the file in its suite_files" if asked.own else f"; {hint}"
        return f"agent {agent.node} offers no suite called {asked.name!r}{more}"
    theirs = next((suite for suite in agent.suites if suite.name == asked.name), None)
    if asked.own and asked.suite is not None and theirs is not None and theirs.terms != suite_terms(asked.suite):
        return f"the suite {asked.name!r} of agent {agent.node} has another gate or other times: give it the same file"
    return ""


def job_terms(asked: SuiteAsked, agent: AgentStatus | None) -> Mapping[str, object]:
    """What of a file's suite a job says beside its name: nothing where the agent has the very same."""
    suite = asked.suite
    if not asked.own or suite is None or (agent is not None and offered(asked.name, suite) in agent.suites):
        return {}
    return {"prompts": suite.prompts, "max_tokens": suite.max_tokens, "repetitions": suite.min_repetitions}


def parse_suite(text: str | None) -> SuiteAsked | None:
    """The suite of an option: a file of one's own, one that ships, or a name that agents may know.

    Raises SuiteError for a file of no use.
    """
    if text is None:
        return None
    try:
        name, suite = find_suite(text)
    except SuiteError:
        if text.endswith(".toml") or "/" in text:
            raise
        return SuiteAsked(text)
    return SuiteAsked(name, suite, own=name != text)


def _fits(wanted: Wanted, board: BoardSummary) -> bool:
    platforms = (board.platform, board.stands_for)
    return (
        (not wanted.platform or wanted.platform in platforms)
        and (not wanted.label or wanted.label in board.labels)
        and (not wanted.site or wanted.site == split_node(board.node)[0])
    )


def _nothing(wanted: Wanted, known: Sequence[BoardSummary]) -> str:
    if not known:
        return "no agent has announced any board yet: start one with 'tinyprof agent run'"
    for what, value, there in (
        ("platform", wanted.platform, {board.platform for board in known} | {b.stands_for or "" for b in known}),
        ("label", wanted.label, {label for board in known for label in board.labels}),
        ("site", wanted.site, {split_node(board.node)[0] for board in known}),
    ):
        if value and value not in there:
            listed = ", ".join(sorted(there - {""})) or "none"
            return f"no board has the {what} {value!r}; there are {listed}"
    return "no board fits all that is asked for: leave some of it out"
