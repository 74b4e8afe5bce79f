"""What clients are told of jobs that wait. Pure."""

from typing import Final

from tinyprof_collector.jobs.waiting import BoardKey, Target
from tinyprof_collector.presence import Liveness
from tinyprof_protocol.jobs import ProfileReply, Where

_WAITS: Final[dict[Liveness | None, str]] = {
    "online": "",
    "stale": "no word from its agent {node}; the job waits for it until its deadline",
    "offline": "its agent {node} is offline; the job waits for it until its deadline",
    None: "nothing was heard of its agent {node} yet; the job waits for it until its deadline",
}


def waits_for(target: Target, liveness: Liveness | None, *, placed: bool) -> str:
    """What a job waits for: an agent that is not there, or a board that is free; empty where it is only its turn."""
    if isinstance(target, tuple):
        return _WAITS[liveness].format(node=target[0])
    return "" if placed else f"it waits for a board that is free, of {wanted(target)}"


def with_another(job_id: bytes, board: BoardKey) -> ProfileReply:
    """That another collector has a job, for a board of its own: it is to be asked."""
    node, name = board
    return ProfileReply(job_id, "queued", "the collector of its board has it", node=node, board=name)


def unmatched(where: Where) -> str:
    """That no board is as it is asked for."""
    return f"no board that is known is of {wanted(where)}; `tinyprof boards` lists those that are"


def wanted(where: Where) -> str:
    """What is asked of a board."""
    said = {name: getattr(where, name) for name in where.__struct_fields__}
    return ", ".join(f"{name} {value}" for name, value in said.items() if value is not None) or "any name"
