"""Made-up jobs for tests and pictures of the jobs' screen, never for figures. Nothing here was measured."""

from msgspec.structs import replace

from tinyprof_dashboard.events import BoardSeen, CollectorSeen, Event, ProgressSeen, RetainedComplete
from tinyprof_dashboard.example_fleet import NOW_NS, SECOND_NS, ExampleSource, board, collector, history, two_sites
from tinyprof_protocol.job_states import JobState
from tinyprof_protocol.jobs import Job, JobsReply, JobView, Progress, Where
from tinyprof_protocol.presence import Regression

CLIENTS = ("5f1c" * 8, "a07e" * 8)
NODE = "berlin.bench"


def job_id(number: int) -> bytes:
    """The id of the job of that number."""
    return bytes([0x31 + number * 7 % 190, number]) * 8


def view(number: int, state: JobState, board_name: str, **more: object) -> JobView:
    """A job asked for `10 * number` seconds ago."""
    job = Job(job_id(number), NODE, board_name, NOW_NS + 600 * SECOND_NS, priority=(0, 5, 0, -10)[number % 4])
    told: dict[str, object] = {
        "client": CLIENTS[number % 2],
        "asked_ns": NOW_NS - (4 + 10 * number) * SECOND_NS,
        **more,
    }
    return JobView(job, state, **told)  # type: ignore[arg-type]


def some_jobs() -> JobsReply:
    """Jobs in every state."""

    def ago(seconds: float) -> int:
        return NOW_NS - round(seconds * SECOND_NS)

    jobs = [
        view(1, "started", "esp32s3-1", started_ns=ago(9)),
        view(2, "queued", "stm32h7-1", ahead=1, where=Where(platform="stm32h743", site="berlin")),
        view(0, "queued", "esp32s3-1"),
        view(3, "accepted", "pi5-1"),
        view(9, "queued", "esp32s3-1", joined=job_id(1)),
        view(4, "finished", "host-1", started_ns=ago(43), ended_ns=ago(31)),
        view(5, "refused", "rp2040-1", ended_ns=ago(53), message="suite 'soak' is not offered by this agent"),
        view(6, "interrupted", "jetson-1", started_ns=ago(61), ended_ns=ago(52), message="its agent died twice"),
        view(7, "expired", "mps2-1", ended_ns=ago(12), message="its deadline has passed"),
        view(8, "cancelled", "host-1", ended_ns=ago(80)),
    ]
    return JobsReply(jobs, 24)


def running() -> ProgressSeen:
    """The first job's run, in the middle of its text."""
    text = "Once upon a time, there was a little girl named Lily. She loved to play outside in the"
    return ProgressSeen(Progress(NODE, "esp32s3-1", "timed", job_id(1), job_id(1), 2, 6, text))


def regressed() -> list[Event]:
    """Two boards that have become slower, and one that has become quicker."""

    def found(name: str, metric: str, before: float, after: float, *, worse: bool = True) -> Regression:
        change = (after - before) / before
        since_ns = NOW_NS - 5400 * SECOND_NS
        return Regression(NODE, name, "ab" * 8, metric, before, after, change, since_ns, NOW_NS, worse, "quick")

    slow = replace(board(NODE, "esp32s3-1", kind=4), regressions=[found("esp32s3-1", "decode_tps", 12.84, 11.31)])
    late = [found("pi5-1", "ttft_ms", 7.1, 9.9), found("pi5-1", "decode_tps", 1220, 1101)]
    quick = replace(board(NODE, "host-1"), regressions=[found("host-1", "decode_tps", 380, 412, worse=False)])
    slower = replace(board(NODE, "pi5-1", kind=1), regressions=late)
    return [BoardSeen(replace(slow, state="running")), BoardSeen(slower), BoardSeen(quick)]


def source(*more: Event) -> ExampleSource:
    """Two sites whose collector has jobs and a cache, and some boards that have regressed."""
    counters = {
        "jobs_queued": 3, "jobs_running": 2, "jobs_joined": 31, "cache_hits": 988, "cache_misses": 216,
        "cache_entries": 240, "cache_evictions": 3, "cache_expired": 41,
    }  # fmt: skip
    hub = CollectorSeen(replace(collector().status, counters=counters), live=False)
    events = [event for event in two_sites() if not isinstance(event, RetainedComplete)]
    played = [*events, hub, *regressed(), *more, RetainedComplete()]
    return ExampleSource(played, jobs={"hub": some_jobs()}, answer=history)
