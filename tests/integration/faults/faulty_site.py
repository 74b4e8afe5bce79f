"""A site that faults happen to: every connection through a proxy, every process watched, obligations written down."""

import itertools
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import conservation
from brokers import Mosquitto
from faults.echo import Echo
from faults.parties import LoggedBroker, Party
from faults.plan import AGENTS, Site, collectors_of
from faults.proxy import Proxy
from faults.stranger import Stranger
from influx_site import records_in
from influxd import ORG, TOKEN, Influxd
from redis_server import RedisServer
from roles import HERE, Role

from tinyprof_agent.spool.rows import seq_of
from tinyprof_collector.stores.influx.server import InfluxServer
from tinyprof_protocol.records import Record

RESTART_S = 1.0
WEEK_S = 604_800
AGENT_DISK_MIB, COLLECTOR_DISK_MIB = 16, 64
ALL = ",".join(map(str, range(16)))
SHARES = {"collector": "0,1,2,3,8,9,10,11", "second": "4,5,6,7,12,13,14,15"}
"""Each of two collectors has one of the agents."""
QUEUE_OF_100 = "max_queued_messages 100\nmax_inflight_messages 20\n"


@dataclass(frozen=True)
class _Address:
    """Where the collector, and who asks it, finds the broker."""

    url: str


