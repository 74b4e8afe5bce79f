"""A made-up fleet and a source that plays it: for tests, benchmarks and pictures, never for figures.

Everything follows from the arguments; nothing here was measured.
"""

import hashlib
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from tinyprof_dashboard.events import (
    AgentSeen,
    BoardSeen,
    Came,
    CollectorSeen,
    Event,
    HistoryCame,
    LinkChanged,
    Parts,
    RetainedComplete,
)
from tinyprof_protocol.jobs import JobsReply, JobsRequest
from tinyprof_protocol.names import PARTITIONS
from tinyprof_protocol.presence import AgentStatus, BoardSummary, CollectorStatus, Health
from tinyprof_protocol.records import (
    Build,
    ClockReport,
    Conditions,
    Figure,
    Golden,
    Record,
    Repetition,
    Result,
    Verdict,
)
from tinyprof_protocol.requests import HistoryReply, HistoryRequest, LedgerReply, LedgerRequest, Point

NOW_NS = 1_767_225_600_000_000_000
SECOND_NS = 1_000_000_000
_KINDS = (
    ("host", "linux-x86", "numpy", 410.0, 21_300_000, 0.0),
    ("pi5", "rpi-5", "llama.cpp", 1210.0, 4_100_000, 58.0),
    ("jetson", "jetson-orin-nano", "llama.cpp", 2350.0, 6_200_000, 51.0),
    ("stm32h7", "stm32h743", "reference-c", 38.0, 402_000, 44.0),
    ("esp32s3", "esp32-s3", "reference-c", 11.5, 318_000, 47.0),
    ("rp2040", "rp2040", "reference-c", 2.1, 196_000, 31.0),
    ("mps2", "mps2-an386", "reference-c", 21.0, 214_000, 0.0),
)


class ExampleSource:
    """Plays batches of events: the first at the start, each further one when `play` is called."""

    def __init__(
        self,
        events: Iterable[Event] = (),
        *,
        name: str = "mqtt://example:1883",
        answer: Callable[[HistoryRequest], HistoryReply] | None = None,
        ledgers: Mapping[str, LedgerReply] | None = None,
        jobs: Mapping[str, JobsReply] | None = None,
    ) -> None:
        self.name = name
        self.asked: list[tuple[str, HistoryRequest]] = []
        self.parts_asked: dict[Parts, list[str]] = {"ledgers": [], "jobs": []}
        self.stopped = False
        self._events = list(events)
        self._answer = answer
        self._parts: dict[Parts, Mapping[str, LedgerReply] | Mapping[str, JobsReply]] = {
            "ledgers": ledgers or {},
            "jobs": jobs or {},
        }
        self.followed: list[str | None] = []
        self._wake: Callable[[], None] = lambda: None

    def start(self, wake: Callable[[], None]) -> None:
        """Plays the first batch."""
        self._wake = wake
        if self._events:
            wake()

    def play(self, *events: Event) -> None:
        """Plays more."""
        self._events += events
        self._wake()

    def stop(self) -> None:
        """Remembers that it was stopped."""
        self.stopped = True

    def drain(self) -> list[Event]:
        """What was played since the last call."""
        events, self._events = self._events, []
        return events

    def ask_history(self, collector: str, request: HistoryRequest) -> bool:
        """Answers with the made-up history, if it was given one."""
        self.asked.append((collector, request))
        if self._answer is not None:
            self.play(HistoryCame((request.node, request.board), request.metric, self._answer(request)))
        return True

    def ask_part(self, what: Parts, collector: str, request: LedgerRequest | JobsRequest) -> bool:  # noqa: ARG002  (as every source)
        """Answers with the collector's made-up part, if it was given one."""
        self.parts_asked[what].append(collector)
        if collector in self._parts[what]:
            self.play(Came(what, collector, self._parts[what][collector]))
        return True

    def follow(self, node: str | None) -> None:
        """Remembers whom."""
        self.followed.append(node)


