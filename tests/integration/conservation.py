"""A site under test: a broker, a collector, agents that write down what they owe, and the judge of conservation."""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from brokers import Broker
from roles import HERE, Role, until

import tinyprof
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.records import Event, Record
from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerReply, LedgerRow

NODE = "lab.bench"


@dataclass(frozen=True)
class Owed:
    """One obligation: the spool had this text under this epoch and seq."""

    epoch: str
    seq: int
    text: str


class Site:
    """A broker, a collector and one producing agent, each in its folder."""

    def __init__(self, folder: Path, broker: Broker, *, agent_toml: str = "", collector_toml: str = "") -> None:
        self.folder = folder
        self.broker = broker
        self.obligations = folder / "obligations"
        self._lives = itertools.count(1)
        self.roles: list[Role] = []
        self.collector_config = folder / "collector.toml"
        self.collector_config.write_text(
            f'broker = "{broker.url}"\nstate_dir = "{folder / "collector"}"\nstatus_interval_s = 1.0\n{collector_toml}'
        )
        self.collector = Role("collector", folder, ["-m", "tinyprof_collector", "--config", str(self.collector_config)])
        self.roles.append(self.collector)
        self.agent = self.make_agent("agent", agent_toml)

    def make_agent(self, name: str, more_toml: str = "") -> Role:
        """An agent of the site's one node with a state folder of its own."""
        config = self.folder / f"{name}.toml"
        config.write_text(
            f'site = "lab"\nagent = "bench"\nbroker = "{self.broker.url}"\nstate_dir = "{self.folder / name}"\n'
            f'host_sample_every_s = 0.2\n{more_toml}\n[clock]\ntrust = "always"\n'
            + ("" if "[uplink]" in more_toml else "[uplink]\nstatus_every_s = 1.0\n")
        )
        program = [str(HERE / "producing_agent.py"), "--config", str(config), "--obligations", str(self.obligations)]
        self.roles.append(Role(name, self.folder, program))
        return self.roles[-1]

    def start_agent(self, *more: str, agent: Role | None = None) -> None:
        """The agent's next life."""
        (agent or self.agent).start("--life", f"life{next(self._lives)}", *more)

    def settle(self, agent: Role | None = None) -> None:
        """The last life: a few records more and nothing by itself, until all is acknowledged."""
        agent = agent or self.agent
        agent.start(
            "--life", f"last{next(self._lives)}", "--count", "30", environment={"TINYPROF_HOST_SAMPLE_EVERY_S": "0"}
        )
        agent.wait_for("produced all")
        until(f"the spool of {agent.name} is empty", lambda: self.spool_holds(agent.name) == 0)
        until("the ledger knows it", lambda: all(row.in_spool == 0 for row in self.ledger().rows), every_s=0.3)

    def start_collector(self) -> None:
        self.collector.start()
        self.collector.wait_for("is ready")

    def spool_file(self, agent: str = "agent") -> Path:
        return self.folder / agent / "spool.db"

    def store_file(self) -> Path:
        return self.folder / "collector" / "store.sqlite"

    def wait_until_owed(self, more: int) -> None:
        """Until the agent has written down so many more obligations."""
        before = len(self.owed())

        def there() -> bool:
            assert self.agent.running(), f"the agent ended:\n{self.agent.tail()}"
            return len(self.owed()) >= before + more

        until(f"the agent produces {more} more", there)

    def wait_until_stored(self, more: int) -> None:
        """Until the store holds so many more records."""
        before = self.stored_count()
        until(f"{more} more records are stored", lambda: self.stored_count() >= before + more)

    # ---- what is known from outside the processes

    def owed(self) -> list[Owed]:
        """Every obligation that was written down whole."""
        if not self.obligations.exists():
            return []
        lines = self.obligations.read_text().split("\n")[:-1]
        return [Owed(epoch, int(seq), text) for epoch, seq, text in (line.split(" ") for line in lines)]

    def spool_holds(self, agent: str = "agent") -> int:
        """Records and evicted ranges in an agent's spool file; -1 while it cannot be read."""
        try:
            with closing(sqlite3.connect(f"file:{self.spool_file(agent)}?mode=ro", uri=True)) as spool:
                sql = "SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM evicted)"
                return int(spool.execute(sql).fetchone()[0])
        except sqlite3.Error:
            return -1

    def stored(self) -> Iterator[tuple[str, int, Record]]:
        """Every record in the store: epoch, seq, and what it is."""
        with closing(sqlite3.connect(f"file:{self.store_file()}?mode=ro", uri=True)) as store:
            rows = store.execute("SELECT e.epoch, r.seq, r.data FROM records r JOIN epochs e ON e.id = r.epoch_id")
            for epoch, seq, data in rows:
                yield epoch.hex(), seq, unpack(data, Record)

    def stored_count(self) -> int:
        with closing(sqlite3.connect(f"file:{self.store_file()}?mode=ro", uri=True)) as store:
            return int(store.execute("SELECT count(*) FROM records").fetchone()[0])

    def ledger(self) -> LedgerReply:
        """The collector's ledger, checked against the store by the collector."""
        with tinyprof.connect(self.broker.url) as fleet:
            found = fleet.ledger(verify=True)
        return LedgerReply(found.rows, found.ok, found.problems)

    # ---- the judge

    def judge(
        self, *, evicted: bool = False, file_lost: bool = False, expired: bool = False, poison: int = 0
    ) -> LedgerReply:
        """Every obligation is stored once under its own epoch and seq, and the ledger adds up and says so.

        `evicted`: some may instead be declared evicted. `file_lost`: a spool's file was taken away or damaged, so that
        some may be gone with it; then the ledger calls what it had heard of missing or evicted, never stored.
        `expired`: some may have come too late for a store's retention.
        `poison`: so many seqs of other nodes are quarantined.
        """
        owed = self.owed()
        assert owed, "a test that owes nothing proves nothing"
        places = self._places()
        lost = [one for one in owed if one.text not in places]
        moved = [one for one in owed if one.text in places and places[one.text] != (one.epoch, one.seq)]
        assert not moved, f"stored under another number: {moved[:5]}"
        assert evicted or file_lost or expired or not lost, f"{len(lost)} of {len(owed)} lost, the first {lost[0]}"
        ledger = self.ledger()
        for row in ledger.rows:
            assert sum(getattr(row, name) for name in LEDGER_CLASSES) == row.head, row
            assert file_lost or row.missing == 0, row
            assert evicted or file_lost or row.evicted == 0, row
            assert row.in_spool == 0, row
            _check_lost(row, [one.seq for one in lost if one.epoch == row.epoch.hex()])
        assert sum(row.quarantined for row in ledger.rows) == poison
        # What a store took before a crash and nobody accounted may have been evicted or lost by the agent since.
        # Beyond the head that the ledger heard of a store can only have what a spool held that is gone.
        gone = sum(row.evicted + row.missing + row.expired for row in ledger.rows)
        beyond = len(owed) if file_lost else gone if evicted or expired else 0
        assert 0 <= self.stored_count() - sum(row.stored for row in ledger.rows) <= beyond
        excused = ("missing", "counted as stored") if file_lost else ()
        problems = [line for line in ledger.problems if not any(word in line for word in excused)]
        assert not problems
        assert ledger.ok or file_lost
        self._check_heads(ledger, owed, file_lost=file_lost)
        return ledger

    def _places(self) -> dict[str, tuple[str, int]]:
        """Where each produced text is stored; fails where one is stored twice."""
        places: dict[str, tuple[str, int]] = {}
        for epoch, seq, record in self.stored():
            if isinstance(record.body, Event) and record.body.name == "produced":
                text = record.body.message.rstrip(".")
                assert text not in places, f"{text} is stored at {places[text]} and at {(epoch, seq)}"
                places[text] = (epoch, seq)
        return places

    def _check_heads(self, ledger: LedgerReply, owed: list[Owed], *, file_lost: bool) -> None:
        heads = {row.epoch.hex(): row.head for row in ledger.rows}
        for one in owed:
            assert file_lost or heads.get(one.epoch, 0) >= one.seq, f"the ledger never heard of {one}"


def _check_lost(row: LedgerRow, lost_seqs: list[int]) -> None:
    """What is not in the store and was heard of is evicted, expired or missing, never anything better."""
    heard_of = sum(seq <= row.head for seq in lost_seqs)
    assert heard_of <= row.evicted + row.expired + row.missing, (row, heard_of)
