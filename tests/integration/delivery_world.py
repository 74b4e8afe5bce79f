"""The world of the delivery model: machines, a network that does as it likes, a collector, and the oracle."""

import contextlib
import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from delivery_agent import NODE, Image, Machine, body_of
from delivery_collector import Collector
from delivery_oracle import Oracle
from set_clock import SetClock

from tinyprof_collector.quarantine import QuarantineFailed
from tinyprof_collector.state.state import StateFailed
from tinyprof_collector.stores.store import StoreFailed
from tinyprof_protocol.codec import decode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.delivery import Sack
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.requests import QuarantineRequest
from tinyprof_protocol.topics import agent_topic

BEGIN_NS = 1_800_000_000 * 10**9
MAX_ROUNDS = 300
ROUND_S = 5.0
MAX_ON_WIRE = 200
SMALL_CAP_BYTES = 2_000
KINDS = ["sample", "sample", "event", "event", "result", "large result", "refused", "unreadable"]
T = TypeVar("T")


def fast_folder() -> Path:
    """A folder in memory where there is one: every commit here is durable, and a model makes many."""
    shm = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="delivery-model-", dir=shm if shm.is_dir() else None))


def pick(things: Sequence[T], which: Sequence[int]) -> list[T]:
    """The things that these numbers stand for, in their order."""
    return [things[number % len(things)] for number in which] if things else []


