"""The pipeline's tables in whole sentences: what lies under the cursor, and the sums above the ledger."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from tinyprof_dashboard import numerals
from tinyprof_dashboard.availability import SECOND_NS
from tinyprof_dashboard.columns import Moment
from tinyprof_dashboard.palette import Role, ink
from tinyprof_dashboard.pipeline.columns import SUMMED, epoch_text, lag_text, trouble
from tinyprof_dashboard.pipeline.lines import CollectorLine, LedgerLine, Sums, partitions_text
from tinyprof_dashboard.pipeline.stages import Verdict
from tinyprof_dashboard.snapshot import Snapshot
from tinyprof_protocol.counts_text import noun
from tinyprof_protocol.requests import LEDGER_CLASSES

CLASS_WORDS: Final[dict[str, tuple[str, Role]]] = {
    "stored": ("stored", "healthy"),
    "quarantined": ("quarantined", "warning"),
    "expired": ("expired", "text"),
    "discarded": ("discarded", "warning"),
    "evicted": ("evicted", "warning"),
    "in_spool": ("in spool", "accent"),
    "stored_on_word": ("on word", "text"),
    "missing": ("missing", "critical"),
}
OLD_S: Final = 15.0
_CONSOLE: Final = Console()
"""Only asked how to break lines."""
COUNTERS: Final = (
    ("batches", "batch", True), ("records", "record", True), ("sacks", "acknowledgement", True),
    ("holds", "hold", True), ("held", "held by the store already", False), ("recalled", "recalled", False),
    ("on_word", "on word", False), ("failures", "failure", True),
)  # fmt: skip
"""What each counts, and whether that is a thing."""


def _classes(counts: dict[str, int], *, zeros: bool) -> list[Text]:
    told = []
    for name, (word, role) in CLASS_WORDS.items():
        if counts[name] or zeros:
            quiet: Role = "dim" if counts[name] else "faint"
            told.append(pair(numerals.count(counts[name]), word, role if counts[name] else "faint", quiet))
    return told


def pair(strong: str, plain: str, role: Role, quiet: Role = "dim") -> Text:
    """A figure and its word."""
    return Text(f"{strong} ", ink(role)).append(plain, ink(quiet))


def flow(pieces: Sequence[Text], width: int, gap: int = 3) -> list[Text]:
    """Pieces side by side on as few lines as they need; one is never torn apart."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + gap + piece.cell_len <= width:
            lines[-1].append(" " * gap).append_text(piece)
        else:
            lines.append(piece.copy())
    return lines


def sums_line(found: Sums, shown: int, total: int, snapshot: Snapshot) -> Text:
    """The ledger's sums, in the classes that hold any; at the end how old they are, or what keeps them from coming."""
    pieces = [Text("ledger", ink("strong")), Text(f"{numerals.count(found.head)} made", ink("text"))]
    classes = _classes(found.classes, zeros=False)
    if classes:
        pieces[-1].append(" = ", ink("faint")).append_text(classes[0])
    pieces += classes[1:]
    if shown != total:
        pieces.append(Text(f"{shown} of {numerals.some(total, 'line')}", ink("accent")))
    if found.told_s is not None and found.told_s >= OLD_S:
        pieces.append(Text(f"as of {numerals.age(found.told_s)} ago", ink("warning")))
    for name, part in snapshot.ledgers.items():
        if part.error:
            pieces.append(Text(f"{name}: {numerals.printable(part.error)}", ink("critical")))
        elif part.reply is not None:
            pieces += [
                Text(f"{name}: {line}", ink("warning")) for line in part.reply.problems if line.startswith("only ")
            ]
    text = Text("   ", no_wrap=True, overflow="ellipsis").join(pieces)
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def verdict_lines(found: Verdict, width: int, height: int) -> list[Text]:
    """The verdict in at most `height` lines, the loss on the last of them."""
    text = Text()
    if found.stage is not None:
        text.append(f"stuck at the {found.stage}: ", ink(found.level))
    text.append(found.text, ink("text" if found.stage is not None else found.level))
    room = height - (1 if found.loss else 0)
    lines = wrapped(text, width, room)
    return [*lines, *wrapped(pair("missing:", found.loss, "critical", "text"), width, 1)] if found.loss else lines


