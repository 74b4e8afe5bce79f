"""Topics of version 1, built and taken apart in one place."""

import re
from dataclasses import dataclass
from typing import Literal

from tinyprof_protocol.names import is_node, partition_of

ROOT = "tinyprof/1"
AgentTopic = Literal["records", "sack", "status", "jobs", "progress"]
AGENT_TOPICS: tuple[AgentTopic, ...] = ("records", "sack", "status", "jobs", "progress")

_IS_CLIENT = re.compile(r"[0-9a-f]{32}")
_IS_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class BadTopic(ValueError):
    """A topic that is none of ours, or lies under a partition that is not its node's."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic says: its kind, and the node, board, collector or client it names."""

    kind: str
    node: str = ""
    board: str = ""
    collector: str = ""
    request: str = ""
    client: str = ""


def agent_topic(node: str, kind: AgentTopic) -> str:
    """`tinyprof/1/{partition}/{node}/{kind}`."""
    return f"{ROOT}/{partition_of(node):02d}/{node}/{kind}"


def agent_topics_of(partition: int | None, kind: AgentTopic) -> str:
    """The filter for a kind of topic of all nodes of a partition, or (None) of all."""
    level = "+" if partition is None else f"{partition:02d}"
    return f"{ROOT}/{level}/+/{kind}"


def collector_status(collector: str = "+") -> str:
    """A collector's retained status, or the filter for all of them."""
    return f"{ROOT}/collector/{collector}/status"


def requests(collector: str, kind: str = "+") -> str:
    """Where clients send requests of a kind to a collector."""
    return f"{ROOT}/collector/{collector}/requests/{kind}"


def replies(client: str) -> str:
    """Where a client, 32 hex digits, reads its replies. Raises BadTopic."""
    if _IS_CLIENT.fullmatch(client) is None:
        raise BadTopic(f"client {client!r} is not 32 hex digits")
    return f"{ROOT}/replies/{client}"


def is_reply_topic(topic: str) -> bool:
    """Whether a collector may send a reply there."""
    head, _, client = topic.rpartition("/")
    return head == f"{ROOT}/replies" and _IS_CLIENT.fullmatch(client) is not None


def fleet(node: str = "+", board: str = "+") -> str:
    """A board's retained summary, or the filter for all of them."""
    return f"{ROOT}/fleet/{node}/{board}"


def parse(topic: str) -> Topic:
    """Takes a topic apart. Raises BadTopic with a line that says what is wrong with it."""
    levels = topic.split("/")
    if levels[:2] != ROOT.split("/"):
        raise BadTopic(f"{topic!r} is not under {ROOT}")
    match levels[2:]:
        case ["collector", collector, "status"] if _IS_NAME.fullmatch(collector):
            return Topic("collector", collector=collector)
        case ["collector", collector, "requests", request] if _IS_NAME.fullmatch(collector):
            return Topic("request", collector=collector, request=request)
        case ["replies", client] if _IS_CLIENT.fullmatch(client):
            return Topic("reply", client=client)
        case ["fleet", node, board] if is_node(node) and _IS_NAME.fullmatch(board):
            return Topic("fleet", node=node, board=board)
        case [partition, node, kind] if kind in AGENT_TOPICS and is_node(node):
            if partition != f"{partition_of(node):02d}":
                raise BadTopic(f"{node} lies in partition {partition_of(node):02d}, not under {partition!r}")
            return Topic(kind, node=node)
    raise BadTopic(f"{topic!r} is none of the topics of {ROOT}")
