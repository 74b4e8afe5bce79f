"""Records as an agent makes them at the present time: odd seqs are runs of one board, even ones samples and events."""

import time
from collections.abc import Iterable

from tinyprof_collector.stores.store import Arrival
from tinyprof_protocol.codec import pack
from tinyprof_protocol.records import Body, Build, ClockReport, Conditions, Event, Figure, Record, Result, Sample

NODE, EPOCH = "lab.pi", (7).to_bytes(16, "big")
BUILD = Build("host", "reference", "numpy", "stories260k", "0" * 64, "q8_0", "f32", "f32", 512, "device")
_BEGAN_NS = time.time_ns() // 10**9 * 10**9


def now_ns() -> int:
    """When all these records were made, less an hour: within any retention that a test sets."""
    return _BEGAN_NS - 600 * 10**9


def result_of(seq: int, board: str = "alpha", decode_tps: float | None = None, verdict: str = "valid") -> Result:
    value = 50.0 + seq if decode_tps is None else decode_tps
    figures = {
        "decode_tps": Figure(value, value - 1, value + 1, 0.969, 6),
        "ram_peak_bytes": Figure(65536.0 + seq),
        "no_metric_of_ours": Figure(1.5),
    }
    return Result(
        run_id=seq.to_bytes(16, "big"), board=board, build=BUILD, suite="quick", prompts=["Once upon a time"],
        max_tokens=64, verdict=verdict, reasons=[], golden="match", clock=ClockReport("host"), figures=figures,
        repetitions=[], conditions=Conditions(), timed_s=10.0,
    )  # type: ignore[arg-type]  # fmt: skip


def body_of(seq: int) -> Body:
    if seq % 2:
        return result_of(seq)
    return (
        Sample({"temperature_c": 40.0 + seq}, "alpha")
        if seq % 4 == 0
        else Event("note", message=f'"{seq}"\\', board="alpha")
    )


def arrivals(
    seqs: Iterable[int], node: str = NODE, epoch: bytes = EPOCH, age_s: float = 0.0, body: Body | None = None
) -> list[Arrival]:
    """Records of an epoch; the same seq is the same record each time."""
    made = []
    for seq in seqs:
        time_ns = now_ns() - int(age_s * 10**9) + seq * 1_000_000
        record = Record(time_ns, "clock", bytes(16), seq, body or body_of(seq))
        made.append(Arrival(node, epoch, seq, pack(record), record))
    return made
