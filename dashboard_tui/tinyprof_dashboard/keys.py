"""Every key, once: the screens bind it, the footer and the help show it, and the document is compared with it."""

from dataclasses import dataclass
from typing import Final, Literal

from textual.binding import Binding, BindingType

Scope = Literal["everywhere", "fleet", "filter", "board", "pipeline", "jobs", "table"]


@dataclass(frozen=True, slots=True)
class Key:
    """A key (or several, by commas) in a scope. `label` is for the footer, empty to leave it out there."""

    scope: Scope
    keys: str
    shown: str
    action: str
    meaning: str
    label: str = ""
    priority: bool = False


KEYS: Final[tuple[Key, ...]] = (
    Key("everywhere", "q", "q", "quit", "leave", "quit"),
    Key("everywhere", "question_mark", "?", "help", "show these keys", "help"),
    Key("everywhere", "ctrl+c", "Ctrl-C", "quit", "leave, whatever is open", priority=True),
    Key("fleet", "enter", "Enter", "open", "open the board under the cursor", "open"),
    Key("fleet", "slash", "/", "filter", "filter (see the filter's language)", "filter"),
    Key("fleet", "f", "f", "faults", "only boards that are not healthy, or all again", "faults"),
    Key(
        "fleet", "1,2,3,4,5", "1 to 5", "state", "only healthy, warning, critical, stale or offline boards; again: all"
    ),
    Key("fleet", "0", "0", "every_state", "boards in every state"),
    Key("fleet", "left,h", "←", "sort(-1)", "sort by the column to the left"),
    Key("fleet", "right,l", "→", "sort(1)", "sort by the column to the right", "sort"),
    Key("fleet", "r", "r", "reverse", "turn the order round"),
    Key("fleet", "space", "Space", "freeze", "freeze the table, the header lives on; again: go on", "freeze"),
    Key("fleet", "escape", "Esc", "reset", "drop the filter, then the states chosen, then the freeze", "clear"),
    Key("fleet", "p", "p", "pipeline", "the pipeline: where every record is, and where the flow is stuck", "pipeline"),
    Key("fleet", "J", "J", "jobs", "the jobs: runs that clients have asked for, and the cache", "jobs"),
    Key("filter", "enter,down", "Enter", "keep", "keep the filter and go back to the table", "keep", priority=True),
    Key("filter", "escape", "Esc", "drop", "drop the filter", "drop", priority=True),
    Key("board", "escape,backspace", "Esc", "back", "back to the fleet", "back"),
    Key("board", "m", "m", "metric(1)", "plot the next metric", "metric"),
    Key("board", "M", "M", "metric(-1)", "plot the metric before"),
    Key("board", "n", "n", "neighbour(1)", "the next board of the fleet's table", "next"),
    Key("board", "p", "p", "neighbour(-1)", "the board before", "previous"),
    Key("pipeline", "escape,backspace", "Esc", "back", "back to the fleet", "back"),
    Key("pipeline", "enter", "Enter", "boards", "the fleet's boards of the agent under the cursor", "boards"),
    Key("pipeline", "u", "u", "unsettled", "only epochs that are not as they should be, or all again", "unsettled"),
    Key("pipeline", "tab", "Tab", "other_table", "the keys go to the collectors, or back to the ledger", "other table"),
    Key("pipeline", "left,h", "←", "sort(-1)", "sort the ledger by the column to the left"),
    Key("pipeline", "right,l", "→", "sort(1)", "sort the ledger by the column to the right", "sort"),
    Key("pipeline", "r", "r", "reverse", "turn the ledger's order round", "reverse"),
    Key("jobs", "escape,backspace", "Esc", "back", "back to the fleet", "back"),
    Key("jobs", "enter", "Enter", "board", "the board of the job under the cursor", "board"),
    Key("jobs", "u", "u", "open_only", "only jobs that are open, or all again", "open only"),
    Key("table", "up,k", "↑ k", "move(-1)", "one line up"),
    Key("table", "down,j", "↓ j", "move(1)", "one line down"),
    Key("table", "pageup,ctrl+b", "PgUp", "page(-1)", "one page up"),
    Key("table", "pagedown,ctrl+f", "PgDn", "page(1)", "one page down"),
    Key("table", "home,g", "Home g", "edge(-1)", "the first row"),
    Key("table", "end,G", "End G", "edge(1)", "the last row"),
)
SCOPES: Final[dict[Scope, str]] = {
    "everywhere": "Everywhere",
    "fleet": "The fleet",
    "filter": "While filtering",
    "board": "A board",
    "pipeline": "The pipeline",
    "jobs": "The jobs",
    "table": "Any table",
}


def bindings_of(scope: Scope) -> list[BindingType]:
    """The bindings of a scope."""
    found: list[BindingType] = []
    for key in KEYS:
        if key.scope != scope:
            continue
        if key.action == "state":
            found += [Binding(digit, f"state({digit})", key.label, show=False) for digit in key.keys.split(",")]
            continue
        found.append(
            Binding(
                key.keys,
                key.action,
                key.label or key.meaning,
                show=bool(key.label),
                key_display=key.shown,
                priority=key.priority,
            )
        )
    return found
