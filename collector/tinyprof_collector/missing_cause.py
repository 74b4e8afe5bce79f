"""Why records are missing, as far as their agent's own word tells: pure."""

from tinyprof_protocol.counts_text import some
from tinyprof_protocol.presence import AgentStatus

NO_LONGER_LISTED = "the agent no longer lists this epoch, and these never came"


def cause_of(status: AgentStatus, listed_by_ns: int) -> str:
    """Why a status leaves out an epoch that still owed records; `listed_by_ns`: when the agent that last listed it had
    started (0: none did). Always begins with NO_LONGER_LISTED; what follows is only what the agent reports.
    """
    counters = status.counters
    if counters.get("set_aside"):
        given_up = counters.get("lost_to_corruption", 0)
        return (
            f"{NO_LONGER_LISTED}: its spool was corrupt and was set aside, {some(given_up, 'record')} could not be read"
        )
    if listed_by_ns and status.started_ns and listed_by_ns != status.started_ns:
        return f"{NO_LONGER_LISTED}: it was started anew without its spool, or another agent uses its name"
    return NO_LONGER_LISTED
