"""Any order of appends, acknowledgements, restarts, crashes, old copies put back and clock steps, against a model.

The model knows every record that was ever made. Nothing acknowledged durable may vanish, and no (epoch, seq) may ever
stand for two records.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from set_clock import SetClock

from tinyprof_agent.spool import Spool
from tinyprof_protocol.codec import unpack
from tinyprof_protocol.ranges import RangeSet
from tinyprof_protocol.records import Body, Event, Record, Sample

CAP_BYTES = 6_000
FILES = ("s.db", "s.db-wal")


class SpoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="spool-model-"))
        self.clock = SetClock()
        self.made: dict[tuple[bytes, int], Body] = {}
        self.acked: dict[bytes, RangeSet] = {}
        self.old_copy: tuple[Path, dict[bytes, RangeSet], int] | None = None
        self.heads: dict[bytes, int] = {}
        self.number = 0
        self.epochs = 0
        self.copies = 0

    def open(self) -> None:
        self.spool = Spool.open(self.folder / "s.db", self.clock, cap_bytes=CAP_BYTES, urandom=self.name)

    def name(self, length: int) -> bytes:
        self.epochs += 1
        return self.epochs.to_bytes(length, "big")

    @initialize()
    def begin(self) -> None:
        self.open()

    def teardown(self) -> None:
        self.spool.close()
        shutil.rmtree(self.folder)

    def body(self, kind: str) -> Body:
        self.number += 1
        if kind == "sample":
            return Sample({"load_1m": float(self.number)})
        return Event(f"event-{self.number}", message="m" * 100)

    @rule(kinds=st.lists(st.sampled_from(["sample", "event"]), min_size=1, max_size=30))
    def record(self, kinds: list[str]) -> None:
        bodies = [self.body(kind) for kind in kinds]
        seqs = self.spool.record(bodies)
        epoch = self.spool.owed()[-1].epoch
        assert seqs == list(range(self.heads.get(epoch, 0) + 1, self.heads.get(epoch, 0) + 1 + len(bodies)))
        self.heads[epoch] = seqs[-1]
        for seq, body in zip(seqs, bodies, strict=True):
            assert (epoch, seq) not in self.made, "a seq was used for a second record"
            self.made[epoch, seq] = body

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        view = data.draw(st.sampled_from(self.spool.views()))
        cum = data.draw(st.integers(0, view.head))
        pair = data.draw(st.tuples(st.integers(1, view.head + 3), st.integers(0, 5)))
        self.spool.acknowledge(view.epoch, cum, [(pair[0], pair[0] + pair[1])])
        acked = self.acked.setdefault(view.epoch, RangeSet())
        if cum:
            acked.add(1, cum)
        acked.update(RangeSet([(1, view.head)]).within(pair[0], pair[0] + pair[1]) if view.head else [])

    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.open()

    @rule()
    def power_cut(self) -> None:
        """What lies on the disk at this moment is all that is left."""
        image = self.copy()
        self.spool.close()
        self.put_back(image)
        self.open()

    @rule()
    def keep_a_copy(self) -> None:
        if self.old_copy is None:
            acked = {epoch: ranges.copy() for epoch, ranges in self.acked.items()}
            self.old_copy = (self.copy(), acked, len(self.made))

    @rule()
    def put_the_old_copy_back(self) -> None:
        """What was made since is gone from the spool: the machine was told so by whoever put it back."""
        if self.old_copy is None:
            return
        image, self.acked, made = self.old_copy
        self.old_copy = None
        self.spool.close()
        self.put_back(image)
        self.gone = set(list(self.made)[made:])
        self.open()
        owed = {view.epoch: view for view in self.spool.views()}
        for epoch, seq in self.gone:
            assert epoch not in owed or seq > owed[epoch].head
            self.acked.setdefault(epoch, RangeSet()).add(seq)

    @rule(seconds=st.floats(-5, 100))
    def time_goes(self, seconds: float) -> None:
        if seconds < 0:
            self.clock.step_s(seconds)
        else:
            self.clock.pass_s(seconds)

    @rule()
    def clock_is_lost_and_found(self) -> None:
        """The machine boots without a clock, and finds one later."""
        self.spool.close()
        wall, self.clock.wall_ns = self.clock.wall_ns, None
        self.clock.boot = self.name(16)
        self.open()
        self.record(["sample", "event"])
        self.clock.wall_ns = wall

    def copy(self) -> Path:
        self.copies += 1
        image = self.folder / f"copy-{self.copies}"
        image.mkdir()
        for name in FILES:
            if (self.folder / name).exists():
                shutil.copy(self.folder / name, image / name)
        return image

    def put_back(self, image: Path) -> None:
        for name in FILES:
            (self.folder / name).unlink(missing_ok=True)
            if (image / name).exists():
                shutil.copy(image / name, self.folder / name)
        (self.folder / "s.db-shm").unlink(missing_ok=True)

    @invariant()
    def all_that_was_made_is_held_evicted_or_acknowledged(self) -> None:
        self.spool.stamp()
        held: set[tuple[bytes, int]] = set()
        for view in self.spool.views():
            piece = self.spool.take(view.epoch, 1, 10**6, max_records=10**6, max_bytes=10**9)
            assert piece is not None
            assert not piece.evicted_cut
            times = []
            for entry in piece.records:
                record = unpack(entry.data, Record)
                assert self.made[view.epoch, entry.seq] == record.body
                times.append(record.time_ns)
                held.add((view.epoch, entry.seq))
            assert times == sorted(set(times))
            for gone in piece.evicted:
                for seq in range(gone.first, gone.last + 1):
                    assert (view.epoch, seq) not in held, "a seq is held and evicted"
                    held.add((view.epoch, seq))
        owed = {key for key in self.made if key[1] not in self.acked.get(key[0], RangeSet())}
        assert held == owed
        assert self.spool.stats().bytes <= CAP_BYTES


SpoolMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSpoolModel = SpoolMachine.TestCase
