"""A broker, a collector and an agent with boards that answer at once, for what happens to jobs."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import instant_agent
from brokers import Broker
from roles import HERE, Role, until

import tinyprof
from tinyprof.fleet import Fleet
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Event, Record, Result

NODE = "lab.bench"


class JobSite:
    """`hold()` makes boards go on generating until `release()`."""

    def __init__(
        self,
        folder: Path,
        broker: Broker,
        boards: Sequence[str] = ("b0",),
        *,
        platform: str = "test-board",
        more: str = "",
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.boards = list(boards)
        self._hold = folder / "hold"
        (folder / "collector.toml").write_text(
            f'broker = "{broker.url}"\nstate_dir = "{folder / "collector"}"\nstatus_interval_s = 1.0\n'
        )
        (folder / "agent.toml").write_text(instant_agent.configuration(broker.url, folder, boards, more=more))
        self.collector = Role(
            "collector", folder, ["-m", "tinyprof_collector", "--config", str(folder / "collector.toml")]
        )
        program = [str(HERE / "instant_agent.py"), "--config", str(folder / "agent.toml")]
        self.agent = Role("agent", folder, [*program, "--hold", str(self._hold), "--platform", platform])
        self.roles = [self.agent, self.collector]

    def start(self) -> "JobSite":
        self.start_collector()
        self.start_agent()
        with self.connect() as fleet:
            until("the boards are known", lambda: len(fleet.boards().boards) == len(self.boards))
        return self

    def start_collector(self) -> None:
        self.collector.start()
        self.collector.wait_for("is ready")

    def start_agent(self) -> None:
        self.agent.start()
        self.agent.wait_for("the agent is ready")

    def also(self, name: str, program: list[str]) -> Role:
        """One more process of the site: it ends with it, however its test ends."""
        self.roles.append(Role(name, self.folder, program))
        return self.roles[-1]

    def stop(self) -> None:
        for role in self.roles:
            role.kill()

    def connect(self) -> Fleet:
        return tinyprof.connect(self.broker.url)

    def hold(self) -> None:
        self._hold.touch()

    def release(self) -> None:
        self._hold.unlink()

    def lose_spool(self) -> None:
        """Takes all that the agent has kept away; it must not run."""
        files = list((self.folder / NODE.partition(".")[2]).glob("spool.db*"))
        assert files
        for file in files:
            file.unlink()

    # ---- what is known from outside the processes

    def records(self) -> list[Record]:
        """Every record in the store."""
        with closing(sqlite3.connect(f"file:{self.folder / 'collector' / 'store.sqlite'}?mode=ro", uri=True)) as store:
            return [unpack(data, Record) for (data,) in store.execute("SELECT data FROM records")]

    def results(self) -> Counter[bytes]:
        """How many results each job has in the store."""
        bodies = [record.body for record in self.records()]
        return Counter(body.job_id for body in bodies if isinstance(body, Result) and body.job_id is not None)

    def told(self, job_id: str) -> list[tuple[str, int]]:
        """What an agent told of a job, with the attempt, in the order of its times."""
        records = sorted(self.records(), key=lambda record: record.time_ns)
        bodies = [record.body for record in records]
        return [
            (body.name.removeprefix("job_"), body.attempt)
            for body in bodies
            if isinstance(body, Event) and body.job_id == bytes.fromhex(job_id)
        ]
