"""What a round says while it runs, and what a failed one leaves behind."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faults.plan import Fault, Site


class Journal:
    """Lines with their time since the round began, in a file of the round's folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "journal.log"
        self._began_s = time.monotonic()

    def say(self, line: str) -> None:
        with self._file.open("a") as journal:
            journal.write(f"{time.monotonic() - self._began_s:7.2f} s  {line}\n")

    def end(self, lines: int = 60) -> str:
        """Its last lines."""
        return "\n".join(self._file.read_text().splitlines()[-lines:])


@dataclass
class RoundReport:
    """One round: what was done, and what the judge found."""

    number: int
    site: Site
    faults: Sequence[Fault]
    owed: int = 0
    evicted: int = 0
    expired: int = 0
    excused_and_lost: int = 0
    quarantined: int = 0
    resent: int = 0
    took_s: float = 0.0
    quiet_s: float = 0.0
    ended_by_themselves: list[str] = field(default_factory=list)
    why: str = ""
    journal_end: str = ""

    def line(self) -> str:
        verdict = "FAILED" if self.why else "held"
        ended = f", {len(self.ended_by_themselves)} ended by themselves" if self.ended_by_themselves else ""
        gone = f"{self.evicted} evicted, {self.expired} expired, {self.quarantined} quarantined"
        times = f"quiet after {self.quiet_s:.0f} s, {self.took_s:.0f} s in all"
        return (
            f"round {self.number}: {verdict}, {len(self.faults)} faults, {self.owed} records owed, {gone}, "
            f"{self.resent} resent, {times}{ended} ({self.site})"
        )


def command(seed: str, number: int) -> str:
    """Runs one round once more."""
    return f"make faults SEED={seed} ROUND={number}"


def how_to_repeat(seed: str, done: "RoundReport", drawn_from: str) -> str:
    """All that a round which failed somewhere else needs to be run, and understood, here."""
    faults = "\n".join(f"  {fault}" for fault in done.faults)
    return (
        f"{done.line()}\n{done.why}\n"
        f"The site was drawn from {drawn_from}; where that is there, this runs the round again:\n"
        f"  {command(seed, done.number)}\n"
        f"Its faults:\n{faults}\n"
        f"The end of its journal:\n{done.journal_end}"
    )


def write_schedule(folder: Path, seed: str, number: int, site: Site, faults: Sequence[Fault], drawn_from: str) -> None:
    """The whole plan of a round, beside its logs."""
    told = {"seed": seed, "round": number, "drawn_from": drawn_from, "site": asdict(site),
            "faults": [asdict(fault) for fault in faults]}  # fmt: skip
    (folder / "schedule.json").write_text(json.dumps(told, indent=1))


def leave(folder: Path, report: RoundReport, seed: str) -> str:
    """Keeps a failed round's folder and says where it is; removes that of one that held."""
    if not report.why:
        shutil.rmtree(folder)
        return ""
    (folder / "why.txt").write_text(f"{report.line()}\n\n{report.why}\n\nAgain: {command(seed, report.number)}\n")
    first = report.why.strip().splitlines()[0]
    return f"{first}\n  logs, spools, stores and schedule: {folder}\n  again: {command(seed, report.number)}"


def sum_up(reports: Sequence[RoundReport]) -> list[str]:
    """The figures of all rounds together."""
    kinds = Counter(fault.kind for report in reports for fault in report.faults)
    ended = Counter(line for report in reports for line in report.ended_by_themselves)
    failed = [str(report.number) for report in reports if report.why]
    totals = {
        "records owed": sum(one.owed for one in reports),
        "evicted and declared": sum(one.evicted for one in reports),
        "expired": sum(one.expired for one in reports),
        "quarantined": sum(one.quarantined for one in reports),
        "resent and dropped": sum(one.resent for one in reports),
        "lost with a spool that was taken away": sum(one.excused_and_lost for one in reports),
    }
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    lines = [
        f"{len(reports)} rounds, {sum(kinds.values())} faults: {counted}",
        ", ".join(f"{count} {what}" for what, count in totals.items()),
        f"longest time to quiet: {max((r.quiet_s for r in reports), default=0):.0f} s",
    ]
    if ended:
        lines.append("ended by themselves: " + ", ".join(f"{n} × {line}" for line, n in ended.most_common()))
    return [*lines, f"FAILED rounds: {', '.join(failed)}" if failed else "all held"]