def board(
    node: str,
    name: str,
    *,
    kind: int = 0,
    health: Health = "healthy",
    reasons: Sequence[str] = (),
    age_s: float = 3.0,
    interval_s: float = 10.0,
    verdict: Verdict | None = "valid",
    emulated: bool = False,
    seed: int = 0,
    now_ns: int = NOW_NS,
) -> BoardSummary:
    """A summary with figures that look like a board of its kind."""
    _, platform, engine, decode, ram, temperature = _KINDS[kind]
    rng = random.Random(f"{node}/{name}/{seed}")
    spark = [round(decode * rng.uniform(0.94, 1.04), 2) for _ in range(16)]
    tps = spark[-1]
    ttft_ms = 9000 / decode * rng.uniform(0.96, 1.1)
    figures = {
        "decode_tps": _figure(tps, estimated=emulated),
        "ttft_ms": _figure(ttft_ms, estimated=emulated),
        "tpot_ms": _figure(1000 / tps, estimated=emulated),
        "prefill_tps": _figure(9000 / ttft_ms, estimated=emulated),
        "ram_peak_bytes": Figure(float(ram)),
    }
    seen_ns = now_ns - round(age_s * SECOND_NS)
    runs = rng.randrange(40, 400)
    return BoardSummary(
        node=node, board=name, health=health, reasons=list(reasons), time_ns=seen_ns, driver="probe",
        platform=platform, stands_for="stm32f405" if emulated else None, emulated=emulated, model="stories260k",
        quantisation="q8_0", engine=engine, interval_s=interval_s, last_result_ns=seen_ns, last_seen_ns=seen_ns,
        verdict=verdict, golden="match", figures=figures if verdict else {},
        readings={"temperature_c": temperature + rng.randrange(4)} if temperature else {},
        spark=spark if verdict else [], results=runs, valid=runs - 5, unstable=4, invalid=1,
    )  # fmt: skip


def _figure(value: float, *, estimated: bool) -> Figure:
    if estimated:
        return Figure(value, value * 0.7, value * 1.2, estimated=True)
    return Figure(value, value * 0.985, value * 1.012, 0.969, 6)


def agent(node: str, *, online: bool = True, age_s: float = 4.0, now_ns: int = NOW_NS) -> AgentSeen:
    """A remembered status of an agent."""
    at_ns = now_ns - round(age_s * SECOND_NS)
    return AgentSeen(AgentStatus(node, "online" if online else "offline", "0.1.0", time_ns=at_ns), live=False)


def collector(
    name: str = "hub", *, age_s: float = 2.0, stores: dict[str, Health] | None = None, reasons: Sequence[str] = (),
    health: Health = "healthy", partitions: Iterable[int] = range(PARTITIONS), now_ns: int = NOW_NS,
) -> CollectorSeen:  # fmt: skip
    """A remembered status of a collector that holds the whole fleet, unless told otherwise."""
    status = CollectorStatus(
        name, "online", "0.1.0", time_ns=now_ns - round(age_s * SECOND_NS), partitions=list(partitions),
        health=health, reasons=list(reasons), stores=stores or {"sqlite": "healthy"},
    )  # fmt: skip
    return CollectorSeen(status, live=False)


def two_sites(now_ns: int = NOW_NS) -> list[Event]:
    """Two sites, all healthy."""
    nodes = ("berlin.bench", "oslo.rack1")
    boards = [
        board(node, f"{_KINDS[kind][0]}-{index + 1}", kind=kind, age_s=2.0 + kind, emulated=kind == 6, now_ns=now_ns)
        for index, node in enumerate(nodes)
        for kind in range(len(_KINDS))
    ]
    return [
        LinkChanged(True),
        collector(now_ns=now_ns),
        *(agent(node, now_ns=now_ns) for node in nodes),
        *(BoardSeen(summary) for summary in boards),
        RetainedComplete(),
    ]


def troubled(now_ns: int = NOW_NS) -> list[Event]:
    """Several sites with something of everything: what a picture of the dashboard should show."""
    sites = ("berlin.bench", "lagos.roof", "lima.lab", "oslo.rack1", "pune.field", "turku.mast")
    events: list[Event] = [LinkChanged(True), collector(now_ns=now_ns)]
    rng = random.Random(7)
    for place, node in enumerate(sites):
        events.append(agent(node, online=node != "pune.field", now_ns=now_ns))
        for index in range(5):
            kind = (place + index * 2) % len(_KINDS)
            name = f"{_KINDS[kind][0]}-{index + 1}"
            summary = board(node, name, kind=kind, age_s=rng.randrange(1, 9), emulated=kind == 6, now_ns=now_ns)
            events.append(BoardSeen(summary))
    late = board("oslo.rack1", "esp32s3-9", kind=4, age_s=190, now_ns=now_ns)
    hot = board("lima.lab", "pi5-7", kind=1, health="warning", reasons=["throttled for 31% of the timed work"],
                verdict="unstable", now_ns=now_ns)  # fmt: skip
    wrong = board("lagos.roof", "rp2040-8", kind=5, health="critical", verdict="invalid",
                  reasons=["golden differs at token 14", "3 runs invalid in a row"], now_ns=now_ns)  # fmt: skip
    return [*events, *(BoardSeen(summary) for summary in (late, hot, wrong)), RetainedComplete()]


