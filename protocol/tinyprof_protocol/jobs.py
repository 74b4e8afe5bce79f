"""Jobs: runs that clients ask for, their progress, and what becomes of them.

A job names what the agent's own configuration offers. It never carries a command, a path or a pattern.
"""

from collections.abc import Collection
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct

from tinyprof_protocol.bounds import Count, Finite, Id16, Line, Text, TimeNs, Word
from tinyprof_protocol.job_states import JobState
from tinyprof_protocol.names import Name, NodeName
from tinyprof_protocol.records import Record, Verdict

JobPrompts = Annotated[list[Text], Meta(max_length=64)]


class Job(Struct, frozen=True, omit_defaults=True):
    """A run that a client asks for. `id` is the client's; `deadline_ns` is wall time.

    With `cancel` true it is the cancellation of the job of that id.
    """

    id: Id16
    node: NodeName
    board: Name
    deadline_ns: TimeNs
    suite: Word = "quick"
    prompts: JobPrompts = []
    """Empty: the suite's own prompts."""
    max_tokens: Count | None = None
    repetitions: Count | None = None
    priority: Annotated[int, Meta(ge=-100, le=100)] = 0
    cancel: bool = False


class Progress(Struct, frozen=True, omit_defaults=True):
    """Where a run is; best effort, never stored."""

    node: NodeName
    board: Name
    stage: Word
    """`warm-up`, `timed`, `clock`, `done`, ..."""
    job_id: Id16 | None = None
    run_id: Id16 | None = None
    repetition: Count = 0
    repetitions: Count = 0
    text: Text = ""


class Where(Struct, frozen=True, omit_defaults=True):
    """Boards that a run may be made on: those that match all that is given."""

    site: Name | None = None
    node: NodeName | None = None
    board: Name | None = None
    platform: Word | None = None
    label: Word | None = None

    def is_met_by(self, node: NodeName, board: Name, platform: Word, labels: Collection[Word]) -> bool:
        """Whether a board is all that is asked for."""
        return (
            self.site in (None, node.partition(".")[0])
            and self.node in (None, node)
            and self.board in (None, board)
            and self.platform in (None, platform)
            and (self.label is None or self.label in labels)
        )


class ProfileRequest(Struct, frozen=True, omit_defaults=True):
    """Asks for one run; answered at once, when it is accepted or refused, and at its end (`final`).

    With `where` any board that matches will do, whichever collector serves it, the first that is free; the job then
    names the client's first choice. From the cache comes only what is younger than `max_age_s` (None: the collector's
    own limit).
    """

    job: Job
    where: Where | None = None
    use_cache: bool = True
    max_age_s: Annotated[float, Meta(ge=0, le=1e9)] | None = None
    repeated: bool = False
    """The client has sent it before and waits: it may have been finished already, so that the cache is not asked."""


class CachedFrom(Struct, frozen=True, omit_defaults=True):
    """Where an answer from the cache is from. `time_ns` is the time of the run, `age_s` what has passed since."""

    node: NodeName
    board: Name
    time_ns: TimeNs
    age_s: Finite
    verdict: Verdict


class ProfileReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """A job's state; the reply that is `final` carries its result if it has one.

    A job that was `joined` to an equal one under way has that one's result; one that is `cached` has made no run.
    """

    job_id: Id16
    state: JobState
    message: Line = ""
    final: bool = False
    result: Record | None = None
    node: Word = ""
    """Where it runs, once that is known."""
    board: Word = ""
    cached: CachedFrom | None = None
    joined: Id16 | None = None
    """The job that this one is joined to."""


class EncodedProfileReply(Struct, frozen=True, omit_defaults=True, tag="ProfileReply", tag_field="reply"):
    """A `ProfileReply` from the cache, whose result is still the bytes that the cache keeps."""

    job_id: Id16
    state: JobState
    message: Line
    final: bool
    result: Raw
    node: Word
    board: Word
    cached: CachedFrom


class JobView(Struct, frozen=True, omit_defaults=True):
    """A job as its collector sees it. `client` is who asked for it first: the 32 digits of its reply topic."""

    job: Job
    state: JobState
    message: Line = ""
    where: Where | None = None
    client: Word = ""
    asked_ns: TimeNs = 0
    started_ns: TimeNs | None = None
    ended_ns: TimeNs | None = None
    joined: Id16 | None = None
    ahead: Count = 0
    """How many jobs go before it, while it is queued."""


class JobsRequest(Struct, frozen=True, omit_defaults=True):
    """Lists jobs, those that are open first, or cancels open ones. All that is given must hold.

    `cancel` wants ids, a node with or without a board, or a client: nothing is cancelled by leaving everything out.
    """

    action: Literal["list", "cancel"]
    ids: Annotated[list[Id16], Meta(max_length=1000)] = []
    node: NodeName | None = None
    board: Name | None = None
    client: Word | None = None
    open_only: bool = False
    offset: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class JobsReply(Struct, frozen=True, omit_defaults=True, tag=True, tag_field="reply"):
    """A page of jobs, how many match in all, and how many were told to end by a `cancel`."""

    jobs: Annotated[list[JobView], Meta(max_length=1000)]
    total: Count
    cancelled: Count = 0
