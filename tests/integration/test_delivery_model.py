"""Nothing lost in silence, nothing twice: the whole path from spool to store under thousands of random schedules.

The spool, the uplink, the inbox and the pipeline are the real ones, without threads and without real time; the network,
the disks and the lives of both sides are the schedule's. An environment variable TINYPROF_MODEL_EXAMPLES says how many
schedules are tried (by default so many as a test run has time for).
"""

import os

from delivery_world import KINDS, World, pick
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

EXAMPLES = int(os.environ.get("TINYPROF_MODEL_EXAMPLES", "300"))
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]
if os.environ.get("TINYPROF_MODEL_SHRINK", "1") != "0":
    PHASES.append(Phase.shrink)
CAPS = [4_000, 12_000, 64 * 1024 * 1024]
STAGES = [
    "record", "connect", "turn", "turn", "broker takes", "broker takes", "broker refuses", "deliver", "deliver",
    "deliver and keep", "collect", "collect", "collect one", "sacks", "sacks", "sacks and keep", "say status",
    "status arrives", "time",
]  # fmt: skip
LOSSES = ["batch", "sack", "status", "connection", "connection, late"]
WHICH = st.lists(st.integers(0, 15), min_size=1, max_size=12)
BODIES = st.lists(st.sampled_from(KINDS), min_size=1, max_size=15)
Stage = tuple[str, list[int]]
WAYS = st.lists(st.tuples(st.sampled_from(STAGES), WHICH), min_size=2, max_size=16)


class DeliveryMachine(RuleBasedStateMachine):
    """Few rules, each with many variants: the way of a record has so many stages that single ones would rarely meet."""

    real = False

    @initialize(
        cap_bytes=st.sampled_from(CAPS),
        packet_bytes=st.sampled_from([None, 4_000]),
        max_items=st.sampled_from([1000, 2]),
        kinds=BODIES,
        stages=WAYS,
    )
    def begin(
        self, cap_bytes: int, packet_bytes: int | None, max_items: int, kinds: list[str], stages: list[Stage]
    ) -> None:
        self.world = World(real=self.real, cap_bytes=cap_bytes, packet_bytes=packet_bytes, max_items=max_items)
        self.record(kinds)
        self.on_the_way(stages)

    @rule(kinds=BODIES)
    def record(self, kinds: list[str]) -> None:
        """And some of it is on its way at once."""
        self.world.record(kinds)
        self.world.machine.connect()
        self.world.machine.turn()

    @rule(stages=WAYS)
    def on_the_way(self, stages: list[Stage]) -> None:
        for stage, which in stages:
            self.world.go(stage, which)

    @rule(stages=WAYS)
    def further_on_the_way(self, stages: list[Stage]) -> None:
        self.on_the_way(stages)

    @rule(kinds=BODIES)
    def all_is_well_for_a_moment(self, kinds: list[str]) -> None:
        self.world.record(kinds)
        self.world.good_round()

    @rule(what=st.sampled_from(LOSSES), which=st.integers(0, 15))
    def network_loses(self, what: str, which: int) -> None:
        world = self.world
        match what:
            case "batch" if world.wire:
                del world.wire[which % len(world.wire)]
            case "sack" if world.sacks:
                del world.sacks[which % len(world.sacks)]
            case "status" if world.statuses:
                world.statuses.popleft()
            case "connection" | "connection, late":
                world.lose_connection(arrived=what == "connection, late")

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(how=st.sampled_from(["stops", "is killed", "wakes without a clock", "finds the time"]))
    def agent(self, how: str) -> None:
        if how == "finds the time":
            self.world.find_the_time()
        else:
            self.world.restart_agent(killed=how != "stops", without_clock=how == "wakes without a clock")

    @rule(seconds=st.sampled_from([-40 * 24 * 3600.0, -100.0, -0.5, 100.0]))
    def clock_steps(self, seconds: float) -> None:
        self.world.machine.clock.step_s(seconds)

    @rule(cap_bytes=st.sampled_from([2_000, *CAPS]))
    def cap_changes(self, cap_bytes: int) -> None:
        self.world.machine.set_cap(cap_bytes)

    @precondition(lambda self: len(self.world.images) < 3)
    @rule()
    def keep_a_copy(self) -> None:
        self.world.images.append(self.world.copy())

    @precondition(lambda self: self.world.images)
    @rule(which=st.integers(0, 2))
    def put_an_old_copy_back(self, which: int) -> None:
        self.world.put_back(pick(self.world.images, [which])[0])

    @precondition(lambda self: self.world.images or len(self.world.machines) > 1)
    @rule(which=st.integers(0, 2), new=st.booleans())
    def another_machine_runs(self, which: int, new: bool) -> None:
        """One that has run before, or a new one with a copy of this one's files."""
        world = self.world
        if new and world.images and len(world.machines) < 3:
            machine = world.add_machine()
            machine.put(pick(world.images, [which])[0])
            world.move_to(machine)
        else:
            world.move_to(pick(world.machines, [which])[0])

    @rule(how=st.sampled_from(["", "before", "half-way", "after"]))
    def store_fails(self, how: str) -> None:
        self.world.collector.store.fails = how

    @rule(fails=st.booleans(), what=st.sampled_from(["quarantine", "state"]))
    def disk_is_full(self, fails: bool, what: str) -> None:
        collector = self.world.collector
        part = collector.quarantine if what == "quarantine" else collector.state
        part.fails = fails

    @rule(after=st.sampled_from(["", "store", "quarantine", "sack"]))
    def collector_dies(self, after: str) -> None:
        """Anywhere: between batches, between two steps of one, or before its acknowledgements go out."""
        self.world.kill_collector_at(after)

    @rule(kinds=BODIES, after=st.sampled_from(["store", "quarantine", "sack"]))
    def late_records_meet_a_death(self, kinds: list[str], after: str) -> None:
        self.world.let_come_late(kinds, after)

    @rule()
    def collector_loses_its_state(self) -> None:
        self.world.kill_collector(lose_state=True)

    @rule(refuses=st.booleans())
    def replay(self, refuses: bool) -> None:
        self.world.replay(refuses=refuses)

    # ---- what must hold at every step, and at the end

    @invariant()
    def nothing_is_lost_and_nothing_is_twice(self) -> None:
        world = self.world
        world.oracle.look_at_collector()
        world.look_at_agent()
        world.oracle.nothing_is_lost(world.machines)
        world.oracle.judge_rows(world.collector.pipeline.ledger().rows)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.drain()
            self.nothing_is_lost_and_nothing_is_twice()
            self.world.judge_ledger()
        finally:
            self.world.close()


class RealFilesMachine(DeliveryMachine):
    real = True


def _settings(examples: int) -> settings:
    return settings(
        max_examples=examples, stateful_step_count=40, deadline=None, report_multiple_bugs=False, phases=PHASES,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


DeliveryMachine.TestCase.settings = _settings(EXAMPLES)
RealFilesMachine.TestCase.settings = _settings(max(1, EXAMPLES // 6))
TestDeliveryModel = DeliveryMachine.TestCase
TestDeliveryModelOnRealFiles = RealFilesMachine.TestCase