def many(boards: int, *, now_ns: int = NOW_NS, each: int = 20) -> list[Event]:
    """A fleet of any size, `each` boards to an agent."""
    healths: tuple[Health, ...] = ("healthy",) * 17 + ("warning", "warning", "critical")
    events: list[Event] = [LinkChanged(True), collector(now_ns=now_ns)]
    for index in range(boards):
        node = f"site{index // each // 10:03d}.agent{index // each:04d}"
        if index % each == 0:
            events.append(agent(node, now_ns=now_ns))
        kind, health = index % len(_KINDS), healths[index % len(healths)]
        events.append(BoardSeen(board(node, f"{_KINDS[kind][0]}-{index:05d}", kind=kind, health=health, now_ns=now_ns)))
    return [*events, RetainedComplete()]


def history(request: HistoryRequest, *, now_ns: int = NOW_NS) -> HistoryReply:
    """A made-up history: 120 points, ten seconds apart, and the newest twelve runs."""
    rng = random.Random(f"{request.node}/{request.board}/{request.metric}")
    usual = _usual(request.board, request.metric)
    points, value = [], usual
    for index in range(120):
        dip = 0.06 if 70 <= index < 74 else 0.0
        value += usual * (rng.uniform(-0.012, 0.012) - dip) - (value - usual) * 0.08
        points.append(Point(now_ns - (120 - index) * 10 * SECOND_NS, value, value * 0.99, value * 1.01, "valid"))
    return HistoryReply(points, [_run(request.board, index, now_ns) for index in range(12)])


def _kind_of(name: str) -> tuple[str, str, str, float, int, float]:
    return next((kind for kind in _KINDS if name.startswith(kind[0])), _KINDS[0])


def _usual(name: str, metric: str) -> float:
    """About what a board of its kind shows."""
    _, _, _, decode, ram, temperature = _kind_of(name)
    known = {"ttft_ms": 9000 / decode, "tpot_ms": 1000 / decode, "ram_peak_bytes": ram, "temperature_c": temperature}
    return float(known.get(metric, decode))


def _run(name: str, index: int, now_ns: int) -> Record:
    rng = random.Random(f"{name}/{index}")
    verdict: Verdict = "invalid" if index == 5 else "unstable" if index in (2, 8) else "valid"
    golden: Golden = "differs" if verdict == "invalid" else "match"
    reasons = {"valid": [], "unstable": ["TPOT interval is 7.1% of the median"],
               "invalid": ["output differs from golden at token 14"]}[verdict]  # fmt: skip
    tps = _usual(name, "decode_tps") * rng.uniform(0.95, 1.05)
    ttft_ms = _usual(name, "ttft_ms") * rng.uniform(0.95, 1.05)
    _, platform, engine, _, ram, _ = _kind_of(name)
    build = Build(platform, engine, "example", "stories260k", hashlib.sha256(b"example").hexdigest(),
                  "q8_0", "f32", "f32", 512, "client")  # fmt: skip
    figures = {
        "ttft_ms": _figure(ttft_ms, estimated=False),
        "decode_tps": _figure(tps, estimated=False),
        "tpot_ms": _figure(1000 / tps, estimated=False),
        "ram_peak_bytes": Figure(float(ram)),
    }
    repetitions = [Repetition(0, ttft_ms, 1000 / tps, 9, 48, golden) for _ in range(6)]
    result = Result(
        run_id=index.to_bytes(16, "big"), board=name, build=build, suite="quick", prompts=["Once upon a time"],
        max_tokens=48, verdict=verdict, reasons=reasons, golden=golden, clock=ClockReport("host"), figures=figures,
        repetitions=repetitions, conditions=Conditions(61.0, 2_900_000_000, load_1m=0.42), timed_s=2.1,
        output=" there was a little girl named Lily. She loved to play outside in the sun.",
    )  # fmt: skip
    return Record(now_ns - (index + 1) * 10 * SECOND_NS, "clock", bytes(16), index, result)