class FaultySite(conservation.Site):
    """Two agents, one or two collectors, a broker and, where drawn, a database and a Redis."""

    def __init__(self, folder: Path, drawn: Site, chance: random.Random, say: Callable[[str], None]) -> None:
        self.folder, self.drawn, self.say = folder, drawn, say
        self.obligations = folder / "obligations"
        self.enough = folder / "enough"
        self.excused: set[tuple[str, int]] = set()
        """Epoch and seq of what only a spool held that was taken away: it may be lost."""
        self.ended_by_themselves: list[str] = []
        self.parties: dict[str, Party] = {}
        self.roles: list[Role] = []
        self.disks: list[Path] = []
        self._lives = itertools.count(1)
        self._running_broker = (
            LoggedBroker(folder / "broker.log")
            if drawn.broker == "embedded"
            else Mosquitto(folder, QUEUE_OF_100 if "100" in drawn.broker else "")
        )
        self.links = {
            name: Proxy(self._running_broker.port, random.Random(chance.random()))
            for name in (*AGENTS, *collectors_of(drawn))
        }
        self.broker = _Address(f"mqtt://127.0.0.1:{self.links['collector'].port}")  # type: ignore[assignment]
        self._add("broker", self._running_broker.start, lambda: self._running_broker.process)
        if "influxdb" in drawn.stores:
            self._add_database(random.Random(chance.random()))
        if drawn.collectors > 1:
            self._add_redis(random.Random(chance.random()))
        self.shares = dict(SHARES if drawn.collectors > 1 else {"collector": ALL})
        self.collectors = {name: self._add_collector(name) for name in collectors_of(drawn)}
        self.collector = self.collectors["collector"]
        self.dying = Role("dying", folder, [str(HERE / "dying_collector.py"), "--config", str(self.collector_config)])
        self.roles.append(self.dying)
        for name in AGENTS:
            self._add_agent(name)
        self.stranger = Stranger(self._running_broker.url, self.obligations)
        self.echo = Echo(self._running_broker.url)

    # ---- parties

    def _add(self, name: str, launch: Callable[[], object], process: Callable[[], object]) -> None:
        self.parties[name] = Party(name, launch, process)  # type: ignore[arg-type]

    def _add_database(self, chance: random.Random) -> None:
        place = self.folder / "influxd"
        place.mkdir()
        self.influxd = Influxd(place)
        self.links["database"] = Proxy(self.influxd.port, chance)
        self.database = InfluxServer(self.influxd.config())
        self.token = self.folder / "token"
        self.token.write_text(TOKEN + "\n")
        self._add("database", self.influxd.start, lambda: self.influxd.process)

    def _add_redis(self, chance: random.Random) -> None:
        place = self.folder / "redis"
        place.mkdir()
        self.redis = RedisServer(place)
        self.links["redis"] = Proxy(self.redis.port, chance)
        self._add("redis", self.redis.start, lambda: self.redis.process)

    def _add_collector(self, name: str) -> Role:
        self._own_disk(name, COLLECTOR_DISK_MIB)
        config = self.folder / f"{name}.toml"
        if name == "collector":
            self.collector_config = config
        use = ", ".join(f'"{store}"' for store in self.drawn.stores)
        toml = f'id = "{name}"\nbroker = "mqtt://127.0.0.1:{self.links[name].port}"\n'
        toml += f'state_dir = "{self.folder / name}"\nstatus_interval_s = 1.0\n[store]\nuse = [{use}]\n'
        if "influxdb" in self.drawn.stores:
            url = f"http://127.0.0.1:{self.links['database'].port}"
            toml += f'[store.influxdb]\nurl = "{url}"\norg = "{ORG}"\ntoken_file = "{self.token}"\n'
            toml += "max_wait_s = 0.05\ntimeout_s = 3.0\n"
        if "redis" in self.links:
            toml += f'[state]\nuse = "redis"\nurl = "redis://127.0.0.1:{self.links["redis"].port}"\ntimeout_s = 1.0\n'
        config.write_text(toml)
        role = Role(name, self.folder, ["-m", "tinyprof_collector", "--config", str(config)])
        self.roles.append(role)
        self._add(name, lambda: role.start(environment=self.environment_of(name)), lambda: role.process)
        return role

    def environment_of(self, collector: str) -> dict[str, str]:
        """Which partitions a collector serves from its next start on."""
        return {"TINYPROF_PARTITIONS": self.shares[collector]}

    def _add_agent(self, name: str) -> None:
        self._own_disk(name, AGENT_DISK_MIB)
        config = self.folder / f"{name}.toml"
        cap = "[spool]\ncap_bytes = 1048576\n" if self.drawn.small_spool else ""
        config.write_text(
            f'site = "lab"\nagent = "{name}"\nbroker = "mqtt://127.0.0.1:{self.links[name].port}"\n'
            f'state_dir = "{self.folder / name}"\nhost_sample_every_s = 0\n{cap}'
            '[clock]\ntrust = "always"\n[uplink]\nstatus_every_s = 1.0\nkeepalive_s = 5\n'
        )
        self.set_clock(name, 0)
        program = [str(HERE / "faults" / "clocked_agent.py"), "--config", str(config)]
        role = Role(name, self.folder, [*program, "--obligations", str(self.obligations)])
        self.roles.append(role)
        pace = ["--together", "25", "--padding", "250"] if self.drawn.small_spool else ["--together", "3"]
        environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH")))),
            "FAULTS_CLOCK": str(self.clock_file(name)),
            "FAULTS_ENOUGH": str(self.enough),
        }

        def launch() -> None:
            life = f"{name}{next(self._lives)}"
            role.start("--life", life, "--pause-ms", "30", *pace, environment=environment)

        self._add(name, launch, lambda: role.process)

    def clock_file(self, name: str) -> Path:
        return self.folder / f"{name}.clock"

    def set_clock(self, name: str, seconds: int) -> None:
        """Sets an agent's clock by so much against the machine's."""
        new = self.folder / f"{name}.clock.new"
        new.write_text(str(seconds))
        new.rename(self.clock_file(name))

    def set_retention(self, seconds: int) -> None:
        """How long the database keeps records; 0: for ever."""
        rules = [{"type": "expire", "everySeconds": seconds, "shardGroupDurationSeconds": seconds or WEEK_S}]
        self.influxd.request("PATCH", f"/api/v2/buckets/{self.influxd.bucket()['id']}", {"retentionRules": rules})

    def _own_disk(self, name: str, mib: int) -> None:
        place = self.folder / name
        place.mkdir()
        if self.drawn.small_disks:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tinyprof-faults", place], check=True)
            self.disks.append(place)

    # ---- life

    def start(self) -> None:
        for link in self.links.values():
            link.start()
        for party in self.parties.values():
            party.start()
        self.stranger.start()
        self.echo.start()

    def keep_up(self) -> None:
        """Starts again what has ended though no fault has it down, as a service manager would."""
        for party in self.parties.values():
            if not party.wanted or party.running() or time.monotonic() - party.launched_s < RESTART_S:
                continue
            process = party.process()
            self.ended_by_themselves.append(f"{party.name} ended with {process.poll() if process else None}")
            self.say(self.ended_by_themselves[-1])
            with suppress(RuntimeError):
                party.start()

    def end(self) -> None:
        """Ends every process and connection."""
        self.stranger.stop()
        self.echo.stop()
        for party in self.parties.values():
            party.kill()
        self.dying.kill()
        for link in self.links.values():
            link.stop()

    def give_back_disks(self, keep: Path | None) -> None:
        """Unmounts; with `keep`, what was on them is copied there before."""
        for disk in self.disks:
            if keep is not None:
                shutil.copytree(disk, keep / f"{disk.name} (its disk)", dirs_exist_ok=True)
            subprocess.run(["umount", disk], check=True)
        self.disks.clear()

    # ---- what a spool holds that nobody else does

    def spooled(self, folder: Path) -> set[tuple[str, int]]:
        """Epoch and seq of each record and of each evicted seq in a spool whose agent is dead."""
        if not (folder / "spool.db").exists():
            return set()
        with closing(sqlite3.connect(folder / "spool.db")) as spool:
            held = {(epoch.hex(), seq_of(key)) for key, epoch in spool.execute("SELECT key, epoch FROM records")}
            gone = spool.execute("SELECT e.epoch, v.first, v.last FROM evicted v JOIN epochs e ON e.place = v.place")
            return held | {(epoch.hex(), seq) for epoch, first, last in gone for seq in range(first, last + 1)}

    # ---- what the stores hold

    def stored_in(self, store: str) -> Iterator[tuple[str, int, Record]]:
        """Every record in one of the stores."""
        if store == "sqlite":
            yield from super().stored()
            return
        yield from records_in(self.database)

    def stored(self) -> Iterator[tuple[str, int, Record]]:
        """Every record in the first store."""
        return self.stored_in(self.drawn.stores[0])

    def stored_count(self) -> int:
        return sum(1 for _ in self.stored())


def disks_can_be_made(folder: Path) -> bool:
    """Whether this process may mount a small file system of its own."""
    if os.geteuid() != 0:
        return False
    place = folder / "trial"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tinyprof-faults", place], capture_output=True)
    if mounted.returncode == 0:
        subprocess.run(["umount", place], check=True)
    place.rmdir()
    return mounted.returncode == 0
