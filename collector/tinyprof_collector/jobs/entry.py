"""A job as a client asked for it, the run that is made for it, and how both are told and kept."""

from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from tinyprof_collector.jobs.actions import ReplyTo
from tinyprof_collector.jobs.waiting import BoardKey, Target
from tinyprof_protocol.bounds import Id16, Line, TimeNs, Word
from tinyprof_protocol.job_states import ENDED, JobState
from tinyprof_protocol.jobs import Job, JobView, ProfileReply, ProfileRequest
from tinyprof_protocol.records import Record


class KeptJob(Struct, frozen=True, omit_defaults=True):
    """A job as it outlives the collector. `state` is `queued` for all that have not ended."""

    request: ProfileRequest
    client: Word
    asked_ns: TimeNs
    state: JobState
    run_id: Id16
    """The job that its run was sent as: its own id, or that of the one it is joined to."""
    message: Line = ""
    node: Word = ""
    board: Word = ""
    """Where the run was sent, once that is decided."""
    started_ns: TimeNs | None = None
    ended_ns: TimeNs | None = None
    cancelling: bool = False
    has_result: bool = False


@dataclass(slots=True)
class Entry:
    """A job. While it has not ended its state is its run's."""

    request: ProfileRequest
    client: str
    asked_ns: int
    run_id: bytes
    ended: JobState | None = None
    message: str = ""
    place: BoardKey | None = None
    started_ns: int | None = None
    ended_ns: int | None = None
    asking: list[ReplyTo] = field(default_factory=list)
    told: JobState | None = None
    """The last state that its clients were told."""
    has_result: bool = False
    weight: int = 0
    home: BoardKey = field(init=False)
    """The board that it named when it was kept last: by that one's node its keeper finds it."""

    def __post_init__(self) -> None:
        self.home = (self.request.job.node, self.request.job.board)

    @property
    def id(self) -> bytes:
        """The job's id, which is the client's."""
        return self.request.job.id

    def be_at(self, board: BoardKey) -> None:
        """A job that any such board may make is with this one: it names it from now on, and is kept by its node.

        So whoever serves the node, whose records tell of the job, has the job too.
        """
        if self.request.where is not None:
            self.request = at_board(self.request, board)

    def go_home(self) -> None:
        """It was to be with a board and is not: it names the one that it is kept by."""
        self.place = None
        self.be_at(self.home)

    def is_kept(self) -> None:
        """It is kept as it is now."""
        self.home = (self.request.job.node, self.request.job.board)


@dataclass(slots=True)
class Run:
    """What is sent to an agent, for one job or for several that are joined."""

    job: Job
    target: Target
    client: str
    members: list[bytes]
    keys: list[bytes] = field(default_factory=list)
    state: JobState = "queued"
    message: str = ""
    place: BoardKey | None = None
    """Where it was sent; None while it waits for its turn."""
    sent_ns: int = 0
    cancelling: bool = False
    result: Record | None = None
    finished_ns: int | None = None
    started_ns: int | None = None
    began_ns: int | None = None
    """When it started, by its agent's clock."""

    @property
    def id(self) -> bytes:
        """The id that its agent knows it by."""
        return self.job.id

    @property
    def at(self) -> BoardKey | None:
        """The board that it is with or waits for; None where any of a kind will do."""
        return self.place or (self.target if isinstance(self.target, tuple) else None)

    def left_s(self, now_ns: int) -> int:
        """Whole seconds until its deadline, none below zero."""
        return left_s(self.job, now_ns)

    def sent_as(self) -> Job:
        """The job as it travels, or its cancellation."""
        node, board = self.place or (self.job.node, self.job.board)
        if self.cancelling:
            return Job(id=self.job.id, node=node, board=board, deadline_ns=self.job.deadline_ns, cancel=True)
        return replace(self.job, node=node, board=board, cancel=False)


def at_board(request: ProfileRequest, board: BoardKey) -> ProfileRequest:
    """The same request, of which the job names another board."""
    return replace(request, job=replace(request.job, node=board[0], board=board[1]))


def left_s(job: Job, now_ns: int) -> int:
    """Whole seconds until a job's deadline, none below zero."""
    return max(0, min((job.deadline_ns - now_ns) // 10**9, 2**31))


def joined_to(entry: Entry) -> bytes | None:
    """The job that this one is joined to."""
    return None if entry.run_id == entry.id else entry.run_id


def state_of(entry: Entry, run: Run | None) -> JobState:
    """The state of a job: its own end, else its run's."""
    return entry.ended or (run.state if run is not None else "queued")


def reply_of(entry: Entry, run: Run | None, message: str | None = None, result: Record | None = None) -> ProfileReply:
    """What a client is told of a job."""
    state = state_of(entry, run)
    node, board = entry.place or ("", "")
    text = message if message is not None else entry.message if entry.ended or run is None else run.message
    return ProfileReply(entry.id, state, text, state in ENDED, result, node, board, None, joined_to(entry))


def view_of(entry: Entry, run: Run | None, ahead: int = 0) -> JobView:
    """A job as it is listed."""
    node, board = entry.place or (entry.request.job.node, entry.request.job.board)
    return JobView(
        job=replace(entry.request.job, node=node, board=board),
        state=state_of(entry, run),
        message=entry.message if entry.ended or run is None else run.message,
        where=entry.request.where,
        client=entry.client,
        asked_ns=entry.asked_ns,
        started_ns=entry.started_ns if entry.ended or run is None else run.started_ns,
        ended_ns=entry.ended_ns,
        joined=joined_to(entry),
        ahead=ahead,
    )


def kept_of(entry: Entry, run: Run | None) -> KeptJob:
    """A job as it is kept."""
    node, board = entry.place or ("", "")
    return KeptJob(
        entry.request, entry.client, entry.asked_ns, entry.ended or "queued", entry.run_id, entry.message, node, board,
        entry.started_ns, entry.ended_ns, run is not None and run.cancelling, entry.has_result,
    )  # fmt: skip


def kept_at(kept: KeptJob, board: BoardKey) -> KeptJob:
    """A job that waits, as who takes it for a board of its own keeps it."""
    return replace(kept, request=at_board(kept.request, board))


def entry_of(kept: KeptJob) -> Entry:
    """A job as it was kept."""
    return Entry(
        kept.request, kept.client, kept.asked_ns, kept.run_id, kept.state if kept.state in ENDED else None,
        kept.message, (kept.node, kept.board) if kept.node else None, kept.started_ns, kept.ended_ns,
        has_result=kept.has_result, weight=weight_of(kept.request),
    )  # fmt: skip


def weight_of(request: ProfileRequest) -> int:
    """The bytes of its prompts, which are all that may be large in a job."""
    return sum(len(prompt.encode()) for prompt in request.job.prompts)
