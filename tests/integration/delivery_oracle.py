"""The oracle of the delivery model: what is owed, where it really is, and what may be said of it."""

from collections.abc import Iterable, Mapping, Sequence

from delivery_agent import NODE, Held, Machine
from delivery_collector import Collector, Key

from tinyprof_agent.spool.file import MAX_SETTLED_LISTED
from tinyprof_protocol.codec import decode, unpack
from tinyprof_protocol.connection import Publication
from tinyprof_protocol.delivery import Batch, Sack
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Record
from tinyprof_protocol.requests import LEDGER_CLASSES, LedgerReply, LedgerRow
from tinyprof_protocol.topics import agent_topic


class Oracle:
    """Every record that a spool returned for is an obligation. Nothing here asks the accounting, which is on trial."""

    def __init__(self, collector: Collector) -> None:
        self.collector = collector
        self.obligations: dict[Key, bytes] = {}
        self.stored: dict[Key, bytes] = {}
        self.quarantined: set[Key] = set()
        self.ever_evicted: set[Key] = set()
        self.announced: set[Key] = set()
        """What batches that reached the pipeline said was evicted."""
        self.heard: set[bytes] = set()
        """Epochs of which a batch reached the pipeline."""
        self.may_be_missing: set[Key] = set()
        """What only a file knew that an older copy replaced, and was not acknowledged. Some may have arrived."""
        self.acknowledged: set[Key] = set()
        """By the collector, at any time."""
        self.kept: set[Key] = set()
        """Acknowledged since the state was lost last: the state must know all of them, over every death."""
        self.forgotten: set[Key] = set()
        """Acknowledged before the state was lost: only stores, quarantine and the agent's word can tell of them."""
        self.told_bases: dict[bytes, int] = {}
        """The bases that statuses which surely arrived since then must have said, by epoch."""
        self.rolled_back = self.copied = False

    def begun(self) -> frozenset[bytes]:
        """Epochs that records were made in."""
        return frozenset(epoch for epoch, _ in self.obligations)

    def owe(self, obligations: Iterable[tuple[Key, bytes]]) -> None:
        for key, body in obligations:
            assert key not in self.obligations, f"{name(key)} was used for a second record"
            self.obligations[key] = body

    def settled(self, key: Key) -> bool:
        """Whether a record is where the collector may say that it is accounted."""
        collector = self.collector
        return (
            key in self.stored
            or key in self.quarantined
            or key in collector.store.expired
            or key in collector.quarantine.fallen
        )

    # ---- looking at every place

    def look_at_collector(self) -> None:
        """The store holds each record once, whole, under its own name, and lets none go; nothing else is in there."""
        there: dict[Key, bytes] = {}
        for (node, epoch, seq), data in self.collector.stored():
            key = (epoch, seq)
            assert node == NODE
            assert key not in there, f"{name(key)} is in the store twice"
            there[key] = data
            if self.stored.get(key) != data:
                assert key not in self.stored, f"{name(key)} changed in the store"
                self._is_its_own(key, data)
                unpack(data, Record)
        assert self.stored.keys() <= there.keys(), "the store lost a record"
        self.stored = there
        self.quarantined = self.collector.quarantined()
        assert not self.collector.quarantine.whole, "a whole message was put away"
        for key, data in self.collector.quarantine.given.items():
            self._is_its_own(key, data)
        self.collector.quarantine.given.clear()

    def _is_its_own(self, key: Key, data: bytes) -> None:
        assert key in self.obligations, f"{name(key)} was never made"
        assert data.endswith(self.obligations[key]), f"{name(key)} holds the body of another"

    def look_at_agent(self, machine: Machine) -> None:
        """What the running agent let go of since the last look is accounted, or was evicted and told so."""
        now = machine.read_disk()
        self.ever_evicted |= now.evicted
        assert not now.records.keys() & now.evicted, "a seq is held and evicted"
        for key, body in now.records.items():
            assert self.obligations.get(key) == body, f"{name(key)} in the spool is not what was made"
        for key in machine.held.records.keys() - now.records.keys():
            # A file of before an eviction may hold again what is counted as evicted by now.
            told = key in self.announced and (self.rolled_back or self.copied)
            assert self.settled(key) or key in now.evicted or told, f"the agent deleted {name(key)}, which nobody has"
        for key in machine.held.evicted - now.evicted:
            assert self.settled(key) or key in self.announced, f"{name(key)} was evicted and nobody was told"
        machine.held = now
        for epoch, seq in now.records.keys() | now.evicted:
            machine.known[epoch] = max(seq, machine.known.get(epoch, 0))

    def nothing_is_lost(self, machines: Sequence[Machine]) -> None:
        """Each obligation is in a spool, or settled, or evicted (owed as such, or told), or may be missing."""
        held = [machine.held for machine in machines]
        for key in self._in_no_spool(held) - self.stored.keys() - self.may_be_missing:
            assert self.settled(key) or key in self.announced, f"{name(key)} is lost"

    def file_went_back(self, machines: Sequence[Machine]) -> None:
        """An older copy took the place of a spool's file."""
        self.rolled_back = True
        self.may_be_missing |= self._in_no_spool([machine.held for machine in machines]) - self.acknowledged

    def state_was_lost(self) -> None:
        """The collector begins anew with its stores and its quarantine."""
        self.forgotten |= self.acknowledged
        self.kept.clear()
        self.told_bases.clear()

    def _in_no_spool(self, held: Iterable[Held]) -> set[Key]:
        absent = set(self.obligations)
        for spool in held:
            absent -= spool.records.keys()
            absent -= spool.evicted
        return absent

    # ---- what is said

    def hear_batch(self, payload: bytes) -> None:
        """A batch reaches the pipeline."""
        batch = decode(payload, Batch)
        self.heard.add(batch.epoch)
        for gone in batch.evicted:
            self.announced.update((batch.epoch, seq) for seq in range(gone.first, gone.last + 1))

    def judge_sacks(self, publications: Iterable[Publication]) -> None:
        """An acknowledgement names only what was made and is settled, or was evicted and told so."""
        for publication in publications:
            assert publication.topic == agent_topic(NODE, "sack")
            sack = decode(publication.payload, Sack)
            assert sack.node == NODE
            for first, last in [(1, sack.cum), *sack.ranges]:
                for seq in range(first, last + 1):
                    key = (sack.epoch, seq)
                    assert self.settled(key) or key in self.announced, f"{name(key)} is acknowledged, nobody has it"
                    self.acknowledged.add(key)
                    self.kept.add(key)

    def told(self, status: AgentStatus | None, machine: Machine) -> None:
        """A status arrived from an agent that owes nothing, and what it said is kept.

        It must tell so of the epochs that it had since its start, up to a bound.
        """
        bases = [(owed.epoch, owed.base) for owed in (status and status.epochs) or ()]
        if len(machine.known) <= MAX_SETTLED_LISTED:
            bases += [(epoch, seq + 1) for epoch, seq in machine.known.items()]
        for epoch, base in bases:
            self.told_bases[epoch] = max(base, self.told_bases.get(epoch, 1))

    def judge_rows(self, rows: Sequence[LedgerRow]) -> None:
        """At any moment: classes add up, and none claims more than is true."""
        truth = self._possible()
        for epoch in {epoch for epoch, _ in self.kept} - {row.epoch for row in rows}:
            raise AssertionError(f"epoch {epoch.hex()[-4:]} was acknowledged, and the ledger does not know it")
        for row in rows:
            keys = truth.get(row.epoch, {})
            said = {cls: getattr(row, cls) for cls in LEDGER_CLASSES}
            assert sum(said.values()) == row.head, f"classes of {said} hold not {row.head}"
            assert row.head <= max((seq for _, seq in keys), default=0), "the ledger heard of what was never made"
            for cls in ("stored", "quarantined", "expired", "discarded", "evicted"):
                most = sum(cls in classes for classes in keys.values())
                assert said[cls] <= most, f"{said[cls]} counted as {cls}, of {most} at most"
            self._judge_what_is_open(row, keys)

    def _judge_what_is_open(self, row: LedgerRow, keys: Mapping[Key, set[str]]) -> None:
        """What was acknowledged stays accounted; the agent's word stands only for what a lost state knew."""
        kept = sum(key in self.kept for key in keys)
        found = row.head - row.in_spool - row.missing
        assert found >= kept, f"{kept} are acknowledged, of which the ledger knows {found}"
        known_before = sum(key in self.forgotten for key in keys)
        assert row.stored_on_word <= known_before, (
            f"{row.stored_on_word} on the agent's word, of {known_before} at most"
        )
        # A machine lists its own epochs: those of another one with its name look as if they were given up.
        lost = sum(key in self.forgotten or key in self.may_be_missing for key in keys)
        assert self.copied or row.missing <= lost, f"{row.missing} missing, of {lost} at most"

    def judge_final_reply(self, reply: LedgerReply) -> None:
        """When all is delivered: every seq is counted in the class that it is in, and only what may be missing is."""
        truth = self._possible(final=True)
        by_epoch = {row.epoch: row for row in reply.rows}
        for epoch, keys in truth.items():
            self._judge_final_row(epoch, by_epoch.get(epoch), keys)
        if not any("missing" in classes for keys in truth.values() for classes in keys.values()):
            assert reply.ok, reply.problems
        elif not self.may_be_missing & self.stored.keys():
            assert all(" missing: " in problem for problem in reply.problems), reply.problems

    def _judge_final_row(self, epoch: bytes, row: LedgerRow | None, keys: Mapping[Key, set[str]]) -> None:
        surely_known = [seq for (_, seq), classes in keys.items() if "missing" not in classes]
        if row is None:
            # Settled before the state was lost and listed by nobody since: nothing is owed of it, and nothing asked.
            heard_of = epoch in self.told_bases or any(key in self.kept or key in self.quarantined for key in keys)
            settled = all(key in self.forgotten or "missing" in classes for key, classes in keys.items())
            assert settled, f"the ledger does not know epoch {epoch.hex()[-4:]}"
            assert not heard_of, f"the ledger forgot epoch {epoch.hex()[-4:]}"
            return
        assert row.head >= max(surely_known, default=0)
        for cls in LEDGER_CLASSES:
            surely = sum(classes == {cls} for classes in keys.values()) if cls != "missing" else 0
            most = sum(cls in classes for classes in keys.values())
            assert surely <= getattr(row, cls) <= most, f"{cls}: {surely} to {most}, counted {getattr(row, cls)}"
        held = sum(key in self.stored for key in keys)
        assert row.verified == held, f"the store holds {held}, verified {row.verified}"

    def _possible(self, *, final: bool = False) -> Mapping[bytes, Mapping[Key, set[str]]]:
        """By epoch, the classes that each seq can truly be in."""
        truth: dict[bytes, dict[Key, set[str]]] = {}
        for key in self.obligations:
            truth.setdefault(key[0], {})[key] = self._final_classes(key) if final else self._classes(key)
        return truth

    def _classes(self, key: Key) -> set[str]:
        """While the work is under way."""
        if key in self.stored and key in self.quarantined:
            return {"stored", "quarantined"}  # a replay is under way
        if key in self.stored:
            return {"stored"} | ({"evicted"} if key in self.announced else set())  # a late record is under way
        if key in self.quarantined:
            return {"quarantined"} | ({"expired"} if key in self.collector.store.expired else set())
        return self._ended(key) or {"in_spool"}

    def _final_classes(self, key: Key) -> set[str]:
        """When all is delivered. Stored and quarantined are told from their places, whatever the state has been."""
        # A file that went back sends no more what died between the store and the state, so that nobody asks the store.
        gone = {"missing"} if key in self.may_be_missing and key not in self.kept else set()
        if key in self.stored:
            assert key not in self.quarantined, f"{name(key)} is in the store and in the quarantine"
            return {"stored"} | gone
        if key in self.quarantined:
            return {"quarantined"}
        word: set[str] = set()
        if key in self.forgotten:
            # Evicted, expired and discarded leave no trace but the state. The agent's base tells that they are over;
            # an agent that has started twice since says no more of the epoch, and an older status may have listed it.
            over = key in self.kept or key[1] < self.told_bases.get(key[0], 1)
            word = {"stored_on_word"} if over else {"stored_on_word", "missing"}
        return self._ended(key) | word | gone

    def _ended(self, key: Key) -> set[str]:
        ends = {
            "expired": key in self.collector.store.expired,
            "discarded": key in self.collector.quarantine.fallen,
            "evicted": key in self.announced,
        }
        return {cls for cls, holds in ends.items() if holds}


def name(key: Key) -> str:
    return f"seq {key[1]} of epoch {key[0].hex()[-4:]}"
