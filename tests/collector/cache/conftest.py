"""A fleet of one agent with boards, and the results of their runs, for the tests of the cache."""

from dataclasses import dataclass, field

import pytest
from msgspec import structs

from tinyprof_collector.presence import Presence
from tinyprof_collector.stores.store import Arrival
from tinyprof_platforms.suites import Suite, adapt, offered, suite_terms
from tinyprof_protocol.codec import pack
from tinyprof_protocol.fingerprints import build_fingerprint, clock_mode
from tinyprof_protocol.jobs import Job, ProfileRequest
from tinyprof_protocol.presence import AgentStatus, BoardPresence
from tinyprof_protocol.records import Build, ClockReport, Conditions, Record, Result, Verdict

NOW_NS = 1_800_000_000 * 10**9
S = 10**9
NODE = "lab.pi"
SUITE = Suite(prompts=("One day",), max_tokens=24)
TICK_HZ = 133_000_000
BUILD = Build("rp2040", "c", "1", "stories260k", "0" * 64, "Q8_0", "f32", "float32", 256, "device", firmware_build="a1")


@dataclass
class Fleet:
    """What agents say, and what their boards measure."""

    presence: Presence = field(default_factory=Presence)
    seq: int = 0

    def says(self, *boards: BoardPresence, node: str = NODE, state: str = "online", at_ns: int = NOW_NS) -> None:
        suites = [offered("quick", SUITE)]
        status = AgentStatus(node, state, interval_s=10.0, boards=list(boards), suites=suites)  # type: ignore[arg-type]
        self.presence.hear(status, at_ns)

    def board(self, name: str = "one", build: Build = BUILD, **more: object) -> BoardPresence:
        return BoardPresence(
            name, "probe", "idle", build.platform, build.model, emulated=build.emulated,
            build=build_fingerprint(build), clock_mode=clock_mode(TICK_HZ, None), **more,
        )  # type: ignore[arg-type]  # fmt: skip

    def run(
        self,
        asked: Job | None = None,
        *,
        build: Build = BUILD,
        verdict: Verdict = "valid",
        board: str = "one",
        node: str = NODE,
        at_ns: int = NOW_NS,
        **more: object,
    ) -> Arrival:
        self.seq += 1
        asked = asked or self.job()
        own = adapt(SUITE, prompts=tuple(asked.prompts), max_tokens=asked.max_tokens, repetitions=asked.repetitions)
        result = Result(
            run_id=self.seq.to_bytes(16), board=board, build=build, suite=asked.suite, prompts=list(own.prompts),
            max_tokens=own.max_tokens, verdict=verdict, reasons=[], golden="match",
            clock=ClockReport("checked", tick_hz=TICK_HZ), figures={}, repetitions=[], conditions=Conditions(),
            timed_s=1.0, min_repetitions=own.min_repetitions, suite_terms=suite_terms(own),
        )  # fmt: skip
        record = Record(at_ns, "clock", bytes(16), self.seq, structs.replace(result, **more))
        return Arrival(node, bytes(16), self.seq, pack(record), record)

    def job(self, number: int = 1, **more: object) -> Job:
        given = {"id": number.to_bytes(16), "node": NODE, "board": "one", "deadline_ns": NOW_NS + 10**6 * S}
        return Job(**{**given, **more})  # type: ignore[arg-type]

    def request(self, **more: object) -> ProfileRequest:
        of_job = {key: more.pop(key) for key in list(more) if key not in ("where", "use_cache", "max_age_s")}
        return ProfileRequest(self.job(**of_job), **more)  # type: ignore[arg-type]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()
