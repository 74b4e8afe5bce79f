"""What is to be done about jobs, as data: a message to an agent, a reply to a client."""

from dataclasses import dataclass

from tinyprof_protocol.jobs import Job, ProfileReply
from tinyprof_protocol.requests import Failure


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where a client waits for its reply, and what tells it which request is answered."""

    topic: str
    correlation: bytes | None

    @property
    def client(self) -> str:
        """The client's own part of the topic: its 32 digits."""
        return self.topic.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Send:
    """Publish the job to its agent; it expires in `expiry_s`."""

    job: Job
    expiry_s: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Publish a reply to a client, with the result that is kept under `result_of` where that is given."""

    to: ReplyTo
    reply: ProfileReply | Failure
    result_of: bytes | None = None


Action = Send | Answer
