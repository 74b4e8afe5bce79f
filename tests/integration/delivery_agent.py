"""An agent of the delivery model: the real spool and the real uplink, without threads, on a machine one can copy."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from delivery_collector import REFUSED, Key
from set_clock import SetClock

from tinyprof_agent.spool import Spool
from tinyprof_agent.spool.rows import SEQ_BITS
from tinyprof_agent.uplink import Uplink
from tinyprof_protocol.codec import pack
from tinyprof_protocol.connection import Publication, Published
from tinyprof_protocol.presence import AgentStatus
from tinyprof_protocol.records import Body, Build, ClockReport, Conditions, Event, Result, Sample

NODE = "lab.model"
FILES = ("spool.db", "spool.db-wal")
BUILD = Build("host", "reference", "numpy", "stories260k", "0" * 64, "q8_0", "f32", "f32", 512, "device")


def body_of(kind: str, number: int) -> Body:
    """A body that no other number has. A `refused` one the store refuses, an `unreadable` one nobody can decode."""
    match kind:
        case "sample":
            return Sample({"load_1m": float(number)})
        case "result" | "large result":
            return Result(
                run_id=number.to_bytes(16, "big"), board="alpha", build=BUILD, suite="quick", prompts=[], max_tokens=8,
                verdict="valid", reasons=[], golden="match", clock=ClockReport("host"), figures={}, repetitions=[],
                conditions=Conditions(), timed_s=10.0, output="o" * (2000 if kind == "large result" else 20),
            )  # fmt: skip
        case "refused":
            return Event(f"{REFUSED}{number}")
        case "unreadable":
            return Event("u" * 65, message=str(number))
    return Event(f"event-{number}", message="m" * (number % 300))


@dataclass(frozen=True)
class Held:
    """What a spool's file holds: records with their bodies, and seqs that it gave up and still owes."""

    records: dict[Key, bytes]
    evicted: frozenset[Key]


@dataclass(frozen=True)
class Image:
    """The spool's files as they lay on the disk at some moment."""

    folder: Path
    held: Held


class Machine:
    """A machine with a spool, and the agent's process on it while it runs. All machines of a model have one name."""

    def __init__(self, folder: Path, clock: SetClock, now_s: Callable[[], float], name: Callable[[int], bytes],
                 packet_bytes: int | None, cap_bytes: int) -> None:  # fmt: skip
        self.folder = folder
        self.clock = clock
        self.held = Held({}, frozenset())
        self.known: dict[bytes, int] = {}
        """The highest seq of each epoch that the file held at any time since the agent's start."""
        self.link_up = False
        self.outbox: dict[int, bytes] = {}
        """What the client library has and the broker has not answered, by token."""
        self.mail: list[Any] = []
        self._token = 0
        self._now_s = now_s
        self._name = name
        self._packet_bytes = packet_bytes
        self._cap_bytes = cap_bytes
        folder.mkdir(exist_ok=True)

    def start(self) -> None:
        self.known = {}
        self.spool = Spool.open(
            self.folder / "spool.db", self.clock, cap_bytes=self._cap_bytes, urandom=self._name
        )  # fmt: skip
        self.uplink = Uplink(
            self.spool, NODE, self._publish, max_packet_bytes=lambda: self._packet_bytes,
            rng=random.Random(1), clock_s=self._now_s,
        )  # fmt: skip

    def stop(self) -> None:
        """The process ends; what the client library still had is gone."""
        self.spool.close()
        self.link_up, self.outbox, self.mail = False, {}, []

    def _publish(self, publication: Publication) -> int | None:
        if not self.link_up:
            return None
        self._token += 1
        self.outbox[self._token] = publication.payload
        return self._token

    def set_cap(self, cap_bytes: int) -> None:
        self._cap_bytes = self.spool.cap_bytes = cap_bytes

    def record(self, bodies: list[Body]) -> list[tuple[Key, bytes]]:
        """Records; returns the obligations that the spool took on by returning."""
        seqs = self.spool.record(bodies)
        assert len(seqs) == len(bodies)
        epoch = self.spool.owed()[-1].epoch
        return [((epoch, seq), pack(body)) for seq, body in zip(seqs, bodies, strict=True)]

    def turn(self) -> None:
        mail, self.mail = self.mail, []
        self.uplink.turn(mail)

    def connect(self) -> None:
        if not self.link_up:
            self.link_up = True
            self.mail.append(True)

    def lose_connection(self) -> list[bytes]:
        """All that is under way is told lost; returns it, for some of it may have arrived."""
        pending, self.outbox = self.outbox, {}
        if self.link_up:
            self.mail += [Published(token, "lost") for token in pending]
            self.mail.append(False)
        self.link_up = False
        return list(pending.values())

    def answered(self, token: int, outcome: str) -> bytes:
        """The broker answers a publication."""
        self.mail.append(Published(token, outcome, "not authorized" if outcome == "refused" else ""))
        return self.outbox.pop(token)

    def status(self) -> AgentStatus:
        return AgentStatus(NODE, "online", epochs=self.spool.owed())

    def owes(self) -> bool:
        return any(view.base <= view.head for view in self.spool.views())

    # ---- the disk

    def read_disk(self) -> Held:
        """What the file holds, read past all of the spool's code."""
        with closing(sqlite3.connect(self.folder / "spool.db")) as connection:
            epochs = dict(connection.execute("SELECT place, epoch FROM epochs").fetchall())
            rows = connection.execute("SELECT key, epoch, body FROM records").fetchall()
            evicted = connection.execute("SELECT place, first, last FROM evicted").fetchall()
        seq_mask = (1 << SEQ_BITS) - 1
        assert all(epochs[key >> SEQ_BITS] == epoch for key, epoch, _ in rows)
        gone = {(epochs[place], seq) for place, first, last in evicted for seq in range(first, last + 1)}
        return Held({(epoch, key & seq_mask): body for key, epoch, body in rows}, frozenset(gone))

    def copy_to(self, folder: Path) -> Image:
        """The files as a power cut at this moment would leave them."""
        folder.mkdir()
        copy_files(self.folder, folder)
        return Image(folder, self.read_disk())

    def put(self, image: Image) -> None:
        """Has these files instead of its own; it must not run."""
        (self.folder / "spool.db-shm").unlink(missing_ok=True)
        copy_files(image.folder, self.folder)
        self.held = image.held


def copy_files(source: Path, target: Path) -> None:
    for name in FILES:
        (target / name).unlink(missing_ok=True)
        if (source / name).exists():
            shutil.copy(source / name, target / name)
