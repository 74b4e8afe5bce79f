"""What a shell is offered for an argument: names of boards, from what the broker keeps of the fleet, and metrics.

A person waits with a finger on the key: whatever goes wrong, and whatever is late, nothing is offered.
"""

import logging
import os
import queue
import time
from collections.abc import Callable, Iterable

WITHIN_S = 0.3
QUIET_S = 0.06
"""Retained summaries come one after the other; so long without one, there are no more."""
MAX_OFFERED = 1000


def boards_like(incomplete: str, broker: str | None, within_s: float = WITHIN_S) -> list[str]:
    """Boards whose names begin so: the short name where it is unique, else `site.agent/board`; [] when in doubt."""
    try:
        return names_for(_boards_of(broker, within_s), incomplete)
    except Exception:  # noqa: BLE001  (a shell's prompt is no place for an error)
        return []


def names_for(boards: Iterable[tuple[str, str]], incomplete: str) -> list[str]:
    """What `incomplete` may become, of boards as (node, name)."""
    known = sorted(set(boards))
    short = [name for _, name in known]
    written = incomplete.partition("/")[0]
    in_full = "." in written or "/" in incomplete
    names = (f"{node}/{name}" if in_full or short.count(name) > 1 else name for node, name in known)
    if not in_full:
        # Of boards that share a name, the full names begin with a site: they are offered for the name's beginning too.
        return [
            text for text in names if text.rpartition("/")[2].startswith(incomplete) or text.startswith(incomplete)
        ][:MAX_OFFERED]
    return [text for text in names if text.startswith(incomplete)][:MAX_OFFERED]


def metrics_like(incomplete: str) -> list[str]:
    """Metrics whose names begin so."""
    from tinyprof_protocol.metrics import METRICS

    return [name for name in METRICS if name.startswith(incomplete)]


def _boards_of(
    broker: str | None, within_s: float, clock: Callable[[], float] = time.monotonic
) -> list[tuple[str, str]]:
    from tinyprof_protocol import topics
    from tinyprof_protocol.broker_address import broker_from
    from tinyprof_protocol.connection import Connection, Hooks, Message

    deadline = clock() + within_s
    heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
    logging.getLogger("tinyprof_protocol").setLevel(logging.CRITICAL)
    client = os.urandom(16).hex()
    connection = Connection(
        broker_from(broker), client, Hooks(on_message=heard.put), subscriptions=[(topics.fleet(), 0)]
    )
    connection.start()
    boards: list[tuple[str, str]] = []
    wait_s = within_s
    try:
        while clock() < deadline:
            message = heard.get(timeout=max(0.0, min(wait_s, deadline - clock())))
            topic = topics.parse(message.topic)
            if message.payload:
                boards.append((topic.node, topic.board))
            wait_s = QUIET_S
    except queue.Empty:
        pass
    finally:
        connection.stop(timeout_s=0.0)
    return boards