class World:
    """One node's agents and one collector, on one clock, step by step."""

    def __init__(self, *, real: bool, cap_bytes: int, packet_bytes: int | None, max_items: int) -> None:
        self.folder = fast_folder()
        self.now_s = 0.0
        self.collector = Collector(
            self.folder, real=real, max_items=max_items,
            clock=lambda: BEGIN_NS + int(self.now_s * 1e9), monotonic=lambda: self.now_s,
        )  # fmt: skip
        self.oracle = Oracle(self.collector)
        self.cap_bytes, self.packet_bytes = cap_bytes, packet_bytes
        self.machines: list[Machine] = []
        self.images: list[Image] = []
        self.wire: list[bytes] = []
        self.sacks: list[bytes] = []
        self.statuses: deque[tuple[AgentStatus, frozenset[bytes]]] = deque()
        """On their way, each with the epochs that had begun when it was said."""
        self.retained: AgentStatus | None = None
        self._numbers = self._epochs = self._folders = 0
        self.machine = self.add_machine()
        self.machine.start()

    def close(self) -> None:
        self.machine.spool.close()
        self.collector.close()
        shutil.rmtree(self.folder)

    # ---- machines

    def add_machine(self) -> Machine:
        clock = SetClock(BEGIN_NS + int(self.now_s * 1e9), boot=self._name(16))
        machine = Machine(
            self._new_folder(), clock, lambda: self.now_s, self._name, self.packet_bytes, self.cap_bytes
        )  # fmt: skip
        self.machines.append(machine)
        return machine

    def record(self, kinds: Sequence[str]) -> None:
        bodies = []
        for kind in kinds:
            self._numbers += 1
            bodies.append(body_of(kind, self._numbers))
        self.oracle.owe(self.machine.record(bodies))
        self.look_at_agent()

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for machine in self.machines:
            machine.clock.pass_s(seconds)

    def find_the_time(self) -> None:
        """A clock can be trusted by now."""
        if self.machine.clock.wall_ns is None:
            self.machine.clock.wall_ns = BEGIN_NS + int(self.now_s * 1e9)

    def restart_agent(self, *, killed: bool, without_clock: bool = False) -> None:
        """A start after an orderly end, or after a power cut at this moment; maybe on a machine that lost its clock."""
        image = self.copy() if killed else None
        self.halt()
        if image is not None:
            self.machine.put(image)
        if without_clock:
            self.machine.clock.boot, self.machine.clock.wall_ns = self._name(16), None
        self.machine.start()

    def halt(self) -> None:
        """The agent's process ends; half of what its client library had still arrives."""
        pending = self.machine.lose_connection()
        self.wire += pending[::2]
        self.machine.stop()

    def copy(self) -> Image:
        return self.machine.copy_to(self._new_folder(make=False))

    def put_back(self, image: Image) -> None:
        """This machine goes back to an older file. What only the younger one knew is nowhere now."""
        self.halt()
        self.machine.put(image)
        self.machine.start()
        self.oracle.file_went_back(self.machines)

    def move_to(self, machine: Machine) -> None:
        """The agent of this name runs on another machine from here."""
        self.halt()
        self.machine = machine
        machine.start()
        self.oracle.copied = True

    def look_at_agent(self) -> None:
        self.oracle.look_at_agent(self.machine)

    # ---- the network

    def broker_takes(self, which: Sequence[int], outcome: str) -> None:
        for token in dict.fromkeys(pick(list(self.machine.outbox), which)):
            payload = self.machine.answered(token, outcome)
            if outcome == "acknowledged":
                self.wire.append(payload)
        del self.wire[:-MAX_ON_WIRE]

    def lose_connection(self, arrived: bool) -> None:
        pending = self.machine.lose_connection()
        self.wire += pending if arrived else []

    def deliver(self, which: Sequence[int], *, keep: bool) -> None:
        """Batches reach the collector's inbox, in any order; `keep`: they will come again."""
        for payload in pick(self.wire, which):
            if self.collector.inbox.put(Message(agent_topic(NODE, "records"), payload, False, None, None)):
                self.oracle.hear_batch(payload)
            if not keep and payload in self.wire:
                self.wire.remove(payload)

    def deliver_sacks(self, which: Sequence[int], *, keep: bool) -> None:
        for payload in pick(self.sacks, which):
            self.machine.mail.append(decode(payload, Sack))
            if not keep and payload in self.sacks:
                self.sacks.remove(payload)

    def say_status(self) -> AgentStatus | None:
        if self.machine.link_up:
            self.retained = self.machine.status()
            self.statuses.append((self.retained, self.oracle.begun()))
        return self.retained

    def deliver_status(self) -> None:
        if self.statuses:
            status, begun = self.statuses.popleft()
            # What a client publishes comes in its order: none comes after a batch of an epoch that began after it.
            if self.oracle.heard <= begun:
                self.collector.pipeline.note_status(status)

    # ---- the collector

    def collect(self, limit: int = 256) -> None:
        """The pipeline takes what its inbox has, and its acknowledgements go out."""
        publications = self.collector.pipeline.process(self.collector.inbox.take(limit))
        self.oracle.look_at_collector()
        self.oracle.judge_sacks(publications)
        self.sacks += [publication.payload for publication in publications]
        del self.sacks[:-MAX_ON_WIRE]

    def kill_collector(self, *, lose_state: bool) -> None:
        """It starts again with what is on its disks, and is told the retained status, never an older one after it."""
        self.statuses.clear()
        self.collector.die(lose_state=lose_state)
        if lose_state:
            self.oracle.state_was_lost()
        if self.retained is not None:
            self.collector.pipeline.note_status(self.retained)

    def replay(self, *, refuses: bool) -> None:
        """Somebody has the quarantine sent again, after the store was told better or not."""
        self.collector.store.refuses = refuses
        with contextlib.suppress(StoreFailed, StateFailed, QuarantineFailed):
            self.collector.pipeline.quarantine_reply(QuarantineRequest("replay"))

    def judge_ledger(self) -> None:
        """At the end the collector's own figures are the truth, and it says so itself."""
        self.oracle.judge_final_reply(self.collector.pipeline.ledger(verify=True))

    def kill_collector_at(self, step: str) -> None:
        """It dies after a step of the work on what is under way: store, quarantine, or state ("sack": unsent)."""
        self.collector.heal()
        self.collector.quarantine.fails = step == "store"
        self.collector.state.fails = step == "quarantine"
        sent = len(self.sacks)
        if step:
            self._send_all()
            self.deliver(range(min(8, len(self.wire))), keep=False)
            self.collect()
        if step == "sack":
            del self.sacks[sent:]
        self.kill_collector(lose_state=False)

    def let_come_late(self, kinds: Sequence[str], step: str) -> None:
        """Records are held up while they are evicted and told so; when they arrive, the collector dies over them."""
        self.collector.heal()
        self.record(kinds)
        self._send_all()
        held_up, self.wire = self.wire, []
        cap_bytes = self.machine.spool.cap_bytes
        self.machine.set_cap(SMALL_CAP_BYTES)
        self.record(kinds)
        self.machine.set_cap(cap_bytes)
        for _ in range(2):
            self.pass_time(ROUND_S)
            self.good_round()
        self.wire += held_up
        self.kill_collector_at(step)

    # ---- one stage of the way

    def go(self, stage: str, which: Sequence[int]) -> None:
        """`which` says what is recorded, and what of a bag goes on."""
        match stage:
            case "record":
                self.record(pick(KINDS, which))
            case "connect":
                self.machine.connect()
            case "turn":
                self.machine.turn()
                self.look_at_agent()
            case "broker takes" | "broker refuses":
                self.broker_takes(which, "acknowledged" if stage == "broker takes" else "refused")
            case "deliver" | "deliver and keep":
                self.deliver(which, keep=stage == "deliver and keep")
            case "collect" | "collect one":
                self.collect(1 if stage == "collect one" else 256)
            case "sacks" | "sacks and keep":
                self.deliver_sacks(which, keep=stage == "sacks and keep")
            case "say status":
                self.say_status()
            case "status arrives":
                self.deliver_status()
            case "time":
                self.pass_time(which[0])

    # ---- when all is well

    def good_round(self) -> None:
        """Everything works for a moment: what is sent arrives, is taken and is acknowledged."""
        self._send_all()
        while self.wire:
            self.deliver(range(min(8, len(self.wire))), keep=False)
            self.collect()
        self.deliver_sacks(range(len(self.sacks)), keep=False)
        self.machine.turn()
        self.look_at_agent()

    def _send_all(self) -> None:
        self.machine.connect()
        self.machine.turn()
        self.broker_takes(range(len(self.machine.outbox)), "acknowledged")

    def drain(self) -> None:
        """The network becomes good; each machine in turn gets rid of all that it owes, in a bounded time."""
        self.collector.heal()
        self.pass_time(1000.0)
        self._deliver_statuses()
        for machine in [self.machine, *(machine for machine in self.machines if machine is not self.machine)]:
            if machine is not self.machine:
                self.move_to(machine)
            self.find_the_time()
            self._drain_machine()
        self.restart_agent(killed=False)
        self.record(["sample"])
        self._drain_machine()

    def _deliver_statuses(self) -> None:
        while self.statuses:
            self.deliver_status()

    def _drain_machine(self) -> None:
        for _ in range(MAX_ROUNDS):
            self.good_round()
            if not self.machine.owes():
                break
            self.pass_time(ROUND_S)
        else:
            raise AssertionError(f"after {MAX_ROUNDS} good rounds the spool still owes {self.machine.spool.views()}")
        status = self.say_status()
        self._deliver_statuses()
        self.collect()
        self.oracle.told(status, self.machine)

    # ---- names

    def _name(self, length: int) -> bytes:
        self._epochs += 1
        return self._epochs.to_bytes(length, "big")

    def _new_folder(self, *, make: bool = True) -> Path:
        self._folders += 1
        folder = self.folder / f"disk-{self._folders}"
        if make:
            folder.mkdir()
        return folder
