"""One full example of every message, and hypothesis strategies for them."""

import msgspec
from hypothesis import strategies as st

from tinyprof_protocol import delivery, jobs, presence, records, requests
from tinyprof_protocol.codec import pack

ID = bytes(range(16))
NODE = "lab.agent-1"
SHA = "0af420e463d5a6b69cb518e547e73b904ae484357c1d014d7ca8a03b0df354f5"
NOW = 1_790_000_000_123_456_789

BUILD = records.Build(
    platform="host", engine="numpy-reference", engine_build="0.1.0 numpy 2.4", model="stories260k-q4_0",
    model_sha256=SHA, quantisation="Q4_0", kv_cache="f32", activations="float32", ctx=256, timing="device",
    firmware="soft-board", firmware_build="0.1.0",
)  # fmt: skip
RESULT = records.Result(
    run_id=ID, board="host", build=BUILD, suite="quick", prompts=["One day"], max_tokens=16, verdict="unstable",
    reasons=["TTFT varies by 7% of its median"], golden="match",
    clock=records.ClockReport(check="host", tick_hz=10**9, span_s=2.5),
    figures={"ttft_ms": records.Figure(1.5, 1.4, 1.7, 0.969, 6), "decode_tps": records.Figure(800.25)},
    repetitions=[records.Repetition(0, 1.5, 1.2, 3, 16, "match", 16)],
    conditions=records.Conditions(temperature_c=51.5, load_1m=0.4), timed_s=2.5, itl_us=[1200, 1250, 1190],
    output=", Daisy and Patch", job_id=ID,
)  # fmt: skip
SAMPLE = records.Sample(readings={"temperature_c": 48.5, "load_1m": 0.1}, board="host")
EVENT = records.Event("board_lost", "critical", "port is gone: plug it in again", "soft-1")
RECORD = records.Record(NOW, "clock", ID, 12_345_678_900, RESULT)
BATCH = delivery.Batch(
    NODE, ID, 3, [delivery.Evicted(4, 6, "cap")],
    [delivery.Entry(3, pack(RECORD)), delivery.Entry(7, pack(records.Record(NOW + 1, "estimated", ID, 1, SAMPLE)))],
)  # fmt: skip
SACK = delivery.Sack(NODE, ID, 3, [(5, 6), (9, 12)])
AGENT_STATUS = presence.AgentStatus(
    NODE, "online", version="0.1.0", boot=ID, time_ns=NOW, started_ns=NOW - 10**9,
    epochs=[presence.EpochOwed(ID, 3, 12)],
    boards=[presence.BoardPresence("host", "host", "running", "host", "stories260k-q4_0", 60.0)],
    jobs=[ID], offers=["quick"], spool_records=9, spool_bytes=4000, spool_cap_bytes=64 << 20, counters={"evicted": 3},
)  # fmt: skip
SUITES = [presence.SuiteOffered("quick", "0123456789abcdef", 24, 6, "fedcba9876543210")]
COLLECTOR_STATUS = presence.CollectorStatus(
    "main",
    "online",
    "0.1.0",
    NOW,
    NOW - 10**9,
    10.0,
    list(range(16)),
    "healthy",
    [],
    {"sqlite": "healthy"},
    {"stored": 7},
)
SUMMARY = presence.BoardSummary(
    NODE, "host", "healthy", [], NOW, "host", "host", model="stories260k-q4_0", quantisation="Q4_0",
    engine="numpy-reference", last_result_ns=NOW, verdict="valid",
    figures={"ttft_ms": records.Figure(1.5)}, readings={"temperature_c": 48.5},
    spark=[800.0, 810.5], results=2, valid=2,
)  # fmt: skip
JOB = jobs.Job(ID, NODE, "host", NOW + 10**10, prompts=["One day"], max_tokens=16, priority=1)

WHERE = jobs.Where(site="lab", platform="stm32f405", label="bench")
CACHED = jobs.CachedFrom(NODE, "host", NOW, 12.5, "valid")
REGRESSION = presence.Regression(
    NODE, "host", "0123456789abcdef", "decode_tps", 800.0, 640.0, -0.2, NOW, NOW + 10**9, suite="quick"
)

