"""Statuses as they come: their bytes decoded, and held against the topic that they came under."""

from tinyprof_protocol import topics
from tinyprof_protocol.codec import BadMessage, decode
from tinyprof_protocol.connection import Message
from tinyprof_protocol.presence import AgentStatus, CollectorStatus


class BadStatus(ValueError):
    """A status that cannot be taken; the message is one line that says why."""


def read_status(message: Message) -> AgentStatus:
    """An agent's status from its message. Raises BadStatus if its bytes, its topic or its node are wrong."""
    try:
        topic = topics.parse(message.topic)
        status = decode(message.payload, AgentStatus)
    except (topics.BadTopic, BadMessage) as why:
        raise BadStatus(f"status: {why}") from None
    if topic.node != status.node:
        raise BadStatus(f"status of {status.node} under the topic of {topic.node}")
    return status


def read_peer(message: Message) -> CollectorStatus:
    """A collector's status from its message. Raises BadStatus if its bytes, its topic or its id are wrong."""
    try:
        topic = topics.parse(message.topic)
        status = decode(message.payload, CollectorStatus)
    except (topics.BadTopic, BadMessage) as why:
        raise BadStatus(f"status: {why}") from None
    if topic.collector != status.id:
        raise BadStatus(f"status of collector {status.id} under the topic of {topic.collector}")
    return status