def wrapped(text: Text, width: int, height: int) -> list[Text]:
    """The first lines of a text; where there are more, the last that is shown ends with an ellipsis."""
    lines = list(text.wrap(_CONSOLE, max(1, width)))
    if len(lines) > height:
        lines = lines[:height]
        lines[-1].append(" …")
        lines[-1].truncate(width, overflow="ellipsis")
    return lines


def epoch_words(line: LedgerLine, moment: Moment, width: int) -> list[Text]:
    """All of an epoch: each class, the cause or the agent's own words, ages and waits."""
    row, delivery = line.row, line.delivery
    which = (
        f"{epoch_text(line)} {noun(row.epochs, 'epoch')}"
        if row is not None and row.epoch == SUMMED
        else f"epoch {epoch_text(line)}"
    )
    head = Text(line.node, ink("strong")).append(f"  {which}", ink("dim"))
    if row is None:
        pieces = [head, Text("no collector tells of its records: this is its own word", ink("stale"))]
    else:
        classes = _classes({name: getattr(row, name) for name in LEDGER_CLASSES}, zeros=True)
        made = Text(f"{numerals.count(row.head)} made = ", ink("text")).append_text(classes[0])
        pieces = [head, made, *classes[1:]]
    lines = flow(pieces, width)
    if row is not None and row.cause:
        cause = Text(numerals.printable(row.cause), ink("critical" if row.missing else "warning"))
        lines += wrapped(cause, width, 2)
    lines += flow([pair(value, what, "text") for what, value in _waits(line, moment)], width)
    if line.status is not None and line.status.messages:
        lines += wrapped(Text(numerals.printable(line.status.messages[0]), ink("warning")), width, 1)
    elif delivery is not None and not delivery.online and line.in_spool:
        lines.append(Text("what is in its spool stays there until it is back", ink("dim")))
    return lines


def _waits(line: LedgerLine, moment: Moment) -> list[tuple[str, str]]:
    told = [("oldest in spool", numerals.age(line.oldest_s))] if line.in_spool else []
    if line.delivery is not None and (line.row is None or not line.row.forgotten):
        lag_ms = line.delivery.sack_lag_ms
        told.append(("to acknowledge", lag_text(None if lag_ms is None else lag_ms / 1000)))
        if line.delivery.waiting_s is not None:
            told.append(("a batch has waited", lag_text(line.delivery.waiting_s)))
        if line.delivery.deferred:
            told.append((f"{noun(line.delivery.deferred, 'batch')} deferred", numerals.count(line.delivery.deferred)))
    if line.row is not None and line.row.resent:
        told.append(("resent", numerals.count(line.row.resent)))
    status = line.status
    if status is not None and status.spool_cap_bytes:
        told.append(("of its spool full", f"{status.spool_bytes / status.spool_cap_bytes:.0%}"))
    heard = moment.snapshot.agents.get(line.node)
    if heard is not None:
        told.append(("since its word", numerals.age((moment.now_ns - heard.heard_ns) / SECOND_NS)))
    return told


def collector_words(line: CollectorLine, moment: Moment, width: int) -> list[Text]:
    """All of a collector: its partitions, what it counts, and what is wrong."""
    status = line.heard.status
    head = Text(line.key, ink("strong")).append(f"  partitions {partitions_text(status.partitions)}", ink("dim"))
    since = numerals.age((moment.now_ns - line.heard.heard_ns) / SECOND_NS)
    counted = [
        pair(numerals.count(status.counters[name]), noun(status.counters[name], word) if is_thing else word, "text")
        for name, word, is_thing in COUNTERS
        if name in status.counters
    ]
    lines = flow([head, pair(since, "since its word", "text"), *counted], width)
    wrong = trouble(line)
    role: Role = "critical" if line.health == "critical" else "warning"
    told = Text(numerals.printable(wrong) or "nothing is wrong with it", ink(role if wrong else "dim"))
    return lines + wrapped(told, width, 3)