EXAMPLES: dict[str, object] = {
    "record": RECORD,
    "record-event": records.Record(NOW, "clock", ID, 5, EVENT),
    "record-suite-terms": records.Record(
        NOW, "clock", ID, 5, msgspec.structs.replace(RESULT, suite_terms="fedcba9876543210")
    ),
    "batch": BATCH,
    "sack": SACK,
    "agent-status": AGENT_STATUS,
    "agent-status-suites": presence.AgentStatus(
        NODE,
        "online",
        offers=["quick"],
        suites=SUITES,
        boards=[presence.BoardPresence("host", "host", "idle", build="00112233aabbccdd", clock_mode="10000 schedutil")],
    ),
    "agent-will": presence.AgentStatus(NODE, "offline"),
    "collector-status": COLLECTOR_STATUS,
    "board-summary": SUMMARY,
    "job": JOB,
    "job-cancellation": jobs.Job(ID, NODE, "host", NOW, cancel=True),
    "progress": jobs.Progress(NODE, "host", "timed", ID, ID, 2, 6, "Once"),
    "history-request": requests.HistoryRequest(NODE, "host", "ttft_ms", NOW, 10),
    "history-reply": requests.HistoryReply([requests.Point(NOW, 1.5, 1.4, 1.7, "valid", ID)], [RECORD]),
    "ledger-request": requests.LedgerRequest(NODE, True),
    "ledger-reply": requests.LedgerReply([requests.LedgerRow(NODE, ID, 12, 3, stored=9, evicted=3, verified=9)], True),
    "status-request": requests.StatusRequest(),
    "status-reply": requests.StatusReply(
        COLLECTOR_STATUS,
        [requests.AgentView(AGENT_STATUS, "healthy", [], NOW, 1.5, 20.0)],
        {"healthy": 1},
        {"stored": 9},
    ),
    "boards-request": requests.BoardsRequest(NODE),
    "boards-reply": requests.BoardsReply([SUMMARY], 1),
    "profile-request": jobs.ProfileRequest(JOB),
    "profile-reply": jobs.ProfileReply(ID, "finished", "", True, RECORD),
    "profile-request-where": jobs.ProfileRequest(JOB, WHERE, False, 60.0),
    "profile-request-repeated": jobs.ProfileRequest(JOB, repeated=True),
    "profile-reply-cached": jobs.ProfileReply(ID, "finished", "", True, RECORD, NODE, "host", CACHED, joined=bytes(16)),
    "jobs-request": jobs.JobsRequest("cancel", [ID], NODE, "host", "0" * 32, True),
    "jobs-reply": jobs.JobsReply(
        [jobs.JobView(JOB, "queued", "", WHERE, "0" * 32, NOW, NOW + 1, NOW + 2, bytes(16), 3)], 1, 1
    ),
    "forget-request": requests.ForgetRequest(NODE, "host"),
    "forget-reply": requests.ForgetReply(True),
    "results-request": requests.ResultsRequest(NODE, "host", NOW, NOW + 10**9, 10),
    "results-reply": requests.ResultsReply([RECORD], True),
    "cache-request": requests.CacheRequest("list", 1, 10),
    "cache-reply": requests.CacheReply(
        requests.CacheStats(1, 1000, 3600.0, 5, 2, 1, 3, 1, 1),
        [requests.CacheItem(CACHED, "host", "stories260k-q4_0", "quick", "One day", 1, 5)],
        1,
    ),
    "board-summary-regressed": presence.BoardSummary(
        NODE, "host", "warning", ["decode_tps fell by 20%"], NOW, labels=["bench"], regressions=[REGRESSION]
    ),
    "quarantine-request": requests.QuarantineRequest("show", 4),
    "quarantine-reply": requests.QuarantineReply(
        [requests.QuarantineItem(4, NOW, "tinyprof/1/00/a.b/records", "message is empty", 0, NODE, ID, 5, data=b"x")], 1
    ),
    "agent-status-ages": presence.AgentStatus(
        NODE,
        "online",
        epochs=[presence.EpochOwed(ID, 3, 12, 61.5), presence.EpochOwed(bytes(16), 1, 0)],
        spool_records=9,
        spool_oldest_s=61.5,
    ),
    "collector-status-holding": presence.CollectorStatus(
        "main",
        "online",
        health="critical",
        stores={"influxdb": "critical"},
        counters={"holds": 4},
        store_errors={"influxdb": "connection refused"},
        state_error="no room",
        holding_s=75.5,
        waiting=12,
    ),
    "ledger-request-settled": requests.LedgerRequest(settled_as_one=True),
    "ledger-reply-agents": requests.LedgerReply(
        [
            requests.LedgerRow(NODE, ID, 12, 3, stored=2, in_spool=10, oldest_s=61.5),
            requests.LedgerRow(NODE, bytes(16), 40, stored=40, forgotten=True, epochs=5),
        ],
        True,
        agents=[requests.AgentDelivery(NODE, NOW, False, 10, 61.5, 20.0, 3.5, 2)],
    ),
    "failure": requests.Failure("unknown_board", "no board 'hots': did you mean 'host'?"),
}

finite = st.floats(-1e300, 1e300)
ids = st.binary(min_size=16, max_size=16)
names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True)
nodes = st.builds("{}.{}".format, names, names)
counts = st.integers(0, 2**53)
lines = st.text(max_size=60)
figures = st.builds(
    records.Figure, finite, st.none() | finite, st.none() | finite, st.none() | finite, counts, st.booleans()
)
samples = st.builds(records.Sample, st.dictionaries(st.text(max_size=20), finite, max_size=5), st.none() | names)
events = st.builds(
    records.Event, lines, st.sampled_from(["info", "warning", "critical"]), lines, st.none() | names,
    st.none() | ids, st.none() | ids, counts,
)  # fmt: skip
results = st.builds(
    lambda figures, gaps, verdict, golden, output, run: records.Result(
        run, "host", BUILD, "quick", ["One day"], 16, verdict, [], golden, RESULT.clock, figures,
        list(RESULT.repetitions), RESULT.conditions, 2.0, itl_us=gaps, output=output,
    ),
    st.dictionaries(st.sampled_from(["ttft_ms", "tpot_ms", "decode_tps"]), figures),
    st.lists(counts, max_size=40),
    st.sampled_from(["valid", "unstable", "invalid"]),
    st.sampled_from(["match", "tie", "differs", "none"]),
    st.text(max_size=100),
    ids,
)  # fmt: skip
all_records = st.builds(
    records.Record, st.integers(-(2**63), 2**63 - 1), st.sampled_from(["clock", "estimated"]), ids,
    st.integers(0, 2**62), samples | events | results,
)  # fmt: skip
