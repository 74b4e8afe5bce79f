"""Carries a fault out: how each kind begins, and how it ends."""

import random
import shutil
import time
from contextlib import suppress
from pathlib import Path

from faults.faulty_site import ALL, SHARES, FaultySite
from faults.plan import COLLECTORS, Fault
from faults.proxy import Weather
from influxd import TOKEN

FILLER = "filler"
MIB = 1 << 20
SHORT_RETENTION_S = 3600
LATE_S = 0.7


def begin(site: FaultySite, fault: Fault) -> None:
    """What happens at the fault's time."""
    kind, target = fault.kind, fault.target
    if kind in ("kill", "store away"):
        site.parties[target].kill()
        if not fault.hold_ms:
            site.parties[target].start()
    elif kind == "freeze":
        site.parties[target].freeze()
    elif kind == "die after store":
        site.parties[target].kill()
        site.dying.start("--die-at", str(fault.amount), environment=site.environment_of(target))
    elif kind == "reset":
        site.links[target].reset()
    elif kind in ("cut", "delay", "throttle", "split", "tear", "stall"):
        site.links[target].set_weather(Weather(kind, fault.amount))
    elif kind == "put back spool":
        site.parties[target].kill()
        shutil.copytree(site.folder / target, _kept(site, target))
        site.parties[target].start()
    elif kind == "step clock":
        site.set_clock(target, fault.amount)
    elif kind == "fill disk":
        _fill(site.folder / target / FILLER)
    elif kind == "wrong token":
        site.token.write_text("wrong-secret\n")
    elif kind == "shorten retention":
        site.set_retention(SHORT_RETENTION_S)
    else:
        acts = {"hand over": _take_over, "echo": _send, "poison": _send, "fill database": _fill_database}
        acts[kind](site, fault)


def end(site: FaultySite, fault: Fault) -> None:
    """What happens when the fault's time is over."""
    kind, target = fault.kind, fault.target
    if kind in ("kill", "store away"):
        site.parties[target].start()
    elif kind == "freeze":
        site.parties[target].thaw()
    elif kind == "die after store":
        ended = site.dying.process is not None and site.dying.process.poll()
        site.say(f"dying collector: {'died between store and state' if ended == -9 else f'killed idle ({ended})'}")
        site.dying.kill()
        site.parties[target].start()
    elif kind in ("cut", "delay", "throttle", "split", "tear", "stall"):
        site.links[target].set_weather(Weather())
    elif kind == "put back spool":
        _put_back(site, target)
    elif kind == "fill disk":
        (site.folder / target / FILLER).unlink(missing_ok=True)
    elif kind == "wrong token":
        site.token.write_text(TOKEN + "\n")
    elif kind == "shorten retention":
        site.set_retention(0)
    elif kind == "fill database":
        # 2.7 takes nothing more until it is started anew; then it has what it wrote before, and nothing that it showed.
        site.parties[target].kill()
        site.parties[target].start()
    elif kind == "hand over":
        _give_back(site, target)


def _take_over(site: FaultySite, fault: Fault) -> None:
    """The target is killed, or only frozen, and the other collector is started again with all partitions."""
    gone = site.parties[fault.target]
    if fault.amount % 2:
        gone.freeze()
    else:
        gone.kill()
    _serve(site, _other(fault.target), ALL)


def _give_back(site: FaultySite, target: str) -> None:
    """Who was frozen wakes late, and has a while for what it had in hand; then each has its own share again."""
    if site.parties[target].running():
        site.parties[target].thaw()
        time.sleep(LATE_S)
    _serve(site, target, SHARES[target])
    _serve(site, _other(target), SHARES[_other(target)])


def _serve(site: FaultySite, collector: str, partitions: str) -> None:
    site.shares[collector] = partitions
    site.parties[collector].kill()
    site.parties[collector].start()


def _other(collector: str) -> str:
    return next(name for name in COLLECTORS if name != collector)


def _send(site: FaultySite, fault: Fault) -> None:
    """What others in the network send."""
    chance = random.Random(fault.amount)
    if fault.kind == "echo":
        site.say(f"{site.echo.send_again(chance)} messages are sent again")
    else:
        site.stranger.send_poison(chance)


def _kept(site: FaultySite, agent: str) -> Path:
    return site.folder / f"{agent} as it was"


def _put_back(site: FaultySite, agent: str) -> None:
    """The agent's folder is as it was when the fault began; what only the newer spool held is excused."""
    party, kept, place = site.parties[agent], _kept(site, agent), site.folder / agent
    party.kill()
    only_there = site.spooled(place)
    for file in place.iterdir():
        file.unlink() if file.is_file() else shutil.rmtree(file)
    shutil.copytree(kept, place, dirs_exist_ok=True)
    lost = only_there - site.spooled(kept)
    site.excused |= lost
    site.say(f"the spool of {agent} is put back; {len(lost)} records were only in the newer one")
    shutil.rmtree(kept)
    party.start()


def _fill_database(site: FaultySite, fault: Fault) -> None:
    """It takes nothing, and shows what it did not take all the same."""
    site.influxd.fail_writes()


def _fill(file: Path) -> None:
    """Writes until nothing more fits."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while filler.write(bytes(MIB)) == MIB:
            pass
    with suppress(OSError), file.open("ab", buffering=0) as filler:
        while filler.write(bytes(512)):
            pass
