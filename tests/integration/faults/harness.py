"""Runs rounds: a site each, with its faults; waits for quiet; judges."""

import itertools
import random
import shutil
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faults import acts, report
from faults.faulty_site import FaultySite, disks_can_be_made
from faults.judging import judge
from faults.plan import BrokerKind, Fault, StoreNames, draw, draw_site, timeline
from faults.proxy import Weather
from faults.report import Journal, RoundReport
from influxd import BUILT

FAULTS_A_ROUND = 20
QUIET_PATIENCE_S = 150.0
TICK_S = 0.05


@dataclass(frozen=True)
class Means:
    """What there is to build sites from."""

    brokers: Sequence[BrokerKind]
    stores: Sequence[StoreNames]
    disks: bool
    several: Literal["no", "some", "all"] = "no"
    """Which sites have two collectors."""

    def __str__(self) -> str:
        stores = ", ".join("+".join(names) for names in self.stores)
        disks = "small disks" if self.disks else "no disks"
        several = "all (ARGS=--several)" if self.several == "all" else self.several
        return f"brokers [{'; '.join(self.brokers)}], stores [{stores}], {disks}, two collectors: {several}"

    def left_out(self) -> list[str]:
        """What a run here does without, in words."""
        lines = []
        if len(self.brokers) == 1:
            lines.append("mosquitto is not installed: only the embedded broker ('apt install mosquitto')")
        if len(self.stores) == 1:
            lines.append("there is no influxd: only the store sqlite ('make influxd' or TINYPROF_INFLUXD)")
        elif self.several == "no":
            lines.append("redis-server is not installed: no two collectors ('apt install redis-server')")
        if not self.disks:
            lines.append("file systems cannot be mounted here: no full disks (run as root)")
        return lines


def find_means(folder: Path, environment: dict[str, str]) -> Means:
    """Looks around on this machine."""
    mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    influxd = environment.get("TINYPROF_INFLUXD") or shutil.which("influxd") or BUILT.exists()
    return Means(
        ("embedded", "mosquitto", "mosquitto, 100 queued") if mosquitto else ("embedded",),
        (("sqlite",), ("influxdb",), ("sqlite", "influxdb")) if influxd else (("sqlite",),),
        disks_can_be_made(folder),
        "some" if influxd and shutil.which("redis-server") else "no",
    )


def run_round(seed: str, number: int, folder: Path, means: Means) -> RoundReport:
    """One site, its faults and its judgement. The folder is there and empty."""
    began_s = time.monotonic()
    drawn = draw_site(seed, number, means.brokers, means.stores, means.disks, means.several)
    faults = draw(seed, number, drawn, FAULTS_A_ROUND)
    journal = Journal(folder)
    journal.say(str(drawn))
    report.write_schedule(folder, seed, number, drawn, faults, str(means))
    done = RoundReport(number, drawn, faults)
    site = FaultySite(folder, drawn, random.Random(f"site {seed} {number}"), journal.say)
    try:
        site.start()
        go_through(site, faults)
        done.quiet_s = calm(site)
        judge(site, done)
        journal.say("judged: it held")
    except Exception:  # noqa: BLE001  (whatever went wrong, the round failed, and is to be understood)
        trace = traceback.format_exc()
        done.why = f"{trace.strip().splitlines()[-1][:500]}\n\n{trace}"
        journal.say(done.why)
    finally:
        done.ended_by_themselves = site.ended_by_themselves
        site.end()
        site.give_back_disks(folder if done.why else None)
        done.took_s = time.monotonic() - began_s
        done.journal_end = journal.end()
    return done


def go_through(site: FaultySite, faults: Sequence[Fault]) -> None:
    """Each fault at its time; what takes long lets those after it come late."""
    began_s = time.monotonic()
    for at_ms, begins, fault in timeline(faults):
        while time.monotonic() - began_s < at_ms / 1000:
            time.sleep(TICK_S)
            site.keep_up()
        site.say(f"{'begins' if begins else 'ends'}: {fault}")
        (acts.begin if begins else acts.end)(site, fault)


def calm(site: FaultySite) -> float:
    """Everything is well from now on and nothing more is produced; returns after how many seconds nothing is owed."""
    for link in site.links.values():
        link.set_weather(Weather())
    for party in site.parties.values():
        party.start()
    site.enough.touch()
    site.say("calm from here")
    began_s = time.monotonic()
    owes = dict.fromkeys(("one", "two", "stranger", "ledger"), True)
    while any(owes.values()):
        assert time.monotonic() - began_s < QUIET_PATIENCE_S, f"no quiet after {QUIET_PATIENCE_S:.0f} s: {owes}"
        time.sleep(0.2)
        site.keep_up()
        for name in ("one", "two"):
            owes[name] = not site.parties[name].running() or site.spool_holds(name) != 0
        owes["stranger"] = not site.stranger.send_what_is_owed()
        if not (owes["one"] or owes["two"] or owes["stranger"]):
            owes["ledger"] = not ledger_is_settled(site)
    return time.monotonic() - began_s


def ledger_is_settled(site: FaultySite) -> bool:
    """Whether the collectors answer, and say that no spool holds anything."""
    try:
        return all(row.in_spool == 0 for row in site.ledger().rows)
    except Exception as why:  # noqa: BLE001  (until there is quiet, no answer is one)
        site.say(f"no ledger yet: {why}")
        return False


def run(
    seed: str, minutes: float, side_by_side: int, means: Means, say: Callable[[str], None], folder: Path
) -> list[RoundReport]:
    """Rounds until the time is over, several at once; at least one."""
    until_s = time.monotonic() + minutes * 60
    numbers = itertools.count()
    lock = threading.Lock()
    interrupted = threading.Event()
    reports: list[RoundReport] = []

    def work() -> None:
        while not interrupted.is_set() and ((number := next(numbers)) == 0 or time.monotonic() < until_s):
            done, left = in_own_folder(seed, number, means, folder)
            with lock:
                reports.append(done)
                say(f"[{sum(len(one.faults) for one in reports)} faults] {done.line()}")
                if left:
                    say(left)

    with ThreadPoolExecutor(side_by_side, thread_name_prefix="rounds") as pool:
        workers = [pool.submit(work) for _ in range(side_by_side)]
        try:
            for worker in workers:
                worker.result()
        except KeyboardInterrupt:
            interrupted.set()
            say("interrupted: the rounds under way come to their end")
    return reports


def in_own_folder(seed: str, number: int, means: Means, folder: Path) -> tuple[RoundReport, str]:
    """Runs a round in a new folder, which stays if it fails; its report, and what to say of what it leaves."""
    place = Path(tempfile.mkdtemp(prefix=f"{seed}-{number}-", dir=folder))
    done = run_round(seed, number, place, means)
    return done, report.leave(place, done, seed)
