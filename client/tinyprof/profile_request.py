"""Follows one job to its end, and the progress of its run."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from tinyprof.fleet_errors import FleetError
from tinyprof.job_handle import FleetJob
from tinyprof_protocol import topics
from tinyprof_protocol.broker_address import BrokerAddress
from tinyprof_protocol.codec import BadMessage, decode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.jobs import ProfileReply, Progress

CANCELLED_WITHIN_S = 10.0
"""A job that is cancelled is waited for so long: its agent ends the run between two tokens and says so."""
CANCEL_HEARD_WITHIN_S = 1.0
"""Who gives up does not wait to see what becomes of it."""
_POLL_S = 0.25


def follow_to_the_end(
    job: FleetJob,
    address: BrokerAddress,
    on_update: Callable[[ProfileReply], None] | None,
    on_progress: Callable[[Progress], None] | None,
    cancelled: threading.Event | None = None,
) -> ProfileReply:
    """The final reply on a job. Whoever gives up, by an interrupt or for want of time, cancels it; `cancelled` does it
    from another thread.

    Raises FleetError and RequestFailed.
    """
    with ExitStack() as stack:
        if on_progress is not None:
            stack.callback(_listen(address, job, on_progress).stop, timeout_s=1.0)
        try:
            return _until_final(job, on_update, cancelled or threading.Event())
        except (KeyboardInterrupt, FleetError):
            job.cancel()
            job.wait(CANCEL_HEARD_WITHIN_S)
            raise


def _until_final(
    job: FleetJob, on_update: Callable[[ProfileReply], None] | None, cancelled: threading.Event
) -> ProfileReply:
    seen: ProfileReply | None = None
    give_up_s = float("inf")
    while True:
        ended = job.done()
        for reply in job.updates(0.0 if ended else _POLL_S):
            if on_update is not None and (seen is None or (seen.state, seen.message) != (reply.state, reply.message)):
                on_update(reply)
            seen = reply
        if ended:
            return job.reply(0)
        if cancelled.is_set() and give_up_s == float("inf"):
            job.cancel()
            give_up_s = time.monotonic() + CANCELLED_WITHIN_S
        if time.monotonic() > give_up_s:
            raise FleetError(f"the run on {job.node}/{job.board} was cancelled, but its agent has not said so in time")


def _listen(address: BrokerAddress, job: FleetJob, on_progress: Callable[[Progress], None]) -> Connection:
    """A connection of its own that hears the progress of one agent, not of the whole fleet."""
    asked = job.request.job

    def on_message(message: Message) -> None:
        try:
            progress = decode(message.payload, Progress)
        except BadMessage:
            return  # `tinyprof agent doctor` says nothing there, to see whether it may
        if progress.node == asked.node and progress.board == asked.board and progress.job_id in (None, asked.id):
            on_progress(progress)

    connection = Connection(
        address,
        f"progress-{job.id[:16]}",
        Hooks(on_message=on_message),
        subscriptions=[(topics.agent_topic(asked.node, "progress"), 0)],
    )
    connection.start()
    return connection
