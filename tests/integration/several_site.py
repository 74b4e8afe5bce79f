"""A site of two collectors with a Redis and an InfluxDB between them, and an agent on each half of the partitions."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from brokers import Broker, make_broker
from influx_site import InfluxSite
from influxd import Influxd
from redis_server import RedisServer
from roles import HERE, Role, until

from tinyprof.fleet import Fleet, FleetError
from tinyprof_protocol.broker_address import broker_from
from tinyprof_protocol.names import partition_of
from tinyprof_protocol.presence import CollectorStatus

LOW, HIGH, ALL = "0-7", "8-15", "0-15"
HALVES = {"one": LOW, "two": HIGH}
AGENTS = {"one": "lab.one", "bench": "lab.bench"}
"""Of which one falls into each half."""
STATUS_INTERVAL_S = 1.0
S = TypeVar("S", bound="SeveralSite")


class SeveralSite(InfluxSite):
    """Collectors `one` and `two`, started by the command as people start them."""

    def __init__(self, folder: Path, broker: Broker, database: Influxd, redis: RedisServer) -> None:
        super().__init__(folder, broker, database)
        assert [partition_of(node) < 8 for node in AGENTS.values()] == [True, False]
        settings = self.collector_config.read_text()
        state = f'[state]\nuse = "redis"\nurl = "{redis.url}"\ntimeout_s = 1.0\n'
        self.roles.clear()
        self.collectors = {name: self._make_collector(name, settings, state) for name in HALVES}
        self.agents = {name: self._make_agent_of(name) for name in AGENTS}
        self.agent = self.agents["one"]

    def _make_collector(self, name: str, settings: str, state: str) -> Role:
        config = self.folder / f"collector-{name}.toml"
        own = settings.replace(f'"{self.folder / "collector"}"', f'"{self.folder / f"collector-{name}"}"')
        config.write_text(f'id = "{name}"\n{own}{state}')
        self.roles.append(
            Role(f"collector-{name}", self.folder, ["-m", "tinyprof", "collector", "run", "--config", str(config)])
        )
        return self.roles[-1]

    def _make_agent_of(self, name: str) -> Role:
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'site = "lab"\nagent = "{name}"\nbroker = "{self.broker.url}"\nstate_dir = "{self.folder / name}"\n'
            'host_sample_every_s = 0.2\n[clock]\ntrust = "always"\n[uplink]\nstatus_every_s = 1.0\n'
        )
        program = [str(HERE / "producing_agent.py"), "--config", str(config), "--obligations", str(self.obligations)]
        self.roles.append(Role(name, self.folder, program))
        return self.roles[-1]

    def serve(self, name: str, partitions: str) -> None:
        """A collector's next life; returns once it is ready."""
        role = self.collectors[name]
        if role.running():
            assert role.stop() == 0
        role.start("--partitions", partitions)
        role.wait_for("is ready")

    def start_all(self) -> None:
        """Collectors, each with its half, and agents."""
        for name, partitions in HALVES.items():
            self.serve(name, partitions)
        for agent in self.agents.values():
            self.start_agent(agent=agent)

    def stored_of(self, agent: str) -> int:
        """How many of an agent's own records the store holds."""
        sql = f"SELECT count(seq) FROM tinyprof_event WHERE agent = '{agent}'"
        [answer] = self.database.query(sql)
        return sum(int(row["count"]) for rows in answer for row in rows.dicts())

    def wait_until_all_flow(self, more: int = 30) -> None:
        """Until the store has more records of each agent."""
        before = {name: self.stored_of(name) for name in self.agents}
        for name, count in before.items():
            until(
                f"{more} more of {name} are stored", lambda name=name, count=count: self.stored_of(name) >= count + more
            )

    def wait_until_owed_by(self, agent: str, more: int) -> None:
        """Until an agent's spool holds so many."""
        until(f"the spool of {agent} holds {more}", lambda: self.spool_holds(agent) >= more)

    def fleet(self, timeout_s: float = 1.0) -> Fleet:
        """Somebody who asks, and waits for no answer long."""
        return Fleet(broker_from(self.broker.url), timeout_s=timeout_s)

    def until_says(self, name: str, what: str, true: Callable[[CollectorStatus], bool]) -> CollectorStatus:
        """Waits until a collector says so of itself; its status then."""
        said: list[CollectorStatus] = []

        def there() -> bool:
            reply = None
            with suppress(FleetError), self.fleet(3.0) as fleet:
                reply = fleet.status().collectors.get(name)
            said[:] = [reply.collector] if reply is not None else []
            return bool(said) and true(said[0])

        until(f"collector {name} {what}", there)
        return said[0]

    def settle_all(self) -> None:
        """The last lives of both agents, until nothing is owed."""
        for name, agent in self.agents.items():
            if agent.running():
                agent.stop()
            self.settle_one(name, agent)
        until("the ledger knows it", lambda: all(row.in_spool == 0 for row in self.ledger().rows), every_s=0.3)

    def settle_one(self, name: str, agent: Role) -> None:
        """A few records more of an agent, and nothing by itself, until all is acknowledged."""
        still = {"TINYPROF_HOST_SAMPLE_EVERY_S": "0"}
        agent.start("--life", f"last-{name}-{time.monotonic_ns()}", "--count", "30", environment=still)
        agent.wait_for("produced all")
        until(f"the spool of {name} is empty", lambda: self.spool_holds(name) == 0)


@contextmanager
def several_site(make: type[S], folder: Path, redis: RedisServer) -> Iterator[S]:
    """A site over mosquitto, InfluxDB and that Redis; nothing of it is started, and all is ended, whatever happens."""
    with ExitStack() as closing:
        (folder / "influxd").mkdir()
        database = Influxd(folder / "influxd").start()
        closing.callback(database.stop)
        broker = make_broker("mosquitto", folder)
        broker.start()
        closing.callback(broker.stop)
        site = make(folder, broker, database, redis)
        closing.callback(_end, site)
        yield site


def _end(site: SeveralSite) -> None:
    for role in site.roles:
        if role.running():
            role.thaw()
        role.kill()


@contextmanager
def redis_in(folder: Path) -> Iterator[RedisServer]:
    """A Redis of its own."""
    folder.mkdir()
    running = RedisServer(folder).start()
    try:
        yield running
    finally:
        running.stop()
