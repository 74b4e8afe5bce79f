"""Asks a collector for one run and follows the job to its end."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import msgspec

from tinyprof.request_channel import BrokerUnreachable, CollectorSilent, FleetError, RequestChannel
from tinyprof_protocol import topics
from tinyprof_protocol.codec import decode
from tinyprof_protocol.connection import Connection, Hooks, Message
from tinyprof_protocol.jobs import Job, ProfileReply, ProfileRequest, Progress
from tinyprof_protocol.names import partition_of

FIRST_WORD_WITHIN_S = 20.0
"""A collector says at once that it has the job, or why not."""
ASK_AGAIN_S = 5.0
GRACE_S = 5.0
"""How much longer than the job's deadline its collector is waited for: it tells how the job ended."""
CANCEL_EXPIRY_S = 30.0
CANCELLED_WITHIN_S = 10.0
"""A job that is cancelled is waited for so long: its agent ends the run between two tokens and says so."""
_POLL_S = 0.25


def ask_for_run(
    channel: RequestChannel,
    job: Job,
    within_s: float,
    on_update: Callable[[ProfileReply], None] | None,
    on_progress: Callable[[Progress], None] | None,
    *,
    use_cache: bool = True,
    max_age_s: float | None = None,
    cancelled: threading.Event | None = None,
) -> ProfileReply:
    """The final reply on a job. Whoever gives up, by an interrupt or for want of time, cancels it; `cancelled` does it
    from another thread.

    Raises FleetError and RequestFailed.
    """
    with ExitStack() as stack:
        if on_progress is not None:
            stack.callback(_follow(channel, job, on_progress).stop, timeout_s=1.0)
        try:
            request = ProfileRequest(job, use_cache=use_cache, max_age_s=max_age_s)
            return _until_final(channel, request, within_s, on_update, cancelled or threading.Event())
        except (KeyboardInterrupt, FleetError):
            _cancel(channel, job)
            raise


def _until_final(
    channel: RequestChannel,
    request: ProfileRequest,
    within_s: float,
    on_update: Callable[[ProfileReply], None] | None,
    cancelled: threading.Event,
) -> ProfileReply:
    """Sends the request again now and then: it is the same job, and a collector that restarted knows of no client."""
    job, started = request.job, time.monotonic()
    seen: ProfileReply | None = None
    with channel.exchange() as exchange:
        sent_at, connections = -ASK_AGAIN_S, -1
        while time.monotonic() - started < within_s + GRACE_S:
            now = time.monotonic() - started
            if cancelled.is_set() and not request.job.cancel:
                request = msgspec.structs.replace(request, job=msgspec.structs.replace(job, cancel=True))
                sent_at, within_s = -ASK_AGAIN_S, now + CANCELLED_WITHIN_S - GRACE_S
            if now - sent_at >= ASK_AGAIN_S or channel.connections != connections:
                sent_at, connections = now, channel.connections
                owner = channel.owner_of(partition_of(job.node), job.node)
                with suppress(BrokerUnreachable):
                    channel.send(exchange, owner, "profile", request, ASK_AGAIN_S)
                    request = msgspec.structs.replace(request, repeated=True)
            reply = exchange.next_reply(ProfileReply, _POLL_S)
            if reply is None and seen is None and now > FIRST_WORD_WITHIN_S:
                text = f"collector {owner} has not answered within {FIRST_WORD_WITHIN_S:g} s; see 'tinyprof status'"
                raise CollectorSilent(text)
            if reply is None or reply.job_id != job.id:
                continue
            if on_update is not None and (seen is None or (seen.state, seen.message) != (reply.state, reply.message)):
                on_update(reply)
            seen = reply
            if reply.final:
                return reply
    last = f" ({seen.state}{f': {seen.message}' if seen.message else ''})" if seen is not None else ""
    raise FleetError(
        f"the run on {job.node}/{job.board} had not ended after {within_s:g} s{last}; ask for it with more time"
    )


def _cancel(channel: RequestChannel, job: Job) -> None:
    with suppress(FleetError), channel.exchange() as exchange:
        owner = channel.owner_of(partition_of(job.node), job.node)
        request = ProfileRequest(msgspec.structs.replace(job, cancel=True))
        channel.send(exchange, owner, "profile", request, CANCEL_EXPIRY_S)
        exchange.next_reply(ProfileReply, 1.0)


def _follow(channel: RequestChannel, job: Job, on_progress: Callable[[Progress], None]) -> Connection:
    """A connection of its own that hears the progress of one agent, not of the whole fleet."""

    def on_message(message: Message) -> None:
        progress = decode(message.payload, Progress)
        if progress.node == job.node and progress.board == job.board and progress.job_id in (None, job.id):
            on_progress(progress)

    connection = Connection(
        channel.address,
        f"progress-{job.id.hex()[:16]}",
        Hooks(on_message=on_message),
        subscriptions=[(topics.agent_topic(job.node, "progress"), 0)],
    )
    connection.start()
    return connection
